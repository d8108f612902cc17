"""Anthropic's text completions, which messages replaced (https://docs.claude.com/en/api/complete)."""

from __future__ import annotations

from functools import partial
from typing import Final

from coo_middleware.core.format import Endpoint, Format
from coo_middleware.formats.completions import bypass_completion, normalize_completion
from coo_middleware.formats.errors import anthropic_error
from coo_middleware.formats.generations import COMPLETION, GenerationsReader, read_generations

COMPLETE: Final = Format(
    name="complete",
    provider="anthropic",
    operation="text_completion",
    endpoints=(Endpoint("/v1/complete"),),
    left_out=frozenset({"metadata"}),
    ordered=frozenset(),
    bypass=bypass_completion,
    normalize=normalize_completion,
    read_body=partial(read_generations, COMPLETION),
    read_stream=partial(GenerationsReader, COMPLETION),
    error_body=anthropic_error,
)
