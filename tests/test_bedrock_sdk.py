"""AWS's SDK through the middleware: what it parses of Bedrock's answers, and what it raises."""

import json
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Final

import boto3
import pytest
from anyio.from_thread import BlockingPortal
from botocore.awsrequest import AWSRequest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch, EventStream
from botocore.exceptions import ClientError, EventStreamError
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError

from coo_middleware.core.document import Document
from tests.event_frames import event, failure
from tests.scripted import MEDIA, Answer, Arguments, Call, Stage, body, recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Serve

Fields = dict[str, str]

ASKED: Final[Arguments] = {
    "modelId": "us.amazon.nova-micro-v1:0",
    "messages": [{"role": "user", "content": [{"text": "What is the weather in Tokyo?"}]}],
}
TOOL: Final = {
    "name": "weather",
    "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
ASKED_TOOL: Final[Arguments] = {**ASKED, "toolConfig": {"tools": [{"toolSpec": TOOL}]}}
USAGE: Final[Document] = {"inputTokens": 40, "outputTokens": 8, "totalTokens": 48}
CALLED: Final[Arguments] = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Tokyo"}}}],
        }
    },
    "stopReason": "tool_use",
    "usage": USAGE,
    "metrics": {"latencyMs": 9},
}
CALLED_STREAM: Final = Answer(
    MEDIA[".eventstream"],
    (
        event("messageStart", {"role": "assistant"}),
        event(
            "contentBlockStart",
            {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t1", "name": "weather"}}},
        ),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"city": '}}}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '"Tokyo"}'}}}),
        event("contentBlockStop", {"contentBlockIndex": 0}),
        event("messageStop", {"stopReason": "tool_use"}),
        event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 9}}),
    ),
)

THROTTLED: Final = Answer(
    MEDIA[".eventstream"],
    (*CALLED_STREAM.pieces[:3], failure("exception", {"message": "Too many requests."})),
)


def invoked(model: str, **members: object) -> Arguments:
    """What a vendor's own content is sent with."""
    return {"modelId": model, "body": json.dumps(members)}


TITAN: Final = invoked("amazon.titan-text-express-v1", inputText="Tell me a joke")
TITAN_EMBED: Final = invoked("amazon.titan-embed-text-v2:0", inputText="one")
CLAUDE: Final = invoked(
    "anthropic.claude-3-5-sonnet-20240620-v1:0",
    anthropic_version="bedrock-2023-05-31",
    max_tokens=200,
    messages=[{"role": "user", "content": "Hello!"}],
)
CALLS: Final = {
    "converse": Call("boto3", "converse", ASKED, recorded("bedrock/converse/test-agent-loop-v1.json")),
    "converse-tool": Call("boto3", "converse", ASKED_TOOL, body(CALLED)),
    "converse-stream": Call(
        "boto3",
        "converse_stream",
        ASKED,
        recorded("bedrock/converse-stream/test-bedrock-model-iter-stream-2.eventstream"),
    ),
    "converse-citations": Call(
        "boto3", "converse_stream", ASKED, recorded("bedrock/converse-stream/test-citations-v1-v1.eventstream")
    ),
    "converse-tool-stream": Call("boto3", "converse_stream", ASKED_TOOL, CALLED_STREAM),
    "invoke-titan": Call("boto3", "invoke_model", TITAN, recorded("bedrock/invoke/test-invoke-model-metrics.json")),
    "invoke-embed": Call(
        "boto3", "invoke_model", TITAN_EMBED, body({"embedding": [0.5, 0.25], "inputTextTokenCount": 1})
    ),
    "invoke-claude": Call(
        "boto3",
        "invoke_model",
        CLAUDE,
        recorded("bedrock/invoke/testclaudeinvokemodelmessageapi-test-invoke-model-with-image.json"),
    ),
    "invoke-claude-stream": Call(
        "boto3",
        "invoke_model_with_response_stream",
        CLAUDE,
        recorded("bedrock/invoke-with-response-stream/testinvokemodelwithstreamresponse-test-invoke.eventstream"),
    ),
}
EVERY_CALL: Final = pytest.mark.parametrize("name", CALLS)
STREAMS: Final = [name for name, call in CALLS.items() if call.answer.streams]


@pytest.fixture(scope="module")
def stage(serve_module: "Serve", portal: BlockingPortal) -> Stage:
    return Stage(serve_module, portal)


def ask(stage: Stage, call: Call, access_key: str, fields: Fields | None = None) -> object:
    """What a client of its own makes of a call's answer."""
    with closing(connect(stage.url, access_key, fields or {})) as client:
        method: Callable[..., Arguments] = getattr(client, call.method)
        return parsed(method(**call.arguments))


def connect(url: str, access_key: str, fields: Fields) -> BaseClient:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key="made-up",
        config=Config(retries={"total_max_attempts": 1}),
    )

    def add_fields(request: AWSRequest, **_: object) -> None:
        for name, value in fields.items():
            request.headers[name] = value

    client.meta.events.register("before-sign", add_fields)
    return client


def parsed(answer: Arguments) -> object:
    """All that the SDK gives but the metadata of HTTP, streams read to their ends."""
    return {name: read(value) for name, value in answer.items() if name != "ResponseMetadata"}


def read(value: object) -> object:
    if isinstance(value, StreamingBody):
        return json.loads(value.read())
    if isinstance(value, EventStream):
        with closing(value) as events:
            return list(events)
    return value


@EVERY_CALL
def test_hit_equals_the_miss(stage: Stage, name: str) -> None:
    """The second answer is a hit and parses to equal values, or to an equal list of events."""
    call = CALLS[name]
    stage.begin(call.answer)
    first, second = ask(stage, call, name), ask(stage, call, name)

    assert (1, ["MISS", "HIT"]) == stage.seen()
    assert first == second
    assert first


@pytest.mark.parametrize("breaks", [False, True], ids=["ends early", "breaks off"])
@pytest.mark.parametrize("name", STREAMS)
def test_cut_stream_is_never_a_hit(stage: Stage, name: str, breaks: bool) -> None:
    """A stream without its last event is not replayed, whether the client can tell or not; the next whole one is."""
    call, key = CALLS[name], f"cut-{breaks}-{name}"
    stage.begin(call.answer.cut(breaks=breaks), call.answer)
    with pytest.raises(ProtocolError) if breaks else nullcontext():
        ask(stage, call, key)
    whole, replayed = ask(stage, call, key), ask(stage, call, key)

    assert (2, ["MISS", "MISS", "HIT"]) == stage.seen()
    assert whole == replayed


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (recorded("derived/converse-stream-bad-crc.eventstream"), ChecksumMismatch),
        (THROTTLED, EventStreamError),
    ],
    ids=["checksum", "exception"],
)
def test_failed_stream_raises_and_is_not_stored(stage: Stage, answer: Answer, error: type[Exception]) -> None:
    """A stream that fails on its way raises what the SDK raises without us, each time."""
    call = CALLS["converse-stream"]
    stage.begin(answer, answer)
    for _ in range(2):
        with pytest.raises(error):
            ask(stage, call, f"failed-{error.__name__}")

    assert (2, ["MISS", "MISS"]) == stage.seen()


@EVERY_CALL
def test_another_access_key_is_a_miss(stage: Stage, name: str) -> None:
    """What one caller was answered is never given to another."""
    call = CALLS[name]
    stage.begin(call.answer, call.answer)
    mine, yours = ask(stage, call, "mine-" + name), ask(stage, call, "yours-" + name)

    assert (2, ["MISS", "MISS"]) == stage.seen()
    assert mine == yours


@EVERY_CALL
def test_our_errors_are_the_sdks_own(stage: Stage, name: str) -> None:
    """What we answer ourselves raises the class that the SDK has for the status, and says why."""
    stage.begin()
    with pytest.raises(ClientError, match="only-if-cached was asked for") as raised:
        ask(stage, CALLS[name], "nobody", {"Cache-Control": "only-if-cached"})

    assert "InternalServerException" == type(raised.value).__name__
    assert 504 == raised.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert (0, ["MISS"]) == stage.seen()
