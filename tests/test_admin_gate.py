"""admin/gate.py: what a token allows."""

from __future__ import annotations

from base64 import b64encode

import pytest

from coo_middleware.admin.gate import Gate
from tests.admin_room import READ, WRITE, bearer
from tests.asgi import Fields, make_scope

GATE = Gate(READ, WRITE)


def basic(credentials: str) -> tuple[bytes, bytes]:
    """The field of HTTP Basic."""
    return (b"authorization", b"Basic " + b64encode(credentials.encode()))


@pytest.mark.parametrize(("token", "right"), [(READ, "read"), (WRITE, "write"), (READ + "x", "none"), ("", "none")])
def test_each_token_has_its_right(token: str, right: str) -> None:
    """What is neither has none."""
    assert right == GATE.admit(make_scope(headers=(bearer(token),)))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_s_name_has_no_case(scheme: str) -> None:
    """RFC 9110 section 11.1."""
    assert "read" == GATE.admit(make_scope(headers=((b"authorization", f"{scheme} {READ}".encode()),)))


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (bearer(READ), bearer(READ)),
        ((b"authorization", READ.encode()),),
        ((b"authorization", b"Bearer  " + READ.encode()),),
        ((b"x-authorization", b"Bearer " + READ.encode()),),
        ((b"cookie", b"token=" + READ.encode()),),
        (basic(f"coo:{READ}"),),
    ],
)
def test_nothing_else_is_a_credential(fields: Fields) -> None:
    """Neither two fields at once nor another place, nor a password where none is taken."""
    assert "none" == GATE.admit(make_scope(headers=fields))


@pytest.mark.parametrize(
    ("field", "right"),
    [
        (basic(f"anybody:{READ}"), "read"),
        (basic(f":{WRITE}"), "write"),
        (basic(READ), "none"),
        (basic(f"{READ}:"), "none"),
        ((b"authorization", b"Basic ~"), "none"),
        ((b"authorization", b"Basic /w=="), "none"),
        (bearer(READ), "read"),
    ],
)
def test_a_password_may_be_the_token(field: tuple[bytes, bytes], right: str) -> None:
    """Where a page takes one, whoever the user is."""
    assert right == GATE.admit(make_scope(headers=(field,)), takes_password=True)


@pytest.mark.parametrize("token", ["short", "a" * 15, "a" * 16 + " ", "ключ" * 4])
def test_a_weak_token_is_refused(token: str) -> None:
    """The field is named, and the token is not shown."""
    with pytest.raises(ValueError, match="write_token: must be at least 16 printable") as caught:
        Gate(READ, token)

    assert token not in str(caught.value)


def test_without_a_token_it_stays_off() -> None:
    """Nothing is open by default."""
    with pytest.raises(ValueError, match="read_token: must be given"):
        Gate("", "")


def test_one_token_for_both_is_refused() -> None:
    """Whoever has the reading one could purge."""
    with pytest.raises(ValueError, match="write_token: must be another one"):
        Gate(READ, READ)


def test_one_token_is_enough() -> None:
    """The other right is then nobody's, or the same one's."""
    assert ["read", "none"] == [Gate(READ, "").admit(make_scope(headers=(bearer(each),))) for each in (READ, WRITE)]
    assert ["none", "write"] == [Gate("", WRITE).admit(make_scope(headers=(bearer(each),))) for each in (READ, WRITE)]
    assert "none" == Gate(READ, "").admit(make_scope(headers=(bearer(""),)))
