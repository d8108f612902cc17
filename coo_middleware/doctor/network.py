"""Why a server could not be reached, from what a client library raised, and what to do about it."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

from coo_middleware.doctor.finding import Finding, fault, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

SKEW_SECONDS: Final = 2.0


def explain(error: BaseException, place: str) -> Finding:
    """The fault `connection` for what went wrong on the way to `place`, which is host and port."""
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            remedy = "give the server a certificate of its own name by an authority that this machine trusts"
            return fault("connection", f"{place}: the certificate is refused: {each.verify_message}", remedy)
        if isinstance(each, ssl.SSLError):
            remedy = "does the server speak TLS on this port? if not, write storage.runtime.addr without the s"
            return fault("connection", f"{place}: no TLS: {each.reason or 'the handshake failed'}", remedy)
        if isinstance(each, socket.gaierror):
            remedy = "correct the host in storage.runtime.addr, or the machine's name service"
            return fault("connection", f"{place}: the name is not known", remedy)
    remedy = "start the server, correct host and port in storage.runtime.addr, or let the firewall through"
    return fault("connection", f"{place}: nothing answers ({type(error).__name__})", remedy)


def judge_clock(check: str, server: float, here: float, doubt: float) -> Finding:
    """How far the server's clock and this machine's are apart; all in seconds, `doubt` is how exactly it is known."""
    skew = here - server
    if abs(skew) - doubt <= SKEW_SECONDS:
        return ok(check, f"within {SKEW_SECONDS:g} s of the server's")
    text = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server"
    return warning(check, text, "let both follow a time server (NTP): ages and windows are counted by their clocks")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
