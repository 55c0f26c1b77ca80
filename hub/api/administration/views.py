"""The base class of the hub's administration APIs: permissions, strict JSON, errors in the API's own form.

If `TWO_PEOPLE` is "everywhere", and a change needs two people in the portal, these APIs only create a request for the
change (`needs_two`).
"""

from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from fspiop import bodies, strictjson, time
from hub.administration.models import READ, WRITE
from hub.api import errors, request_body
from hub.api.administration import whole_numbers_in_bodies
from hub.api.administration.client_authentication import ClientToken, Granted
from hub.api.administration.staff_authentication import StaffPassword, StaffSession
from hub.api.views import METHODS, PlainView
from hub.audit import program_change_requests
from hub.audit.models import Approval
from hub.audit.program_change_requests import Program

T = TypeVar("T")

READING = frozenset({"GET", "HEAD"})


class MayAdministrate(BasePermission):
    """Allows the callers that ADMINISTRATION_AUTH admits: clients with the right scope, Django staff, or everybody.

    With ADMINISTRATION_API_READ_ONLY, these APIs allow no change.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if settings.ADMINISTRATION_API_READ_ONLY and request.method not in READING:
            raise exceptions.PermissionDenied
        match settings.ADMINISTRATION_AUTH:
            case "none":
                return True
            case "staff":
                return bool(request.user and request.user.is_staff)
            case _:
                needed = READ if request.method in READING else WRITE
                return isinstance(request.auth, Granted) and needed in request.auth.scopes


class AdministrationView(PlainView):
    # Clients send FSPIOP's media types to these APIs too, and `PlainView` does not negotiate media types.
    permission_classes = (MayAdministrate,)

    def get_authenticators(self) -> list[BaseAuthentication]:
        if settings.ADMINISTRATION_AUTH == "oauth2":
            return [ClientToken()]
        return [StaffSession(), StaffPassword()]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        method = request.method or ""
        if method not in METHODS or getattr(self, method.lower(), None) is None:
            raise exceptions.MethodNotAllowed(method)
        request_body.check_head(request._request)
        # The view checks the body's length before it authenticates the caller. To check a session's CSRF token, Django
        # would read any body whose Content-Type is a form.
        self._length = request_body.length_of(request._request, settings.MAX_ADMINISTRATION_BODY_BYTES)
        super().initial(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        if isinstance(exc, program_change_requests.Waits):
            return waits_response(exc.approval)
        response = errors.response_for(errors.as_fspiop(exc))
        if settings.ADMINISTRATION_AUTH == "oauth2" and response.status_code == 401:
            response["WWW-Authenticate"] = f'Bearer realm="{settings.TOKEN_ISSUER}"'
        return response

    def read(self, kind: type[T]) -> T:
        """Returns the body as a typed message. Raises FspiopError 3100 to 3103 for a faulty body."""
        most = settings.MAX_ADMINISTRATION_BODY_BYTES
        raw = request_body.body_of(self.request._request, self._length, most)
        return bodies.read(kind, raw, decode=whole_numbers_in_bodies.decode)

    @property
    def actor(self) -> str:
        """The name of the person or program that makes the request, for the audit trail."""
        if isinstance(self.request.auth, Granted):
            return self.request.auth.client.key
        user = getattr(self.request, "user", None)
        return user.get_username() if user is not None and user.is_authenticated else "administration API"

    def needs_two(
        self,
        kind: str,
        *,
        subject: str,
        payload: Callable[[], program_change_requests.Payload],
        reason: str = "",
        has_own_id: bool = False,
    ) -> None:
        """If a change needs a second person (TWO_PEOPLE), creates a request for approval and responds with 202."""
        program_change_requests.ask_where_needed(
            kind, program=self._program, subject=subject, payload=payload, reason=reason, has_own_id=has_own_id
        )

    @property
    def _program(self) -> Program:
        if isinstance(self.request.auth, Granted):
            return Program(self.actor, self.request.auth.client.holder_id)
        user = getattr(self.request, "user", None)
        if user is not None and user.is_authenticated:
            return Program(f"{self.actor[:100]}, administration API", user.pk)
        return Program(self.actor)


def show_approval(approval: Approval) -> dict[str, Any]:
    """Returns a change request as programs receive it: the requested change and the state of the request."""
    is_late = approval.state == Approval.State.PENDING and approval.expires_at <= timezone.now()
    return {
        "approvalId": approval.pk,
        "state": "EXPIRED" if is_late else approval.state,
        "change": approval.kind,
        "subject": approval.subject,
        "requestedBy": approval.asked_by,
        "requestedDate": time.format_datetime(approval.asked_at),
        "expirationDate": time.format_datetime(approval.expires_at),
        "decidedDate": time.format_datetime(approval.decided_at) if approval.decided_at else None,
        "decision": approval.decision,
    }


def waits_response(approval: Approval, **further: Any) -> HttpResponse:
    """Returns the 202 response for a change that waits for approval. The client can poll the URL in the header
    Location."""
    body = strictjson.canonical(show_approval(approval) | further)
    response = HttpResponse(body, status=202, content_type="application/json")
    response["Location"] = f"/api/ledger/v1/approvals/{approval.pk}"
    return response


__all__ = ["AdministrationView", "Response", "show_approval", "waits_response"]
