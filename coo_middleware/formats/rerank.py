"""Reranking, as Cohere (https://docs.cohere.com/reference/rerank), Jina (https://api.jina.ai/redoc), Voyage
(https://docs.voyageai.com/reference/reranker-api), vLLM, OpenRouter and Hugging Face's Text Embeddings Inference
(https://huggingface.github.io/text-embeddings-inference) do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_prompts
from coo_middleware.core.outcome import Outcome, Usage, tokens
from coo_middleware.formats.answer import items_of, text_of
from coo_middleware.formats.cohere_answer import tells_failure, usage_of_input
from coo_middleware.formats.embeddings import EmbeddingsReader, bypass_embeddings
from coo_middleware.formats.errors import cohere_error

if TYPE_CHECKING:
    from coo_middleware.core.document import Document
    from coo_middleware.core.normalize import Preset
    from coo_middleware.core.request import Headers


def read_rerank(document: Document) -> Outcome:
    """Judges a whole JSON answer: Voyage calls its results `data`."""
    results = items_of(document.get("results")) or items_of(document.get("data"))
    given = bool(results)
    return Outcome(
        whole=given,
        usage=usage_of_input(document),
        finish_reasons=(),
        error=tells_failure(document, given=given),
        sound=given and all(map(_has_score, results)),
        model=text_of(document, "model"),
    )


def read_ranks(documents: list[Document]) -> Outcome:
    """Judges an answer that is the list of results itself, as that of Text Embeddings Inference is."""
    return read_rerank({"results": [*documents]})


def read_rerank_fields(headers: Headers) -> Usage | None:
    """Usage in the header section, where alone Text Embeddings Inference tells it."""
    told = {name.lower(): value.decode("latin-1") for name, value in headers}
    count = tokens(told.get(b"x-compute-tokens"))
    return None if count is None else Usage(count, 0)


def _has_score(result: Document) -> bool:
    return isinstance(result.get("relevance_score", result.get("score")), int | float)


def normalize_rerank(document: Document, preset: Preset) -> Document:
    """The document with its query normalized. Its documents keep their bytes, for they may come back."""
    if preset == "strict" or "query" not in document:
        return document
    return {**document, "query": normalize_prompts(document["query"], preset)}


RERANK: Final = Format(
    name="rerank",
    provider="cohere",
    operation="rerank",
    endpoints=(Endpoint("/rerank", stream=False),),
    left_out=frozenset({"priority"}),
    # The fields of a document are ranked as one text.
    ordered=frozenset({"documents"}),
    bypass=bypass_embeddings,
    normalize=normalize_rerank,
    read_body=read_rerank,
    read_stream=EmbeddingsReader,
    error_body=cohere_error,
    read_list=read_ranks,
    read_fields=read_rerank_fields,
    names_model=False,
)
