"""Reranking, as Cohere (https://docs.cohere.com/reference/rerank), Jina (https://api.jina.ai/redoc), Voyage
(https://docs.voyageai.com/reference/reranker-api), vLLM, OpenRouter and Hugging Face's Text Embeddings Inference
(https://huggingface.github.io/text-embeddings-inference) do it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_prompts
from coo_middleware.core.outcome import Outcome, Usage, tokens
from coo_middleware.formats.answer import items_of, text_of
from coo_middleware.formats.cohere_answer import tells_failure, usage_of_input
from coo_middleware.formats.embeddings import EmbeddingsReader, bypass_embeddings
from coo_middleware.formats.errors import cohere_error
from coo_middleware.formats.portions import BARE, Listing, close_answer, make_portions, open_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coo_middleware.core.document import Document, Json
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


# Models that score each document by itself. Cohere's score is one of the query and a piece of one document
# (https://docs.cohere.com/docs/reranking-best-practices), Voyage's and the others are cross-encoders of such pairs.
# jina-reranker-v3 is none: it reads all documents in one context (arXiv:2509.25085). Nor is any that is not known.
_POINTWISE: Final = (
    *("rerank-english-", "rerank-multilingual-", "rerank-v2", "rerank-v3", "rerank-v4"),
    *("rerank-1", "rerank-2", "rerank-lite-1"),
    *("jina-reranker-v1-", "jina-reranker-v2-", "bge-reranker-", "qwen3-reranker-"),
)
_RESULTS: Final = ("results", "data", BARE)
_LIMITS: Final = ("top_n", "top_k")


def _are_alone(document: Document, items: list[Json]) -> bool:
    """Whether a document's score is its own. Text Embeddings Inference, whose documents are `texts`, serves nothing but
    cross-encoders and names none.
    """
    model = text_of(document, "model").rpartition("/")[2].lower()
    limits = [document[name] for name in _LIMITS if document.get(name) is not None]
    alone = model.startswith(_POINTWISE) or ("texts" in document and not model)
    return alone and all(type(limit) is int and limit > 0 for limit in limits) and all(map(_is_prose, items))


def _is_prose(item: Json) -> bool:
    texts = item.values() if isinstance(item, dict) and "image" not in item else [item]
    return all(isinstance(text, str) for text in texts)


_LISTING: Final = Listing(
    inputs=("documents", "texts"),
    known=frozenset({"model", "query", "return_documents", "return_text", "raw_scores", "truncate", "truncation"})
    | {"truncation_direction", "max_tokens_per_doc", "max_chunks_per_doc", "rank_fields", "priority", "user"},
    fits=_are_alone,
    items=_RESULTS,
    told=("usage", "meta"),
    limits=frozenset(_LIMITS),
    common="query",
    indexed=True,
)
_LISTED: Final = make_portions(_LISTING)


def _join_ranks(document: Document, answers: Sequence[Json], place: int) -> Json:
    """The best first, as many as were asked for."""
    joined = open_answer(_LISTED.join(document, answers, place))
    limits = [limit for name in _LIMITS if isinstance(limit := document.get(name), int)]
    for name in _RESULTS:
        results = items_of(joined.get(name))
        if results:
            if not all(map(_has_score, results)):
                return None
            joined[name] = [*sorted(results, key=_score, reverse=True)[: min(limits, default=None)]]
    return close_answer(joined) or None


def _score(result: Document) -> float:
    score = result.get("relevance_score", result.get("score"))
    return score if isinstance(score, int | float) else 0.0


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
    portions=replace(_LISTED, join=_join_ranks),
)
