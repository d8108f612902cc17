"""What is raised where limits refuse a call."""

from __future__ import annotations

from typing import Final


class LimitedError(Exception):
    """No limit has room for this call, or no key: in `retry_after` seconds the first will. `rules` are the names of the
    limits that refuse, as configured; `spent` says that a budget did.

    A handler may catch it and do without the call. Where it does not, the middleware answers 429 in the provider's own
    error shape, with Retry-After (RFC 9110 section 10.2.3).
    """

    def __init__(self, retry_after: float, rules: tuple[str, ...] = (), *, spent: bool = False) -> None:
        super().__init__(f"limited by {', '.join(rules) or 'what is known of the keys'}; retry in {retry_after:.3f} s")
        self.retry_after: Final = retry_after
        self.rules: Final = rules
        self.spent: Final = spent
