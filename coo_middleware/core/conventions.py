"""The names of OpenTelemetry's GenAI semantic conventions, as of September 2026, and our own beside them
(https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai). Nowhere else does a name of them stand.
"""

from __future__ import annotations

from typing import Final

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
USAGE_TYPE: Final = "gen_ai.token.type"
ERROR_TYPE: Final = "error.type"

# By the names of Usage. `input_tokens` is inclusive of what the provider read from its own cache, as is Usage's.
USAGE: Final = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}

# Ours: the conventions have none for what a cache did.
CACHE_STATUS: Final = "coo.cache.status"
NOT_STORED: Final = "coo.cache.not_stored"
KEY: Final = "coo.key"
COST: Final = "coo.cost"
COST_SAVED: Final = "coo.saved.cost"
TOKENS_SAVED: Final = "coo.saved.tokens"
OVERHEAD: Final = "coo.overhead"
STORE_TIME: Final = "coo.store_time"

USAGE_METRIC: Final = "gen_ai.client.token.usage"
DURATION_METRIC: Final = "gen_ai.client.operation.duration"
FIRST_CHUNK_METRIC: Final = "gen_ai.client.operation.time_to_first_chunk"

# The bounds that the conventions ask for, of tokens and of seconds.
TOKEN_BOUNDS: Final = tuple(float(4**power) for power in range(14))
SECOND_BOUNDS: Final = tuple(0.01 * 2**power for power in range(14))
