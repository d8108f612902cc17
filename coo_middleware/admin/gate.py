"""Who may do what: two tokens, of which one may look and the other may purge too."""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from starlette.types import Scope

Right: TypeAlias = Literal["none", "read", "write"]

_SHORTEST_TOKEN: Final = 16


class Gate:
    """Knows the tokens by their digests, which are compared whole, so that the time tells nothing of them.

    Raises ValueError unless there is a token, each has at least 16 characters, all of them printable ASCII and none a
    space, and they differ.
    """

    __slots__ = ("_digests",)

    def __init__(self, read_token: str, write_token: str) -> None:
        if not read_token and not write_token:
            raise ValueError("read_token: must be given, or write_token; without any the admin API stays off")
        if read_token == write_token:
            raise ValueError("write_token: must be another one than read_token")
        tokens: tuple[tuple[Right, str], ...] = (("read", read_token), ("write", write_token))
        self._digests: Final[dict[Right, bytes]] = {
            right: _check_token(f"{right}_token", token) for right, token in tokens if token
        }

    def admit(self, scope: Scope, *, takes_password: bool = False) -> Right:
        """What the bearer token of a request allows; where `takes_password`, the password of HTTP Basic may be the
        token (RFC 7617), whoever the user is.
        """
        fields = Headers(scope=scope).getlist("authorization")
        scheme, _, value = (fields[0] if len(fields) == 1 else "").partition(" ")
        if scheme.lower() == "bearer":
            return self._find(value)
        return self._find(_read_password(value)) if takes_password and scheme.lower() == "basic" else "none"

    def _find(self, token: str) -> Right:
        digest = _digest(token)
        fitting: list[Right] = [right for right, known in self._digests.items() if compare_digest(known, digest)]
        return fitting[0] if fitting else "none"


def _check_token(name: str, token: str) -> bytes:
    if len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError(f"{name}: must be at least {_SHORTEST_TOKEN} printable ASCII characters without a space")
    return _digest(token)


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _read_password(credentials: str) -> str:
    try:
        _, _, password = b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password
