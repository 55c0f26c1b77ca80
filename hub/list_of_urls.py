"""Lists the project's URLs. The checks of access rules use this list of URLs, because each URL must have an access
rule."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver, get_resolver


def urls_below(prefix: str, resolver: URLResolver | None = None, route: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Finds each URL whose route begins with `prefix`, and yields the URL and its whole route."""
    for pattern in (resolver or get_resolver()).url_patterns:
        whole = route + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from urls_below(prefix, pattern, whole)
        elif whole.startswith(prefix):
            yield whole, pattern
