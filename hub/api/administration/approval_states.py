"""/approvals: reports the state of changes that programs have requested (only if `TWO_PEOPLE` is "everywhere").

Programs request these changes. People can approve or reject the changes only in the portal.
"""

from django.db.models import QuerySet
from django.db.models.functions import Now
from rest_framework.request import Request

from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import AdministrationView, Response, show_approval
from hub.api.openapi import administration_schema
from hub.audit.models import Approval

TAG = "Approvals"
_LATEST = 200
_LARGEST_ID = 2**63 - 1


def _of_programs() -> "QuerySet[Approval]":
    """Returns only the change requests that programs made. Only the portal shows the change requests that people
    made."""
    return Approval.objects.exclude(client="").select_related("maker")


class ApprovalsView(AdministrationView):
    @administration_schema(TAG, summary="List the latest changes that programs have requested", query=("state",))
    def get(self, request: Request) -> Response:
        found, state = _of_programs(), request.query_params.get("state", "")
        if state == "EXPIRED":  # the rows do not contain this state, because the hub computes it from the expiry time
            found = found.filter(state=Approval.State.PENDING, expires_at__lte=Now())
        elif state == Approval.State.PENDING:
            found = found.filter(state=state, expires_at__gt=Now())
        elif state in Approval.State.values:
            found = found.filter(state=state)
        elif state:
            raise FspiopError(ErrorCode.MALFORMED_SYNTAX, f"state: must be one of {', '.join(Approval.State)}, EXPIRED")
        return Response([show_approval(approval) for approval in found[:_LATEST]])


class ApprovalView(AdministrationView):
    @administration_schema(TAG, summary="Show the state of a change that a program has requested")
    def get(self, request: Request, approval_id: int) -> Response:
        found = _of_programs().filter(pk=approval_id).first() if approval_id <= _LARGEST_ID else None
        if found is None:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "The requested resource could not be found.")
        return Response(show_approval(found))
