"""What `manage.py check` says of the portal: a page without a rule does not start."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.urls import URLPattern, URLResolver, get_resolver


def pages(resolver: URLResolver | None = None, route: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every URL below /portal/, with its whole route."""
    for pattern in (resolver or get_resolver()).url_patterns:
        whole = route + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from pages(pattern, whole)
        elif whole.startswith("portal/"):
            yield whole, pattern


@register()
def every_page_has_a_rule(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    from portal.urls import SIGN_IN_PAGES

    return [
        Error(f"/{route} has no rule: make it by portal.access.page", id="portal.E001")
        for route, pattern in pages()
        if not hasattr(pattern.callback, "rule") and pattern.name not in SIGN_IN_PAGES
    ]
