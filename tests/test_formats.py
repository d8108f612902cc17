"""A path is recognised by its end, as whole segments."""

import pytest

from coo_middleware.formats import FORMATS, recognise


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat"),
        ("/chat/completions", "chat"),
        ("/openai/deployments/gpt-4o/chat/completions", "chat"),
        ("/v1beta/openai/chat/completions", "chat"),
        ("/v1/completions", "completions"),
        ("/completions", "completions"),
        ("/v1/xchat/completions", "completions"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/responses", "responses"),
        ("/proxy/x/openai/v1/responses", "responses"),
        ("/v1/messages", "messages"),
        ("/anthropic/v1/messages", "messages"),
    ],
)
def test_a_format_is_known_under_any_mount(path: str, name: str) -> None:
    """What stands before the format's own segments does not count."""
    spoken = recognise(path)

    assert spoken is not None
    assert name == spoken.name


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "completions",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/chatcmpl-1",
        "/v1/xcompletions",
        "/v1/fim/completions",
        "/v1/agents/completions",
        "/v1/threads/thread_1/messages",
        "/messages",
        "/xv1/messages",
        "/v1/messages/count_tokens",
        "/v1/messages/batches",
        "/v1/responses/compact",
        "/v1/responses/resp_1",
        "/v1/Embeddings",
        "/v1/models",
    ],
)
def test_other_paths_speak_no_format(path: str) -> None:
    """A neighbour of a format's path, or another spelling of it, is not that format."""
    assert recognise(path) is None


def test_every_format_is_found_by_its_tails() -> None:
    """The tails that a format names are those by which it is recognised."""
    assert [[spoken] * len(spoken.tails) for spoken in FORMATS] == [
        [recognise(tail) for tail in spoken.tails] for spoken in FORMATS
    ]
    assert len(FORMATS) == len({spoken.name for spoken in FORMATS})
