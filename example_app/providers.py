"""Where the proxy sends its calls, and with whose credential, as the environment says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from example_app.errors import anthropic_error, openai_error


@dataclass(frozen=True, slots=True)
class Provider:
    """One upstream API: `base_url` as its own SDK takes it, and the proxy's own key for it, if it has one."""

    name: str
    base_url: str
    key: str | None = field(default=None, repr=False)

    @property
    def key_id(self) -> str | None:
        """The name under which calls with the proxy's own key are counted; None where callers bring theirs."""
        return f"{self.name}-1" if self.key else None

    @property
    def credential(self) -> list[tuple[bytes, bytes]]:
        """The header that carries the proxy's own key; empty where callers bring theirs."""
        if not self.key:
            return []
        if self.name == "anthropic":
            return [(b"x-api-key", self.key.encode())]
        return [(b"authorization", b"Bearer " + self.key.encode())]

    def url(self, path: str) -> str:
        """The upstream's URL for a path of the proxy, such as `/v1/messages`."""
        # OpenAI's base URLs end in the version by convention, Anthropic's do not.
        return self.base_url.rstrip("/") + (path.removeprefix("/v1") if self.name == "openai" else path)


ERROR_SHAPES: Mapping[str, Callable[[int, str], dict[str, object]]] = {
    "openai": openai_error,
    "anthropic": anthropic_error,
}
_DEFAULT_BASE_URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}


def configured_providers(environ: Mapping[str, str]) -> dict[str, Provider]:
    """The providers for which `<NAME>_BASE_URL` or `<NAME>_API_KEY` is set, by name.

    A key alone means the provider's public address; an address alone means that callers bring their own credential.
    """
    providers = {}
    for name, default in _DEFAULT_BASE_URLS.items():
        base_url, key = environ.get(f"{name.upper()}_BASE_URL"), environ.get(f"{name.upper()}_API_KEY")
        if base_url or key:
            providers[name] = Provider(name, base_url or default, key or None)
    return providers


def built_in_providers(url: str) -> dict[str, Provider]:
    """Both providers at the built-in upstream that listens at `url`."""
    return {"openai": Provider("openai", f"{url}/v1"), "anthropic": Provider("anthropic", url)}
