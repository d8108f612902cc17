"""stores/http_address.py: which addresses are taken, and that a wrong one is not repeated."""

import traceback

import pytest

from coo_middleware.stores import StoreSettings
from coo_middleware.stores.http import HTTPStore
from coo_middleware.stores.http_address import HTTPAddress, find_faults, read_address


@pytest.mark.parametrize(
    ("addr", "address"),
    [
        ("http://127.0.0.1:8080", HTTPAddress("http://127.0.0.1:8080", "127.0.0.1:8080", tls=False)),
        (
            "https://api.example.com/storage/",
            HTTPAddress("https://api.example.com/storage", "api.example.com", tls=True),
        ),
        ("http://[::1]:80/a%20b", HTTPAddress("http://[::1]:80/a%20b", "[::1]:80", tls=False)),
    ],
)
def test_an_address_is_a_base_url(addr: str, address: HTTPAddress) -> None:
    """What paths are put behind, and what messages name."""
    assert address == read_address(addr)


@pytest.mark.parametrize(
    "addr",
    [
        "",
        "localhost:8080",
        "ftp://host",
        "unix:///run/storage.sock",
        "http://",
        "http:///usage",
        "http://host:0",
        "http://host:99999",
        "http://host:port",
        "http://[::1",
        "https://user@host",
        "https://user:sk-canary@host",
        "https://:sk-canary@host",
        "https://host?key=sk-canary",
        "https://host/#sk-canary",
        "https://host/a b",
        "https://host/\n",
        "https://hôst/",
        "https://host\\@evil.example",
    ],
)
def test_an_address_that_is_no_plain_base_url_is_refused(addr: str) -> None:
    """Only http and https, a host, a port and a path; the error does not repeat the address."""
    with pytest.raises(ValueError, match=r"^addr (must |the http store needs it)") as caught:
        HTTPStore(addr=addr)

    assert "canary" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("api_key", ["sk-canary\r\nx: y", "sk-canaryé", "sk-canary\x00"])
def test_a_key_that_is_no_header_is_refused(api_key: str) -> None:
    """And not repeated."""
    with pytest.raises(ValueError, match=r"^api_key must ") as caught:
        HTTPStore(addr="http://host", api_key=api_key)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("addr", "files", "fields"),
    [
        ("https://host", {"tls_ca_file": "ca", "tls_cert_file": "cert", "tls_key_file": "key"}, []),
        ("http://host", {"tls_ca_file": "ca", "tls_cert_file": "cert"}, ["tls_ca_file", "tls_cert_file"]),
        ("https://host", {"tls_key_file": "key"}, ["tls_key_file"]),
    ],
)
def test_certificates_go_with_tls(addr: str, files: dict[str, str], fields: list[str]) -> None:
    """Files that would not be used are refused by name."""
    settings = StoreSettings(type="http", addr=addr, **files)  # type: ignore[arg-type]

    assert fields == [name for name, _ in find_faults(settings)]
