"""Gemini's requests: what must reach the provider, and which texts are prose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.document import Document, Json
from coo_middleware.formats import recognise
from coo_middleware.formats.gemini import GEMINI

JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from(
    (
        *("contents", "systemInstruction", "parts", "role", "text", "fileData", "file_data", "fileUri"),
        *("functionResponse", "tools", "functionDeclarations", "store", "generationConfig", "outputConfig"),
    )
)
ODD = st.recursive(JSON, lambda children: st.lists(children, max_size=2) | st.dictionaries(MEMBERS, children))


@pytest.mark.parametrize(
    ("path", "provider", "model", "stream"),
    [
        ("/v1beta/models/gemini-2.5-flash:generateContent", "gcp.gemini", "gemini-2.5-flash", False),
        ("/v1/models/gemini-2.5-flash:streamGenerateContent", "gcp.gemini", "gemini-2.5-flash", True),
        ("/proxy/x/v1/models/m:generateContent", "gcp.gemini", "m", False),
        ("/v1beta/tunedModels/mine:streamGenerateContent", "gcp.gemini", "mine", True),
        ("/v1/projects/p/locations/l/publishers/google/models/m:generateContent", "gcp.vertex_ai", "m", False),
        ("/v1beta1/publishers/google/models/m:streamGenerateContent", "gcp.vertex_ai", "m", True),
        ("/v1/projects/p/locations/l/publishers/meta/models/m:generateContent", "gcp.vertex_ai", "m", False),
        ("/v1/projects/p/locations/l/endpoints/123:streamGenerateContent", "gcp.vertex_ai", "123", True),
    ],
)
def test_the_path_tells_provider_model_and_stream(path: str, provider: str, model: str, stream: bool) -> None:
    """Both services are known by their paths, which name the model and say whether it streams."""
    route = recognise(path)

    assert route is not None
    assert (GEMINI, provider, model, stream, "") == (
        route.format,
        route.provider,
        route.model,
        route.stream,
        route.bypass,
    )


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models/m:generateContent/",
        "/v1beta/models/:generateContent",
        "/v1beta/models/m",
        "/v1beta/generateContent",
        "/v1beta/models/m:predict",
    ],
)
def test_other_paths_speak_no_format(path: str) -> None:
    """A neighbour of a format's path, or another spelling of it, is not that format."""
    assert recognise(path) is None


def part(**members: Json) -> Document:
    return {"contents": [{"role": "user", "parts": [{"text": "a"}, members]}]}


def file(uri: Json) -> Document:
    return part(fileData={"mimeType": "image/png", "fileUri": uri})


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, ""),
        ({"cachedContent": "cachedContents/x"}, "stateful"),
        ({"cached_content": "cachedContents/x"}, "stateful"),
        ({"continuationToken": "x"}, "stateful"),
        ({"cachedContent": None}, ""),
        ({"store": True}, "stored-completion"),
        ({"store": False}, ""),
        ({"generationConfig": {"outputConfig": {"outputUriPrefix": "gs://b"}}}, "stored-completion"),
        ({"generation_config": {"output_config": {}}}, "stored-completion"),
        ({"generationConfig": {"temperature": 0, "outputConfig": None}}, ""),
        ({"generationConfig": 1}, ""),
    ],
)
def test_state_bypasses(members: Document, reason: str) -> None:
    """What depends on state at the provider, or leaves something there, bypasses; null is absent."""
    assert reason == GEMINI.bypass({"contents": [], **members})


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        (None, ""),
        ([], ""),
        ([{"functionDeclarations": [{"name": "f"}]}, {"function_declarations": []}], ""),
        ({"functionDeclarations": {"name": "f"}}, ""),
        ([{"googleSearch": {}}], "server-tool"),
        ([{"google_search": {}}], "server-tool"),
        ([{"functionDeclarations": [], "googleSearchRetrieval": {}}], "server-tool"),
        ([{"functionDeclarations": []}, {"urlContext": {}}], "server-tool"),
        ([{"url_context": {}}], "server-tool"),
        ([{"codeExecution": {}}], "server-tool"),
        ([{"fileSearch": {}}], "server-tool"),
        ([{"computerUse": {}}], "server-tool"),
        ([{"google_maps": {}}], "server-tool"),
        ([{"retrieval": {}}], "server-tool"),
        ([{"unheard": {}}], "server-tool"),
        ({"googleSearch": {}}, "server-tool"),
        ([1], "server-tool"),
        ("googleSearch", "server-tool"),
    ],
)
def test_only_declared_functions_are_the_callers_own_tools(tools: Json, reason: str) -> None:
    """The provider runs, or may run, every other kind of tool."""
    assert reason == GEMINI.bypass({"tools": tools})


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (file("https://example.com/a.png"), ""),
        (file("HTTP://example.com/files/a.png"), ""),
        (file("https://www.youtube.com/watch?v=1"), ""),
        (file("https://generativelanguage.googleapis.com/v1beta/files/abc"), "file"),
        (file("https://proxy.example.com/gemini/v1/files/abc"), "file"),
        (file("files/abc"), "file"),
        (file("gs://bucket/a.png"), "file"),
        (file(""), "file"),
        (file(1), "file"),
        (part(file_data={"mime_type": "image/png", "file_uri": "gs://bucket/a.png"}), "file"),
        (part(fileData={"fileUri": "https://example.com/a", "file_uri": "gs://bucket/a"}), "file"),
        (part(fileData={"mimeType": "image/png"}), "file"),
        (part(fileData="gs://bucket/a.png"), "file"),
        (part(inlineData={"mimeType": "image/png", "data": "AA=="}), ""),
        (part(functionResponse={"name": "f", "response": {"fileData": {"fileUri": "gs://b"}}}), ""),
        (part(functionResponse={"name": "f", "parts": [{"fileData": {"fileUri": "gs://b/a"}}]}), "file"),
        (part(function_response={"name": "f", "parts": {"file_data": {"file_uri": "gs://b/a"}}}), "file"),
        ({"systemInstruction": {"parts": [{"fileData": {"fileUri": "files/a"}}]}}, "file"),
        ({"system_instruction": {"parts": [{"fileData": {"fileUri": "files/a"}}]}}, "file"),
        ({"contents": {"parts": {"fileData": {"fileUri": "gs://b/a"}}}}, "file"),
        ({"contents": [1, {"parts": "a"}, {}]}, ""),
    ],
)
def test_files_of_the_provider_bypass(document: Document, reason: str) -> None:
    """A file behind a name may change or be gone; content is in the document, and a web address counts as its text."""
    assert reason == GEMINI.bypass(document)


def said(role: str | None, *texts: str) -> Document:
    named: Document = {} if role is None else {"role": role}
    return {**named, "parts": [{"text": text} for text in texts]}


def test_prose_is_normalized() -> None:
    """Edges go from instructions and contents, and white space between two parts stays."""
    document: Document = {
        "systemInstruction": said("user", " s\r\n"),
        "contents": [said(None, " a ", " b "), said("model", " c "), said("user", "e\u0301 ")],
        "generationConfig": {"stopSequences": [" x "]},
    }
    expected: Document = {
        "systemInstruction": said("user", "s"),
        "contents": [said(None, "a ", " b"), said("model", "c"), said("user", "\u00e9")],
        "generationConfig": {"stopSequences": [" x "]},
    }

    assert expected == GEMINI.normalize(document, "text")
    assert document is GEMINI.normalize(document, "strict")
    assert {"system_instruction": said(None, "a b")} == GEMINI.normalize(
        {"system_instruction": said(None, " A\n b ")}, "loose"
    )


def test_what_the_model_continues_keeps_its_edges() -> None:
    """The model goes on where a content of its own stands last, so its outer white space counts."""
    document: Document = {"contents": [said("model", " a "), said("model", " b\r\n")]}

    assert {"contents": [said("model", "a"), said("model", " b\n")]} == GEMINI.normalize(document, "text")


@pytest.mark.parametrize(
    "contents",
    [
        [{"role": "user", "parts": [{"text": " a ", "thoughtSignature": "x"}]}],
        [{"role": "model", "parts": [{"text": " a ", "thought": True}]}],
        [{"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"text": " a "}}}]}],
        [{"role": "function", "parts": [{"text": " a "}]}],
        [{"role": [], "parts": [{"text": " a "}]}],
        [{"role": "user", "parts": [{"text": 1}, " a ", {}]}],
        [{"role": "user", "parts": {"text": " a "}}],
        [{"role": "user"}],
        [" a ", None],
        [None],
        {"parts": [{"text": " a "}]},
        " a ",
    ],
)
def test_what_is_no_prose_keeps_its_bytes(contents: Json) -> None:
    """Signed parts, results of functions and whatever is not understood stay as they are."""
    assert {"contents": contents} == GEMINI.normalize({"contents": contents}, "text")


def test_a_document_without_contents_stays() -> None:
    """Nothing is added to a document, and an empty list of contents is not another one."""
    assert {"a": 1} == GEMINI.normalize({"a": 1}, "text")
    assert {"contents": []} == GEMINI.normalize({"contents": []}, "text")


@given(st.dictionaries(MEMBERS, ODD))
def test_odd_requests_never_raise(document: Document) -> None:
    """Whatever JSON a request is made of, it gets a verdict, and to be normalized twice changes nothing more."""
    assert GEMINI.bypass(document) in {"", "stateful", "stored-completion", "file", "server-tool"}
    once = GEMINI.normalize(document, "loose")
    assert once == GEMINI.normalize(once, "loose")


def test_labels_are_left_out_and_the_order_of_schemas_counts() -> None:
    """Labels are for the bill alone; schemas stand in the configuration and in the tools, in either spelling."""
    assert {"labels"} == GEMINI.left_out
    assert {"generationConfig", "generation_config", "tools", "toolConfig", "tool_config"} == GEMINI.ordered
