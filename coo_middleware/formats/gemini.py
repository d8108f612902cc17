"""Google's Gemini, as its own API and as Vertex AI speak it (https://ai.google.dev/api/generate-content).

Members may be spelled in camelCase or in snake_case, and where a list holds one object, that object may stand alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.core.normalize import normalize_prompt
from coo_middleware.formats.answer import items_of
from coo_middleware.formats.candidates import CandidatesReader, read_candidates, read_chunks
from coo_middleware.formats.errors import google_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coo_middleware.core.document import Document, Json
    from coo_middleware.core.normalize import Preset

VERTEX: Final = "gcp.vertex_ai"

_STATES: Final = ("cachedContent", "cached_content", "continuationToken", "continuation_token")
_CONFIGS: Final = ("generationConfig", "generation_config")
_OUTPUTS: Final = ("outputConfig", "output_config")
_INSTRUCTIONS: Final = ("systemInstruction", "system_instruction")
_RESPONSES: Final = ("functionResponse", "function_response")
_FILES: Final = ("fileData", "file_data")
_URIS: Final = ("fileUri", "file_uri")
# Every other kind of tool is, or may be, one that the provider runs.
_CLIENT_TOOLS: Final = frozenset({"functionDeclarations", "function_declarations"})
# Google's own files have addresses on the web too: https://generativelanguage.googleapis.com/v1beta/files/abc.
_WEB: Final = re.compile(r"https?://(?!.*/v1[a-z0-9]*/files/)", re.IGNORECASE)
# A tuple, for a role may be anything, also what has no hash.
_PROSE_ROLES: Final = (None, "user", "model", "system")
_OUTER: Final = " \t\r\n"


def bypass_gemini(document: Document) -> str:
    """The reason why this request must reach the provider, or ""."""
    if any(document.get(name) is not None for name in _STATES):
        return "stateful"
    configs = (document.get(name) for name in _CONFIGS)
    if document.get("store") not in (None, False) or any(map(_writes, configs)):
        return "stored-completion"
    if refer_to_files([document.get("contents"), *(document.get(name) for name in _INSTRUCTIONS)]):
        return "file"
    return "" if _are_client_tools(document.get("tools")) else "server-tool"


def _writes(config: Json) -> bool:
    """Whether media go to the caller's storage bucket instead of into the answer."""
    return isinstance(config, dict) and any(config.get(name) is not None for name in _OUTPUTS)


def _are_client_tools(tools: Json) -> bool:
    """Whether the caller executes all of them. A kind that is not known may be executed by the provider."""
    if tools is None:
        return True
    listed = tools if isinstance(tools, list) else [tools]
    return all(isinstance(tool, dict) and tool.keys() <= _CLIENT_TOOLS for tool in listed)


def refer_to_files(contents: Iterable[Json]) -> bool:
    """Whether a part stands for a file that the provider keeps; an address on the web counts as its text."""
    parts = [part for value in contents for content in objects_of(value) for part in objects_of(content.get("parts"))]
    responses = [response for part in parts for name in _RESPONSES for response in objects_of(part.get(name))]
    parts += [part for response in responses for part in objects_of(response.get("parts"))]
    return any(name in part and not _is_web(part[name]) for part in parts for name in _FILES)


def _is_web(data: Json) -> bool:
    uris = [data[name] for name in _URIS if name in data] if isinstance(data, dict) else []
    return bool(uris) and all(isinstance(uri, str) and _WEB.match(uri) for uri in uris)


def objects_of(value: Json) -> list[Document]:
    """The objects in a list, or the one that stands for a list of itself."""
    return [value] if isinstance(value, dict) else items_of(value)


def normalize_gemini(document: Document, preset: Preset) -> Document:
    """The document with the texts of its system instruction and of its contents normalized."""
    if preset == "strict":
        return document
    normalized = dict(document)
    for name in _INSTRUCTIONS:
        if name in document:
            normalized[name] = normalize_parts(document[name], preset)
    contents = document.get("contents")
    if isinstance(contents, list):
        last = len(contents) - 1
        normalized["contents"] = [
            normalize_parts(content, preset, trim=place < last or not _is_models(content))
            for place, content in enumerate(contents)
        ]
    return normalized


def _is_models(content: Json) -> bool:
    """Whether it is the model's own. Where such a content stands last, the model goes on where it ends."""
    return isinstance(content, dict) and content.get("role") == "model"


def normalize_parts(content: Json, preset: Preset, *, trim: bool = True) -> Json:
    """A content with its texts normalized; its outer white space goes unless `trim` is False.

    A part that has more than its text, such as a signature over it, keeps its bytes.
    """
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(parts, list) or content.get("role") not in _PROSE_ROLES:
        return content
    ends = len(parts) - 1
    normalized = [
        _normalize_part(part, preset, first=trim and place == 0, last=trim and place == ends)
        for place, part in enumerate(parts)
    ]
    return {**content, "parts": normalized}


def _normalize_part(part: Json, preset: Preset, *, first: bool, last: bool) -> Json:
    text = part.get("text") if isinstance(part, dict) and len(part) == 1 else None
    if not isinstance(text, str):
        return part
    # White space between two parts separates words, so only the content's own edges are outer.
    text = normalize_prompt(text, preset)
    text = text.lstrip(_OUTER) if first else text
    return {"text": text.rstrip(_OUTER) if last else text}


GEMINI: Final = Format(
    name="gemini",
    provider="gcp.gemini",
    operation="generate_content",
    endpoints=tuple(
        Endpoint(f"{place}/{{model}}:{verb}", stream=stream, provider=provider)
        for verb, stream in (("generateContent", False), ("streamGenerateContent", True))
        for place, provider in (
            ("/models", ""),
            ("/tunedModels", ""),
            ("/publishers/*/models", VERTEX),
            ("/endpoints", VERTEX),
        )
    ),
    left_out=frozenset({"labels"}),
    ordered=frozenset({*_CONFIGS, "tools", "toolConfig", "tool_config"}),
    bypass=bypass_gemini,
    normalize=normalize_gemini,
    read_body=read_candidates,
    read_stream=CandidatesReader,
    error_body=google_error,
    read_list=read_chunks,
    names_model=False,
)
