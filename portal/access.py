"""Checks access to every page: `page(...)` in `portal.urls` names the right that a visitor needs for each HTTP
method."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from psycopg.errors import QueryCanceled

from hub.concurrency_shares import NoPlace
from hub.sql_execution import is_of_some_rows
from portal.permissions import Right
from portal.visitor import visitor_of

View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Rule:
    """The right that a visitor needs for each HTTP method of a page. If the right for a method is None, the page
    refuses the method."""

    get: Right | None
    post: Right | None
    most_of_a_file: int = 0  # the size in bytes of the largest file that the page's form accepts

    def needed(self, method: str | None) -> Right | None:
        return self.post if method == "POST" else self.get if method in ("GET", "HEAD") else None

    @property
    def methods(self) -> list[str]:
        return (["GET", "HEAD"] if self.get else []) + (["POST"] if self.post else [])


def page(
    route: str,
    view: View,
    *,
    name: str,
    get: Right | None = None,
    post: Right | None = None,
    with_password: bool = False,
    most_of_a_file: int = 0,
) -> URLPattern:
    """Returns the route of a page.

    With `with_password`, even a user who signed in without a second factor can open the page. `most_of_a_file` is the
    size in bytes of the largest file that the page's form accepts.
    """
    return path(route, _guarded(view, Rule(get, post, most_of_a_file), with_password=with_password), name=name)


def form_page(
    route: str, view: View, *, name: str, right: Right, with_password: bool = False, most_of_a_file: int = 0
) -> URLPattern:
    """Returns the route of a page with a form. Reading the page and submitting the form need the same right."""
    return page(
        route, view, name=name, get=right, post=right, with_password=with_password, most_of_a_file=most_of_a_file
    )


def _guarded(view: View, rule: Rule, *, with_password: bool) -> View:
    @wraps(view)
    def enter(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        visitor = visitor_of(request)
        if not visitor.is_signed_in:
            return _to_sign_in(request)
        if not visitor.has_second_factor and not with_password:
            return redirect("mfa_activate_totp")
        right = rule.needed(request.method)
        if right is None:
            return HttpResponseNotAllowed(rule.methods)
        if not visitor.may(right):
            raise PermissionDenied
        try:
            return view(request, *args, **kwargs)
        except NoPlace:
            return render(request, "portal/error.html", {"status": 429}, status=429)
        except OperationalError as error:
            if not is_of_some_rows(error):
                raise
            return _not_done(request, error)

    guarded: View = never_cache(enter)
    guarded.rule = rule  # type: ignore[attr-defined]
    return guarded


def _not_done(request: HttpRequest, error: OperationalError) -> HttpResponse:
    """Shows an error page after PostgreSQL ended the database transaction. Either an SQL statement took too long, or
    another database transaction had locked or changed the same rows."""
    took_too_long = isinstance(error.__cause__, QueryCanceled)
    status = 503 if took_too_long else 409
    return render(
        request, "portal/error.html", {"status": status, "is_change": request.method == "POST"}, status=status
    )


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    if request.headers.get("HX-Request"):
        # This request only refreshes a part of a page, so the response uses HX-Redirect to open the sign-in page in the
        # whole window.
        return HttpResponse(status=401, headers={"HX-Redirect": reverse("account_login")})
    if request.method != "GET":
        return redirect("account_login")  # the browser does not repeat the POST after the sign-in
    return redirect_to_login(request.get_full_path(), reverse("account_login"))
