"""Django's admin with the portal's sign-in. The admin pages only show tables, because every change must go through a
service."""

from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from hub.admin_base import NoChanges, ReadOnlyAdmin
from hub.api.administration.staff_authentication import has_second_factor

_READING = ("GET", "HEAD")


class Site(AdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        """A staff user must sign in with two factors. After the sign-in, this user can only read and sign out.

        Changes in Django's admin are not allowed, because no second person would check them.
        """
        is_harmless = request.method in _READING or request.path == reverse("admin:logout")
        return is_harmless and super().has_permission(request) and has_second_factor(request)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """If a signed-in user lacks the permission, shows a page about the missing permission. Without this page, the
        user would get the sign-in page, and the sign-in page would only redirect the user back to the same page."""
        guarded = super().admin_view(view, cacheable)

        @wraps(view)
        def enter(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if request.user.is_authenticated and not self.has_permission(request):
                return _refused(request)
            return guarded(request, *args, **kwargs)

        return enter

    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        if self.has_permission(request):
            return redirect("admin:index")
        if request.user.is_authenticated:
            return _refused(request)
        return redirect_to_login(request.GET.get("next", reverse("admin:index")), reverse("account_login"))

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Registers tables, including tables of libraries. Leaves out the buttons for changes, because the site refuses
        changes."""
        found = admin_class or ModelAdmin
        if not issubclass(found, ReadOnlyAdmin):
            found = type(found.__name__, (NoChanges, found), {})
        super().register(model_or_iterable, found, **options)


def _refused(request: HttpRequest) -> HttpResponse:
    return render(request, "portal/error.html", {"status": 403, "is_admin": True}, status=403)
