"""Secrets that must not be found, and the search for them in every form that something might write."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote_from_bytes

# Characters that every encoding writes in its own way; the credential can have printable ASCII only.
PROMPT, SYSTEM, ANSWER, CREDENTIAL = (
    "prompt/Kanari é+7f3a",
    "system/Kanari ö+1b9c",
    "answer/Kanari ü+e84d",
    "sk-K4n4ri/5d20+",
)
SECRETS = {"prompt": PROMPT, "system": SYSTEM, "answer": ANSWER, "credential": CREDENTIAL}


def forms(secret: bytes) -> dict[str, bytes]:
    """What to look for: the secret and what is left of it in each encoding that something might write."""
    # Whatever stands before it in base64, two bytes at most, its inner characters are one of three texts.
    shifted = [base64.b64encode(bytes(shift) + secret)[(0, 2, 3)[shift] :] for shift in range(3)]
    inner = [text.rstrip(b"=")[:-1] for text in shifted]
    hexed = secret.hex().encode()
    found = {"raw": secret, "reversed": secret[::-1], "hex": hexed, "HEX": hexed.upper()}
    found |= {f"base64 {shift}": text for shift, text in enumerate(inner)}
    found |= {f"base64url {shift}": text.translate(bytes.maketrans(b"+/", b"-_")) for shift, text in enumerate(inner)}
    found["percent"] = quote_from_bytes(secret).encode()
    found["percent all"] = b"".join(b"%%%02X" % each for each in secret)
    found["escaped bytes"] = repr(secret)[2:-1].encode()
    return found


def text_forms(secret: str) -> dict[str, bytes]:
    """The same of a text, and as JSON escapes it: where it must, and everywhere."""
    found = forms(secret.encode())
    found["json"] = json.dumps(secret)[1:-1].encode()
    found["json all"] = "".join(f"\\u{ord(each):04x}" for each in secret).encode()
    return found


def find_secrets(*dumps: bytes, digests: frozenset[bytes] = frozenset()) -> set[str]:
    """Which secrets are in what was found, in whatever form."""
    needles = [(name, look) for name, secret in SECRETS.items() for look in text_forms(secret).values()]
    needles += [("digest", look) for digest in digests for look in forms(digest).values()]
    return {name for name, look in needles if any(look in dump for dump in dumps)}
