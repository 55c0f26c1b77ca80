"""Django's admin with the portal's sign-in. The admin pages only show tables, because changes must use services."""

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from hub.api.administration.staff_authentication import has_second_factor


class Site(AdminSite):
    def has_permission(self, request: HttpRequest) -> bool:
        """A staff user who signs in with two factors may only read and sign out.

        Changes in Django's admin are not allowed, because no second person would check them.
        """
        is_harmless = request.method in ("GET", "HEAD") or request.path == reverse("admin:logout")
        return is_harmless and super().has_permission(request) and has_second_factor(request)

    def login(self, request: HttpRequest, extra_context: object = None) -> HttpResponse:
        return redirect_to_login(request.GET.get("next", reverse("admin:index")), reverse("account_login"))
