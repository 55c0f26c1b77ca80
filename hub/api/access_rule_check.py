"""`manage.py check` runs these checks of the administration APIs.

The hub does not start if a view has no access rule.
"""

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.urls import URLPattern

from hub.api.administration.views import READING, AdministrationView
from hub.api.views import METHODS
from hub.audit import program_change_requests
from hub.list_of_urls import urls_below

# These pages are open to everybody, because they only show whether the process works.
HEALTH = frozenset({"api/ledger/v1/health", "api/directory/v1/health", "api/settlement/v2/health"})


def view_of(pattern: URLPattern) -> type[Any] | None:
    """Returns the class of the view behind a URL, or None if the view is a function."""
    return getattr(pattern.callback, "view_class", None) or getattr(pattern.callback, "cls", None)


def methods_of(view: type[Any]) -> list[str]:
    return sorted(method for method in METHODS if hasattr(view, method.lower()))


@register()
def every_view_has_a_rule(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Returns an error for each view that does not state its permissions, or that does not state which methods need two
    people."""
    found: list[CheckMessage] = []
    for route, pattern in urls_below("api/"):
        view = view_of(pattern)
        if route in HEALTH:
            continue
        if view is None or not issubclass(view, AdministrationView):
            found.append(Error(f"/{route} has no access rule: derive it from AdministrationView", id="api.E001"))
            continue
        for method in set(methods_of(view)) - READING:
            kinds = getattr(getattr(view, method.lower()), "two_people", None)
            if kinds is None or not set(kinds) <= program_change_requests.kinds():
                text = f"{method} /{route} does not state whether it needs two people (administration_schema)"
                found.append(Error(text, id="api.E002"))
    return found
