"""Why a request is not answered from the cache, and why an answer is not stored: every reason, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """`token` is the word that is counted and shown in `Cache-Status`; `meaning` and `remedy` are a sentence each."""

    token: str
    meaning: str
    remedy: str


def explain_bypass(token: str) -> Reason:
    """What a bypass means and what to do about it."""
    return _find(token, BYPASSES)


def explain_refusal(token: str) -> Reason:
    """What it means that an answer was not stored; an answer to a request that bypasses is refused for its reason."""
    return _find(token, {**BYPASSES, **REFUSALS})


def _find(token: str, reasons: dict[str, Reason]) -> Reason:
    unknown = Reason(token, "This version has no sentence for it.", "Look it up in the source by its name.")
    return reasons.get(token, unknown)


def _table(*rows: tuple[str, str, str]) -> dict[str, Reason]:
    return {token: Reason(token, meaning, remedy) for token, meaning, remedy in rows}


_NOTHING: Final = "Nothing: it is meant to reach the upstream every time."
_JSON: Final = "Have the client send plain JSON (RFC 8259) in UTF-8; the upstream gets it as it is either way."
_READ_LOGS: Final = "Look at the answer itself; it was given to the client unchanged."

BYPASSES: Final = _table(
    ("disabled", "The cache is off for this path.", "Set policy.cache.enabled, or the rule under policy.routes."),
    ("unknown-path", "The path speaks no wire format that is known.", "Give it a rule with a format in policy.routes."),
    ("not-post", "Only POST requests are looked at.", _NOTHING),
    ("aborted", "The client left before its request was whole.", _NOTHING),
    ("too-large", "The request is longer than may be read.", "Raise policy.max_request_bytes."),
    ("range", "The request asks for a part of the answer (Range).", "Have the client ask for all of it."),
    ("multipart", "The content is a form with files in it.", _NOTHING),
    ("content-type", "The content is not said to be JSON in UTF-8.", "Send one Content-Type: application/json."),
    (
        "content-encoding",
        "The content has a coding that is not known, or does not decode.",
        "Send it plain or as gzip, deflate, or, with the extra codings, br or zstd.",
    ),
    ("not-utf-8", "The content is not UTF-8.", _JSON),
    ("byte-order-mark", "The content begins with a byte order mark, which parsers disagree about.", _JSON),
    ("not-json", "The content does not parse as JSON.", _JSON),
    ("not-an-object", "The content is JSON, but no object.", _JSON),
    ("not-a-number", "The content has NaN or Infinity in it, which is no JSON.", _JSON),
    ("number-range", "A number is beyond 2^53, where parsers disagree.", "Send a smaller number, or a text."),
    ("duplicate-name", "An object has one name twice, which parsers disagree about.", "Send each name once."),
    ("surrogate", "A text has half of a surrogate pair in it, which no UTF-8 can spell.", "Send whole characters."),
    ("depth", "The content is nested more than 64 deep.", "Send a flatter document."),
    ("model", "The model is missing or is no printable text.", "Name the model in the content."),
    ("messages", "The messages are no list.", "Send a list; the upstream will refuse it as it is."),
    ("stream", "The member stream is neither true nor false.", "Send a boolean; the upstream will judge it as it is."),
    (
        "credentials",
        "Nobody can say who is asking: a credential came twice, or empty.",
        "Have the client, and what stands before this proxy, send each credential field once.",
    ),
    (
        "scope",
        "The header field that policy.cache.scope names is missing, empty or there twice.",
        "Send it once with every request, or choose another scope.",
    ),
    ("stateful", "The answer depends on what the provider keeps behind an id.", "Send all of it in the request."),
    ("file", "The request refers to a file that is kept elsewhere and may change.", "Send its content inline."),
    (
        "server-tool",
        "The provider may run a tool, so that the answer depends on the world outside the request.",
        "Leave web search and other tools of the provider out of requests that may be reused.",
    ),
    (
        "stored-completion",
        "The request asks the provider to keep the answer, which a reuse would not do.",
        "Leave store out where that is not needed.",
    ),
    ("background", "The request starts a job; its answer is only the job's name.", _NOTHING),
    ("prediction", "The request asks for a prediction that is no embedding of a text.", _NOTHING),
    ("model-load", "The request only loads or unloads a model.", _NOTHING),
    ("not-a-generation", "The path counts or judges and generates nothing.", _NOTHING),
    ("count", "The path counts tokens.", _NOTHING),
    ("upload", "The path takes files.", _NOTHING),
    ("batch", "The path starts or ends a batch of requests.", _NOTHING),
    ("realtime", "The path opens a live session.", _NOTHING),
    ("container", "The path makes a container.", _NOTHING),
    ("fine-tuning", "The path trains a model.", _NOTHING),
    ("image", "The path makes images.", _NOTHING),
    ("audio", "The path makes or reads sound.", _NOTHING),
    ("video", "The path makes videos.", _NOTHING),
)

REFUSALS: Final = _table(
    ("no-store", "The request or the answer says Cache-Control: no-store.", "Have whichever says it leave it out."),
    ("no-write", "The request asks for nothing to be stored.", "Look at its x-coo-cache, x-coo-ttl and x-coo-tags."),
    (
        "ttl",
        "Its lifetime is nothing, or was over when it came.",
        "Look at its Coo-Cache-Control and its Age, at x-coo-ttl, and at the handler's CooContext.ttl.",
    ),
    (
        "vary",
        "The answer varies by a request field that is no part of the key.",
        "Name the field in policy.cache.key_headers, or have the app leave it out of Vary.",
    ),
    ("handler", "The app called bypass() on its CooContext.", "Look for that call in the handler."),
    ("would-hit", "It was stored before; policy.cache.mode kept it from being reused.", "Set the mode to serve."),
    ("limited", "A limit had no room for the call, so the app was not asked.", "See policy.limits."),
    ("exception", "The app raised an exception before its answer was whole.", "Look for it in the app's log."),
    ("status", "The status is not 200.", "Nothing: errors are the upstream's to repeat."),
    (
        "strange",
        "It had an unknown ASGI message, trailers, two Content-Types or an unknown Content-Encoding.",
        "Look for a layer between the middleware and the app that adds it; mount the middleware outermost.",
    ),
    (
        "content-type",
        "The answer is no JSON body, or no stream although one was asked for, or the other way round.",
        "Have the app send the upstream's Content-Type on.",
    ),
    (
        "incomplete",
        "The format's own end was not seen: the answer was cut.",
        "Look for what cuts it. For chat servers that never send [DONE] set policy.cache.store_unclosed.",
    ),
    ("too-large", "The answer is longer than an entry may be.", "Raise policy.cache.max_entry_bytes."),
    ("set-cookie", "The answer sets a cookie and may be one session's own.", "Have the app not pass it on."),
    ("error", "The provider reported a failure inside its answer.", _READ_LOGS),
    ("unsound", "There is nothing in it to give back, or a tool call's arguments do not parse.", _READ_LOGS),
    (
        "finish-reason",
        "It ended for a reason that is not among policy.cache.store_finish_reasons, such as its length.",
        "Raise the request's limit of tokens, or add the reason to that list.",
    ),
)
