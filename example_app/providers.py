"""Where the proxy sends its calls, and with whose credential, as the configuration and the environment say."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from coo_middleware.core.providers import LLMProvider, ProviderKey
from example_app.errors import anthropic_error, openai_error

ERROR_SHAPES: Mapping[str, Callable[[int, str], dict[str, object]]] = {
    "openai": openai_error,
    "anthropic": anthropic_error,
}
_PUBLIC = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}


def find_providers(environ: Mapping[str, str]) -> Iterator[LLMProvider]:
    """The providers for which `<NAME>_BASE_URL` or `<NAME>_API_KEY` is set. A key alone means the provider's public
    address; an address alone means that callers bring their own credential.
    """
    for name in _PUBLIC:
        base_url, key = environ.get(f"{name.upper()}_BASE_URL"), environ.get(f"{name.upper()}_API_KEY")
        if base_url or key:
            yield LLMProvider(name, name, base_url or "", api_keys=(key,) if key else ())


def built_in_providers(url: str) -> tuple[LLMProvider, ...]:
    """Both providers at the built-in upstream that listens at `url`; callers bring their own credentials."""
    return LLMProvider("openai", "openai", f"{url}/v1"), LLMProvider("anthropic", "anthropic", url)


def find_target(providers: Sequence[LLMProvider], name: str) -> ProviderKey | None:
    """Whom to ask where nobody picks: the provider whose id is `name`, else the first of this type that has a key, with
    its first key; without a secret where there is none, so that callers bring their own. None for an unknown name.
    """
    fitting = [each for each in providers if each.id == name] or [each for each in providers if each.type == name]
    targets = [target for each in fitting for target in _list_targets(each)]
    return max(targets, key=lambda target: bool(target.secret), default=None)


def find_url(name: str, target: ProviderKey, path: str) -> str:
    """The upstream's URL for a path of the proxy, such as `/v1/messages`, of the API that `name` speaks."""
    # OpenAI's base URLs end in the version by convention, Anthropic's do not.
    base = target.base_url or _PUBLIC[name]
    return base.rstrip("/") + (path.removeprefix("/v1") if name == "openai" else path)


def make_credential(name: str, target: ProviderKey) -> list[tuple[bytes, bytes]]:
    """The header field that carries the proxy's own key; none where callers bring theirs."""
    if not target.secret:
        return []
    if name == "anthropic":
        return [(b"x-api-key", target.secret.encode())]
    return [(b"authorization", b"Bearer " + target.secret.encode())]


def _list_targets(provider: LLMProvider) -> list[ProviderKey]:
    secrets = (*provider.api_keys, *(key.secret for key in provider.keys)) or ("",)
    told = (provider.type, provider.base_url, provider.model)
    return [ProviderKey(provider.id, "", secret, *told) for secret in secrets]
