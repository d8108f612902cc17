"""Where a storage API is: the http store's address, and which of its settings contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coo_middleware.stores import StoreSettings


@dataclass(frozen=True, slots=True)
class HTTPAddress:
    """`base` is the URL that paths are put behind; `place` its host and port, for messages."""

    base: str
    place: str
    tls: bool


def read_address(addr: str) -> HTTPAddress:
    """The address that a base URL stands for. Raises ValueError, whose text repeats nothing of `addr`."""
    if not addr:
        raise ValueError("the http store needs it; say where the store answers")
    if addr.partition("://")[0] not in {"http", "https"}:
        raise ValueError("must begin with http://, https://, got a text")
    try:
        parts = urlsplit(addr)
        complete = parts.hostname and parts.port != 0
    except ValueError:
        complete = False
    # Raised out here: what is chained would repeat the address.
    if not complete:
        raise ValueError("must name a host and a valid port, got a text")
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password; use api_key")
    if set(addr) & set("?# \\") or not (addr.isascii() and addr.isprintable()):
        raise ValueError("must be printable ASCII without query, fragment, backslash and space, got a text")
    return HTTPAddress(addr.rstrip("/"), parts.netloc, parts.scheme == "https")


def find_faults(settings: StoreSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with the settings of an http store: each time a field's name and the way out."""
    tls = False
    try:
        tls = read_address(settings.addr).tls
    except ValueError as error:
        yield "addr", str(error)
    if not (settings.api_key.isascii() and settings.api_key.isprintable()):
        yield "api_key", "must be printable ASCII, as a header field is"
    for name in ("tls_ca_file", "tls_cert_file", "tls_key_file"):
        if getattr(settings, name) and not tls:
            yield name, "needs TLS; begin addr with https://"
    if settings.tls_key_file and not settings.tls_cert_file:
        yield "tls_key_file", "needs tls_cert_file"
