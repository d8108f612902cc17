"""A proxy for OpenAI-compatible and Anthropic clients with `coo_middleware` mounted, and an upstream of its own."""
