"""A check that `manage.py check` runs: if a page of the portal has no access rule, the hub does not start."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from hub.list_of_urls import urls_below


@register()
def every_page_has_a_rule(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    from portal.urls import SIGN_IN_PAGES

    return [
        Error(f"/{route} has no rule: make it by portal.access.page", id="portal.E001")
        for route, pattern in urls_below("portal/")
        if not hasattr(pattern.callback, "rule") and pattern.name not in SIGN_IN_PAGES
    ]
