"""Lists the project's URLs. Other modules use this list to check that each URL has an access rule."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver


def urls_below(prefix: str, resolver: URLResolver | None = None, route: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Finds all URLs whose routes begin with `prefix`. Yields each URL with its complete route."""
    for pattern in (resolver or get_resolver()).url_patterns:
        whole = route + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from urls_below(prefix, pattern, whole)
        elif whole.startswith(prefix):
            yield whole, pattern
