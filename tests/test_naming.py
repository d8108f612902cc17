"""core/naming.py: whom a request is counted for, and for which model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coo_middleware.core.naming import Naming
from coo_middleware.core.routes import RoutePolicy

PATH = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai:gpt-4o", ("openai", "gpt-4o")),
        ("OpenAI/gpt-4o", ("openai", "gpt-4o")),
        ("azure/my-deployment", ("azure.ai.openai", "my-deployment")),
        ("azure.ai.openai/gpt-4o", ("azure.ai.openai", "gpt-4o")),
        ("anthropic:claude-sonnet-5", ("anthropic", "claude-sonnet-5")),
        ("mistral/mistral-large-latest", ("mistral_ai", "mistral-large-latest")),
        ("mistral:mistral-large-latest", ("mistral_ai", "mistral-large-latest")),
        ("groq/llama-3.3-70b", ("groq", "llama-3.3-70b")),
        ("deepseek/deepseek-chat", ("deepseek", "deepseek-chat")),
        ("xai/grok-4", ("x_ai", "grok-4")),
        ("x-ai/grok-4", ("x_ai", "grok-4")),
        ("together_ai/meta-llama/Llama-3", ("together", "meta-llama/Llama-3")),
        ("openrouter/openai/gpt-4o:free", ("openrouter", "openai/gpt-4o:free")),
        ("bedrock/us.anthropic.claude-v2:0", ("aws.bedrock", "us.anthropic.claude-v2:0")),
        ("gemini/gemini-2.5-flash", ("gcp.gemini", "gemini-2.5-flash")),
        ("google-vertex:gemini-2.5-flash", ("gcp.vertex_ai", "gemini-2.5-flash")),
        ("vertex_ai/claude@20250101", ("gcp.vertex_ai", "claude@20250101")),
        ("ollama:llama3:8b", ("ollama", "llama3:8b")),
        ("hosted_vllm/meta-llama/Llama-3", ("vllm", "meta-llama/Llama-3")),
        ("openai:text-embedding-3-small", ("openai", "text-embedding-3-small")),
        ("huggingface/org/model", ("huggingface", "org/model")),
    ],
)
def test_a_known_provider_s_prefix_is_taken_off(model: str, expected: tuple[str, str]) -> None:
    """A prefix that names a provider names the one who is asked, in OpenTelemetry's words where it has some."""
    assert expected == Naming().name("openai", PATH, model)


@pytest.mark.parametrize(
    "model",
    [
        "",
        "gpt-4o",
        "llama3:8b",
        "mistral:7b",
        "mistral:latest",
        "mistral:7b-instruct-v0.2-q4_0",
        "mistral:v0.3",
        "meta-llama/Llama-3",
        "mistralai/Mistral-7B",
        "deepseek-ai/DeepSeek-V3",
        "ft:gpt-4o:org",
        "ft:gpt-4o:my-org::id",
        "us.anthropic.claude-v2:0",
        "accounts/fireworks/models/llama",
        "hf.co/org/model:Q4",
        "openai/",
        "openai:",
        "/gpt-4o",
        ":",
        "openai gpt-4o",
    ],
)
def test_other_names_stay_whole(model: str) -> None:
    """A tag, an organisation, a fine-tuned model's owner and a version are no providers."""
    assert ("ollama", model) == Naming().name("ollama", PATH, model)


@pytest.mark.parametrize(
    ("path", "model", "expected"),
    [
        ("/eu/v1/chat/completions", "gpt-4o", ("azure-eu", "gpt-4o")),
        ("/eu/v1/chat/completions", "mistral/large", ("azure-eu", "mistral/large")),
        ("/v1/chat/completions", "openai/gpt-oss-20b", ("groq", "openai/gpt-oss-20b")),
        ("/v1/chat/completions", "Openai/gpt-oss-20b", ("openai", "gpt-oss-20b")),
        ("/v1/chat/completions", "gpt-5a", ("five", "gpt-5a")),
        ("/v1/chat/completions", "gpt-5ab", ("openai", "gpt-5ab")),
    ],
)
def test_the_first_rule_that_fits_counts(path: str, model: str, expected: tuple[str, str]) -> None:
    """A rule needs both its path and its model to fit, names the provider, and leaves the model as it came."""
    naming = Naming(
        [
            RoutePolicy(path="/eu/*", format="chat"),
            RoutePolicy(path="/eu/*", provider="azure-eu"),
            RoutePolicy(model="openai/*", provider="groq"),
            RoutePolicy(model="gpt-5?", provider="five"),
            RoutePolicy(path="/eu/*", provider="never"),
        ]
    )

    assert expected == naming.name("openai", path, model)


@given(provider=st.text(), path=st.text(), model=st.text())
def test_every_name_has_an_answer(provider: str, path: str, model: str) -> None:
    """The model is what came or its end, and the provider is the path's unless a prefix was taken off."""
    named, rest = Naming([RoutePolicy(path="/never", provider="p")]).name(provider, path, model)

    assert model.endswith(rest)
    assert named == provider or rest != model
