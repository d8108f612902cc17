"""Google's embeddings (https://ai.google.dev/api/embeddings), and Vertex AI's older way by `:predict`
(https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_prompt
from coo_middleware.core.outcome import Outcome, Usage, tokens
from coo_middleware.formats.answer import merge_counts, reports_error
from coo_middleware.formats.candidates import merge_audio
from coo_middleware.formats.embeddings import EmbeddingsReader
from coo_middleware.formats.errors import google_error
from coo_middleware.formats.gemini import VERTEX, normalize_parts, objects_of, refer_to_files
from coo_middleware.formats.portions import Listing, make_portions

if TYPE_CHECKING:
    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.normalize import Preset


def read_gemini_embeddings(document: Document) -> Outcome:
    """Judges a whole JSON answer: one `embedding`, a list of `embeddings`, or `predictions` that have some each."""
    vectors = _vectors(document)
    return Outcome(
        whole=bool(vectors),
        usage=_usage(document.get("usageMetadata"), vectors),
        finish_reasons=(),
        error=reports_error(document),
        sound=bool(vectors) and all(map(_is_vector, vectors)),
        model="",
    )


def _vectors(document: Document) -> list[Json]:
    if "embedding" in document:
        return [document["embedding"]]
    if isinstance(embeddings := document.get("embeddings"), list):
        return embeddings
    predictions = document.get("predictions")
    listed = predictions if isinstance(predictions, list) else []
    return [prediction.get("embeddings") if isinstance(prediction, dict) else None for prediction in listed]


def _is_vector(vector: Json) -> bool:
    values = vector.get("values") if isinstance(vector, dict) else None
    return isinstance(values, list) and bool(values)


def _usage(told: Json, vectors: list[Json]) -> Usage | None:
    """An embedding generates nothing. Only Vertex tells a count with each vector, and it may leave one out."""
    counts: dict[str, int] = {}
    merge_counts(counts, told)
    merge_audio(counts, told)
    each = [_vector_tokens(vector) for vector in vectors]
    known = [count for count in each if count is not None]
    total = counts.get("promptTokenCount", sum(known) if known and len(known) == len(each) else None)
    return None if total is None else Usage(total, 0, input_audio_tokens=counts.get("promptTokensDetails.audio"))


def _vector_tokens(vector: Json) -> int | None:
    statistics = vector.get("statistics") if isinstance(vector, dict) else None
    if not isinstance(statistics, dict):
        return None
    return tokens(statistics.get("token_count", statistics.get("tokenCount")))


def bypass_gemini_embeddings(document: Document) -> str:
    """The reason why this request must reach the provider, or "". `:predict` also makes images and serves any model:
    only instances that are a text to embed are understood.
    """
    instances = document.get("instances", [])
    if not isinstance(instances, list) or not all(map(_is_text, instances)):
        return "prediction"
    requests = [document, *objects_of(document.get("requests"))]
    return "file" if refer_to_files(request.get("content") for request in requests) else ""


def _is_text(instance: Json) -> bool:
    return isinstance(instance, dict) and isinstance(instance.get("content"), str)


def _are_alone(_: Document, items: list[Json]) -> bool:
    """Whether the inputs are texts, each with settings of its own: the parts of one content are one input."""
    contents = [item.get("content") if isinstance(item, dict) else None for item in items]
    parts = [content.get("parts") if isinstance(content, dict) else None for content in contents]
    texts = [isinstance(each, list) and all(map(_is_text_part, each)) for each in parts]
    return all(isinstance(content, str) or text for content, text in zip(contents, texts, strict=True))


def _is_text_part(part: Json) -> bool:
    return isinstance(part, dict) and part.keys() == {"text"}


# `instances` and `metadata` are Vertex AI's `:predict`, whose predictions tell their own tokens.
_PORTIONS: Final = make_portions(
    Listing(
        inputs=("requests", "instances"),
        known=frozenset({"parameters", "labels"}),
        fits=_are_alone,
        items=("embeddings", "predictions"),
        told=("usageMetadata", "metadata"),
    )
)


def normalize_gemini_embeddings(document: Document, preset: Preset) -> Document:
    """The document with its inputs normalized; their outer white space counts."""
    if preset == "strict":
        return document
    normalized = _normalize_input(document, preset)
    for name in ("requests", "instances"):
        value = document.get(name)
        if isinstance(value, list):
            normalized[name] = [_normalize_input(item, preset) if isinstance(item, dict) else item for item in value]
    return normalized


def _normalize_input(members: Document, preset: Preset) -> Document:
    content = members.get("content")
    if isinstance(content, str):
        return {**members, "content": normalize_prompt(content, preset)}
    return {**members, "content": normalize_parts(content, preset, trim=False)} if content is not None else {**members}


GEMINI_EMBEDDINGS: Final = Format(
    name="gemini-embeddings",
    provider="gcp.gemini",
    operation="embeddings",
    endpoints=(
        *(
            Endpoint(f"{place}/{{model}}:{verb}", stream=False, provider=provider)
            for verb in ("embedContent", "batchEmbedContents")
            for place, provider in (("/models", ""), ("/publishers/*/models", VERTEX))
        ),
        Endpoint("/publishers/google/models/{model}:predict", stream=False, provider=VERTEX),
    ),
    left_out=frozenset({"labels"}),
    ordered=frozenset(),
    bypass=bypass_gemini_embeddings,
    normalize=normalize_gemini_embeddings,
    read_body=read_gemini_embeddings,
    read_stream=EmbeddingsReader,
    error_body=google_error,
    portions=_PORTIONS,
    names_model=False,
)
