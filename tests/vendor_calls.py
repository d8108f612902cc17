"""Calls of the vendors' SDKs, and what their providers answer: as recorded, else as their references lay it out."""

from typing import Final

from tests.scripted import Arguments, Call, body, events, lines, recorded

SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION: Final[Arguments] = {"name": "weather", "description": "Tells the weather.", "parameters": SCHEMA}
TOOL: Final[Arguments] = {"type": "function", "function": FUNCTION}
ASKED: Final = [{"role": "user", "content": "What is the weather in Tokyo?"}]
TEXTS: Final = ["one", "two"]

GEMINI: Final[Arguments] = {"model": "gemini-2.5-flash", "contents": "What is the weather in Tokyo?"}
GEMINI_TOOL: Final[Arguments] = {**GEMINI, "config": {"tools": [{"function_declarations": [FUNCTION]}]}}
GEMINI_CALLED: Final[Arguments] = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Tokyo"}}}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {"promptTokenCount": 40, "candidatesTokenCount": 8, "totalTokenCount": 48},
    "modelVersion": "gemini-2.5-flash",
    "responseId": "g1",
}

MISTRAL: Final[Arguments] = {"model": "mistral-small-latest", "messages": ASKED}
MISTRAL_TOOL: Final[Arguments] = {**MISTRAL, "tools": [TOOL]}
MISTRAL_FIM: Final[Arguments] = {"model": "codestral-latest", "prompt": "def f(", "suffix": "return 1"}
MISTRAL_USAGE: Final = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
MISTRAL_WHOLE: Final[Arguments] = {
    "id": "m1",
    "object": "chat.completion",
    "created": 1,
    "model": "codestral-latest",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x):"}, "finish_reason": "stop"}],
    "usage": MISTRAL_USAGE,
}
MISTRAL_VECTORS: Final[Arguments] = {
    "id": "m2",
    "object": "list",
    "model": "mistral-embed",
    "data": [{"object": "embedding", "index": place, "embedding": [0.5, 0.25]} for place in range(2)],
    "usage": {"prompt_tokens": 4, "completion_tokens": 0, "total_tokens": 4},
}


def mistral_chunk(delta: Arguments, finish: str | None = None, **more: object) -> Arguments:
    """A piece of a streamed answer of Mistral's."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "m3", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


MISTRAL_CALLED: Final = mistral_chunk(
    {"tool_calls": [{"id": "a1", "index": 0, "function": {"name": "weather", "arguments": '{"city": "Tokyo"}'}}]},
    "tool_calls",
    usage=MISTRAL_USAGE,
)
MISTRAL_FILLED: Final = (mistral_chunk({"content": "x"}), mistral_chunk({"content": "):"}, "stop", usage=MISTRAL_USAGE))

COHERE: Final[Arguments] = {"model": "command-r", "messages": ASKED}
COHERE_TOOL: Final[Arguments] = {**COHERE, "tools": [TOOL]}
COHERE_EMBED: Final[Arguments] = {
    "model": "embed-v4.0",
    "input_type": "search_query",
    "texts": TEXTS,
    "embedding_types": ["float"],
}
COHERE_META: Final = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 2}}
COHERE_VECTORS: Final[Arguments] = {
    "id": "c1",
    "embeddings": {"float": [[0.5, 0.25], [0.125, 1.5]]},
    "texts": TEXTS,
    "meta": COHERE_META,
    "response_type": "embeddings_by_type",
}
COHERE_RERANK: Final[Arguments] = {"model": "rerank-v3.5", "query": "one?", "documents": TEXTS}
COHERE_RANKED: Final[Arguments] = {
    "id": "c2",
    "results": [{"index": 0, "relevance_score": 0.75}, {"index": 1, "relevance_score": 0.25}],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
}
COHERE_V1_WHOLE: Final[Arguments] = {
    "response_id": "c3",
    "generation_id": "c4",
    "text": "It is sunny.",
    "chat_history": [{"role": "USER", "message": "Tokyo?"}, {"role": "CHATBOT", "message": "It is sunny."}],
    "finish_reason": "COMPLETE",
    "meta": {
        "api_version": {"version": "1"},
        "billed_units": {"input_tokens": 5, "output_tokens": 4},
        "tokens": {"input_tokens": 70, "output_tokens": 5},
    },
}
COHERE_V1_EVENTS: Final[tuple[Arguments, ...]] = (
    {"is_finished": False, "event_type": "stream-start", "generation_id": "c4"},
    {"is_finished": False, "event_type": "text-generation", "text": "It is "},
    {"is_finished": False, "event_type": "text-generation", "text": "sunny."},
    {"is_finished": True, "event_type": "stream-end", "response": COHERE_V1_WHOLE, "finish_reason": "COMPLETE"},
)

OLLAMA: Final[Arguments] = {"model": "llama3", "messages": ASKED}
OLLAMA_STREAM: Final[Arguments] = {**OLLAMA, "stream": True}
OLLAMA_PROMPT: Final[Arguments] = {"model": "llama3", "prompt": "Why is the sky blue?"}
OLLAMA_ENDED: Final[Arguments] = {
    "model": "llama3",
    "created_at": "2026-11-01T12:00:00Z",
    "done": True,
    "done_reason": "stop",
    "total_duration": 9,
    "prompt_eval_count": 9,
    "eval_count": 3,
}
OLLAMA_CALLED: Final[Arguments] = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Tokyo"}}}],
}


def ollama_piece(**members: object) -> Arguments:
    """A piece of a streamed answer of Ollama's."""
    return {"model": "llama3", "created_at": "2026-11-01T12:00:00Z", "done": False, **members}


def ollama_message(content: str) -> Arguments:
    """The same, with a piece of a message in it."""
    return ollama_piece(message={"role": "assistant", "content": content})


CALLS: Final = {
    "gemini": Call(
        "google",
        "models.generate_content",
        GEMINI,
        recorded("gemini/generateContent/test-google-native-output.json"),
    ),
    "gemini-tool": Call("google", "models.generate_content", GEMINI_TOOL, body(GEMINI_CALLED)),
    "gemini-stream": Call(
        "google",
        "models.generate_content_stream",
        GEMINI,
        recorded("gemini/streamGenerateContent/test-streaming-reasoning.sse"),
    ),
    "gemini-tool-stream": Call("google", "models.generate_content_stream", GEMINI_TOOL, events(GEMINI_CALLED)),
    "gemini-embed": Call(
        "google",
        "models.embed_content",
        {"model": "gemini-embedding-001", "contents": TEXTS},
        recorded("gemini/batchEmbedContents/test-async-embed-content.json"),
    ),
    "vertex": Call(
        "vertex",
        "models.generate_content",
        GEMINI,
        recorded("vertex/generateContent/test-labels.json"),
    ),
    "mistral": Call(
        "mistral",
        "chat.complete",
        MISTRAL,
        recorded("mistral/chat/test-image-as-binary-content-tool-response.json"),
    ),
    "mistral-tool": Call(
        "mistral",
        "chat.complete",
        MISTRAL_TOOL,
        recorded("mistral/chat/test-image-as-binary-content-tool-response-2.json"),
    ),
    "mistral-stream": Call(
        "mistral",
        "chat.stream",
        MISTRAL,
        recorded("mistral/chat/test-mistralai-streaming-chat-with-events-with-content.sse"),
    ),
    "mistral-tool-stream": Call("mistral", "chat.stream", MISTRAL_TOOL, events(MISTRAL_CALLED, done=True)),
    "mistral-fim": Call("mistral", "fim.complete", MISTRAL_FIM, body(MISTRAL_WHOLE)),
    "mistral-fim-stream": Call("mistral", "fim.stream", MISTRAL_FIM, events(*MISTRAL_FILLED, done=True)),
    "mistral-agent": Call("mistral", "agents.complete", {"agent_id": "a", "messages": ASKED}, body(MISTRAL_WHOLE)),
    "mistral-embed": Call(
        "mistral", "embeddings.create", {"model": "mistral-embed", "inputs": TEXTS}, body(MISTRAL_VECTORS)
    ),
    "cohere": Call(
        "cohere", "chat", COHERE, recorded("cohere/chat/test-cohere-v2-chat-legacy-with-tool-calls-and-history.json")
    ),
    "cohere-stream": Call(
        "cohere",
        "chat_stream",
        COHERE,
        recorded("cohere/chat/test-cohere-v2-chat-legacy-with-streaming-async.sse"),
    ),
    "cohere-tool-stream": Call(
        "cohere",
        "chat_stream",
        COHERE_TOOL,
        recorded("cohere/chat/test-cohere-v2-chat-legacy-with-tool-calls-and-streaming.sse"),
    ),
    "cohere-embed": Call("cohere", "embed", COHERE_EMBED, body(COHERE_VECTORS)),
    "cohere-rerank": Call("cohere", "rerank", COHERE_RERANK, body(COHERE_RANKED)),
    "cohere-v1": Call("cohere-v1", "chat", {"message": "Tokyo?"}, body(COHERE_V1_WHOLE)),
    "cohere-v1-stream": Call("cohere-v1", "chat_stream", {"message": "Tokyo?"}, lines(*COHERE_V1_EVENTS)),
    "cohere-v1-generate": Call(
        "cohere-v1",
        "generate",
        {"prompt": "Tell me a joke, pirate style"},
        recorded("cohere/generate/test-cohere-completion-legacy.json"),
    ),
    "cohere-v1-rerank": Call("cohere-v1", "rerank", COHERE_RERANK, body(COHERE_RANKED)),
    "ollama": Call("ollama", "chat", OLLAMA, recorded("ollama/chat/test-ollama-chat-legacy.json")),
    "ollama-tool": Call(
        "ollama", "chat", {**OLLAMA, "tools": [TOOL]}, body({**OLLAMA_ENDED, "message": OLLAMA_CALLED})
    ),
    "ollama-stream": Call(
        "ollama",
        "chat",
        OLLAMA_STREAM,
        lines(
            ollama_message("It is "),
            ollama_message("sunny."),
            {**OLLAMA_ENDED, "message": {"role": "assistant", "content": ""}},
        ),
    ),
    "ollama-tool-stream": Call(
        "ollama",
        "chat",
        {**OLLAMA_STREAM, "tools": [TOOL]},
        lines(ollama_piece(message=OLLAMA_CALLED), {**OLLAMA_ENDED, "message": {"role": "assistant", "content": ""}}),
    ),
    "ollama-generate": Call("ollama", "generate", OLLAMA_PROMPT, body({**OLLAMA_ENDED, "response": "Rayleigh."})),
    "ollama-generate-stream": Call(
        "ollama",
        "generate",
        {**OLLAMA_PROMPT, "stream": True},
        recorded("ollama/generate/test-ollama-async-streaming-generation-legacy.ndjson"),
    ),
    "ollama-embed": Call(
        "ollama",
        "embed",
        {"model": "minilm", "input": TEXTS},
        body(
            {"model": "minilm", "embeddings": [[0.5, 0.25], [0.125, 1.5]], "total_duration": 9, "prompt_eval_count": 2}
        ),
    ),
    "ollama-embeddings": Call(
        "ollama",
        "embeddings",
        {"model": "llama3", "prompt": "one"},
        recorded("ollama/embeddings/test-ollama-embeddings-legacy.json"),
    ),
}

# What Gemini keeps itself and may be asked to go on with.
STATEFUL: Final = Call(
    "google",
    "interactions.create",
    {"model": "gemini-2.5-flash", "input": "Hello", "store": False, "stream": True},
    recorded("gemini/interactions/test-generate-interactions-simple-message-true.sse"),
)
