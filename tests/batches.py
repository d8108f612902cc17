"""Upstreams that answer several inputs at once, one for each dialect, and requests for them.

Each tells as many tokens as there are bytes of text in what it is asked, so that what inputs cost adds up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from coo_middleware.core.document import Document, Json
from tests.asgi import JSON_FIELD, KEY, Client, call, make_scope, read_all

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from coo_middleware import COOMiddleware

QUERY = "which one"


def vector(text: object) -> list[Json]:
    """The embedding of an input, which no other one has."""
    digest = sha256(json.dumps(text).encode()).digest()
    return [byte / 256 - 0.5 for byte in digest[:4]]


def size(*inputs: Json) -> int:
    """What inputs cost."""
    texts = [each.encode() if isinstance(each, str) else each for each in inputs]
    return sum(len(each) for each in texts if isinstance(each, bytes | list))


def listed(document: Document, *names: str) -> list[Json]:
    """The inputs of a request, one or several."""
    value = next(document[name] for name in names if name in document)
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Dialect:
    """`ask` makes a request for inputs, `answer` is what the upstream says to a request."""

    path: str
    ask: Callable[[Sequence[str]], Document]
    answer: Callable[[Document], Json]


def _openai(document: Document) -> Json:
    inputs = listed(document, "input")
    coded = document.get("encoding_format") == "base64"
    data: list[Json] = [
        {"object": "embedding", "index": place, "embedding": "b64:" + str(vector(each)) if coded else vector(each)}
        for place, each in enumerate(inputs)
    ]
    tokens = size(*inputs)
    return {
        "object": "list",
        "data": data,
        "model": "m-1",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "cost": tokens / 1024},
    }


def _ollama(document: Document) -> Json:
    inputs = listed(document, "input")
    vectors: list[Json] = [vector(each) for each in inputs]
    return {"model": "m", "embeddings": vectors, "total_duration": 9, "prompt_eval_count": size(*inputs)}


def _cohere(document: Document) -> Json:
    texts = listed(document, "texts")
    units: Document = {"input_tokens": size(*texts)}
    vectors: list[Json] = [vector(each) for each in texts]
    told: Json = vectors
    if "embedding_types" in document:
        told = {"float": vectors, "int8": [[round(float(str(n)) * 9) for n in vector(each)] for each in texts]}
    return {
        "id": "c",
        "embeddings": told,
        "texts": [*texts],
        "meta": {"api_version": {"version": "2"}, "billed_units": units},
    }


def _gemini_text(request: Json) -> Json:
    parts = request["content"]["parts"] if isinstance(request, dict) else []  # type: ignore[index,call-overload]
    return "".join(str(part["text"]) for part in parts if isinstance(part, dict))  # type: ignore[union-attr]


def _gemini(document: Document) -> Json:
    texts = [_gemini_text(each) for each in listed(document, "requests")]
    details: list[Json] = [{"modality": "TEXT", "tokenCount": size(*texts)}]
    usage: Document = {"promptTokenCount": size(*texts), "promptTokensDetails": details}
    return {"embeddings": [{"values": vector(each)} for each in texts], "usageMetadata": usage}


def _vertex(document: Document) -> Json:
    texts = [each["content"] for each in listed(document, "instances") if isinstance(each, dict)]
    predictions: list[Json] = [
        {"embeddings": {"values": vector(each), "statistics": {"token_count": size(each), "truncated": False}}}
        for each in texts
    ]
    return {"predictions": predictions, "metadata": {"billableCharacterCount": size(*texts)}}


def _ranks(document: Document, name: str = "relevance_score") -> list[Json]:
    texts = listed(document, "documents", "texts")
    scored = [(float(str(vector([document["query"], each])[0])), place) for place, each in enumerate(texts)]
    ranked = sorted(scored, key=lambda pair: -pair[0])
    top = document.get("top_n", document.get("top_k"))
    return [{"index": place, name: score} for score, place in ranked[: top if isinstance(top, int) else None]]


def _rank_tokens(document: Document) -> int:
    return sum(size(document["query"], each) for each in listed(document, "documents", "texts"))


def _rerank(document: Document) -> Json:
    tokens: Document = {"input_tokens": _rank_tokens(document), "output_tokens": 0}
    return {"id": "r", "results": _ranks(document), "meta": {"api_version": {"version": "2"}, "tokens": tokens}}


def _voyage(document: Document) -> Json:
    usage: Document = {"total_tokens": _rank_tokens(document)}
    return {"object": "list", "data": _ranks(document), "model": "rerank-2.5", "usage": usage}


def _tei(document: Document) -> Json:
    return _ranks(document, "score")


def _rank(**members: Json) -> Callable[[Sequence[str]], Document]:
    return lambda texts: {"model": "rerank-v3.5", "query": QUERY, "documents": [*texts], **members}


DIALECTS = {
    "openai": Dialect("/v1/embeddings", lambda texts: {"model": "m", "input": [*texts]}, _openai),
    "openai-base64": Dialect(
        "/v1/embeddings", lambda texts: {"model": "m", "input": [*texts], "encoding_format": "base64"}, _openai
    ),
    "openai-tokens": Dialect(
        "/v1/embeddings", lambda texts: {"model": "m", "input": [[*text.encode(), 7] for text in texts]}, _openai
    ),
    "ollama": Dialect("/api/embed", lambda texts: {"model": "m", "input": [*texts], "truncate": True}, _ollama),
    "cohere": Dialect("/v1/embed", lambda texts: {"model": "m", "texts": [*texts]}, _cohere),
    "cohere-types": Dialect(
        "/v2/embed", lambda texts: {"model": "m", "texts": [*texts], "embedding_types": ["float", "int8"]}, _cohere
    ),
    "gemini": Dialect(
        "/v1beta/models/m:batchEmbedContents",
        lambda texts: {"requests": [{"model": "models/m", "content": {"parts": [{"text": each}]}} for each in texts]},
        _gemini,
    ),
    "vertex": Dialect(
        "/v1/projects/p/locations/l/publishers/google/models/m:predict",
        lambda texts: {"instances": [{"content": each} for each in texts], "parameters": {"autoTruncate": True}},
        _vertex,
    ),
    "rerank": Dialect("/v2/rerank", _rank(), _rerank),
    "rerank-top": Dialect("/v2/rerank", _rank(top_n=2), _rerank),
    "rerank-voyage": Dialect(
        "/v1/rerank", lambda texts: {"model": "rerank-2.5", "query": QUERY, "documents": [*texts], "top_k": 3}, _voyage
    ),
    "rerank-tei": Dialect("/rerank", lambda texts: {"query": QUERY, "texts": [*texts], "raw_scores": False}, _tei),
}


class Upstream:
    """An app that answers in a dialect and keeps what it was asked."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.asked: list[Document] = []
        self.lengths: list[bytes] = []
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = [JSON_FIELD]
        self.change: Callable[[Json], Json] = lambda answer: answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_all(receive)
        self.asked.append(json.loads(body))
        self.lengths.append(dict(scope["headers"]).get(b"content-length", b""))
        answer = self.change(self.dialect.answer(self.asked[-1]))
        content = json.dumps(answer if self.status == 200 else {"error": {"message": "busy"}}).encode()
        headers = [*self.headers, (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def post(middleware: COOMiddleware, path: str, document: Document) -> Client:
    """Sends one request when all earlier ones are settled."""
    await middleware.drain()
    content = json.dumps(document).encode()
    scope = make_scope(path, (JSON_FIELD, KEY, (b"content-length", b"%d" % len(content))))
    return await call(middleware, content, scope)
