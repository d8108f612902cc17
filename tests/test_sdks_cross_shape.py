"""The openai and anthropic SDKs where the stored answer has the other shape than the one that is asked for."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest
from anthropic import Anthropic
from anyio.from_thread import BlockingPortal
from openai import OpenAI
from pydantic import BaseModel

from tests.scripted import Stage, recorded

if TYPE_CHECKING:
    from tests.conftest import Serve

Ask = Callable[[str], BaseModel]
Asking = dict[str, tuple[Ask, Ask]]

# What the SDKs' accumulators add to an answer, and what they leave in it of the chunks.
ADDED: Final = frozenset({"parsed", "parsed_arguments", "parsed_output", "output_parsed", "obfuscation"})
STREAMED: Final = {
    "openai/chat/test-complex-agent-run.sse": "chat",
    "openai/chat/test-chat-completion-multiple-choices-streaming.sse": "chat",
    "openai/responses/test-compaction-streaming.sse": "responses",
    "openai/responses/test-apply-patch-2.sse": "responses",
    "anthropic/messages/test-anthropic-prompt-caching-async-stream-legacy.sse": "messages",
    "anthropic/messages/test-thinking.sse": "messages",
}
WHOLE: Final = {
    "openai/chat/test-chat-reasoning.json": "chat",
    "openai/chat/test-chat-with-service-tier.json": "chat",
    "openai/chat/test-open-ai-function-calls.json": "chat",
    "openai/responses/test-image-as-binary-content-input.json": "responses",
    "openai/responses/test-compaction.json": "responses",
    "anthropic/messages/test-anthropic-tool-with-thinking.json": "messages",
    "anthropic/messages/test-stop-settings-anthropic.json": "messages",
    "anthropic/messages/test-anthropic-async-multi-modal-legacy.json": "messages",
}


@pytest.fixture(scope="module")
def stage(serve_module: "Serve", portal: BlockingPortal) -> Stage:
    return Stage(serve_module, portal)


@pytest.fixture(scope="module")
def asking(stage: Stage) -> Iterator[Asking]:
    """How a prompt is put to each endpoint: for a whole answer, and for one that the SDK puts together."""
    with ExitStack() as clients:
        mine = clients.enter_context(OpenAI(base_url=f"{stage.url}/v1", api_key="caller", max_retries=0, timeout=20))
        claude = clients.enter_context(Anthropic(base_url=stage.url, api_key="caller", max_retries=0, timeout=20))
        yield {"chat": chat(mine), "responses": responses(mine), "messages": messages(claude)}


def chat(client: OpenAI) -> tuple[Ask, Ask]:
    completions = client.chat.completions

    def whole(prompt: str) -> BaseModel:
        return completions.create(model="m", messages=[{"role": "user", "content": prompt}])

    def streamed(prompt: str) -> BaseModel:
        asked = completions.stream(
            model="m", messages=[{"role": "user", "content": prompt}], stream_options={"include_usage": True}
        )
        with asked as chunks:
            return chunks.get_final_completion()

    return whole, streamed


def responses(client: OpenAI) -> tuple[Ask, Ask]:
    def whole(prompt: str) -> BaseModel:
        return client.responses.create(model="m", input=prompt)

    def streamed(prompt: str) -> BaseModel:
        with client.responses.stream(model="m", input=prompt) as events:
            return events.get_final_response()

    return whole, streamed


def messages(client: Anthropic) -> tuple[Ask, Ask]:
    def whole(prompt: str) -> BaseModel:
        return client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": prompt}])

    def streamed(prompt: str) -> BaseModel:
        asked = client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": prompt}])
        with asked as events:
            return events.get_final_message()

    return whole, streamed


def told(value: object) -> object:
    """What an answer says, without members that say nothing and what the accumulators add."""
    if isinstance(value, dict):
        left = ADDED | {"index"} if "function" in value else ADDED
        return {name: told(item) for name, item in value.items() if item is not None and name not in left}
    return [told(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", STREAMED)
def test_stored_stream_answers_a_plain_request(stage: Stage, asking: Asking, name: str) -> None:
    """The body of a hit is the object that the SDK put together from the stream of the miss."""
    plain, streamed = asking[STREAMED[name]]
    stage.begin(recorded(name))
    first, second = streamed(name), plain(name)

    assert (1, ["MISS", "HIT"]) == stage.seen()
    assert told(first.model_dump()) == told(second.model_dump())


@pytest.mark.parametrize("name", WHOLE)
def test_stored_body_answers_a_streamed_request(stage: Stage, asking: Asking, name: str) -> None:
    """The SDK puts the object of the miss together from the stream of a hit."""
    plain, streamed = asking[WHOLE[name]]
    stage.begin(recorded(name))
    first, second = plain(name), streamed(name)

    assert (1, ["MISS", "HIT"]) == stage.seen()
    assert told(first.model_dump()) == told(second.model_dump())
