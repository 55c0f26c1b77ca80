"""The doorway of the hub's administration APIs: staff only, strict JSON, errors in the API's own form."""

from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpResponse
from rest_framework import exceptions
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from fspiop import bodies
from hub.api import errors, reading
from hub.api.staff import StaffPassword
from hub.api.views import METHODS, MayAdministrate, PlainView

T = TypeVar("T")


class AdministrationView(PlainView):
    # Clients name FSPIOP's media types here too; `PlainView` negotiates none.
    authentication_classes = (SessionAuthentication, StaffPassword)
    permission_classes = (MayAdministrate,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        method = request.method or ""
        if method not in METHODS or getattr(self, method.lower(), None) is None:
            raise exceptions.MethodNotAllowed(method)
        reading.check_head(request._request)
        # Before who calls: to see that a session's request is its own, Django reads what says that it is a form.
        self._length = reading.length_of(request._request, settings.MAX_ADMINISTRATION_BODY_BYTES)
        super().initial(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        return errors.response_for(errors.as_fspiop(exc))

    def read(self, kind: type[T]) -> T:
        """The body as a typed message; FspiopError 3100 to 3103 naming what is wrong."""
        most = settings.MAX_ADMINISTRATION_BODY_BYTES
        return bodies.read(kind, reading.body_of(self.request._request, self._length, most))

    @property
    def actor(self) -> str:
        """Who does it, for the audit trail."""
        user = getattr(self.request, "user", None)
        return user.get_username() if user is not None and user.is_authenticated else "administration API"


__all__ = ["AdministrationView", "Response"]
