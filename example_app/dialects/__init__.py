"""How the built-in upstream words an answer in each wire format that it speaks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from example_app.dialects import chat, completions, embeddings, messages, responses
from example_app.dialects.answer import Answer, Document
from example_app.dialects.frames import frame
from example_app.errors import anthropic_error, openai_error


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire format: an answer as a JSON body or as SSE frames, an error, and an error in the middle of a stream."""

    body: Callable[[Document, Answer], Document]
    events: Callable[[Document, Answer], Iterable[bytes]] | None
    error: Callable[[int, str], Document]
    error_frame: bytes
    request_id: str


_MESSAGE = "The built-in upstream failed in the middle of a stream, as it was asked to."
_OPENAI_FRAME = frame(openai_error(500, _MESSAGE))
_ANTHROPIC_FRAME = frame(anthropic_error(500, _MESSAGE), "error")

DIALECTS: Mapping[str, Dialect] = {
    "/v1/chat/completions": Dialect(chat.body, chat.events, openai_error, _OPENAI_FRAME, "x-request-id"),
    "/v1/completions": Dialect(completions.body, completions.events, openai_error, _OPENAI_FRAME, "x-request-id"),
    "/v1/embeddings": Dialect(embeddings.body, None, openai_error, _OPENAI_FRAME, "x-request-id"),
    "/v1/responses": Dialect(
        responses.body, responses.events, openai_error, responses.error_frame(_MESSAGE), "x-request-id"
    ),
    "/v1/messages": Dialect(messages.body, messages.events, anthropic_error, _ANTHROPIC_FRAME, "request-id"),
}
