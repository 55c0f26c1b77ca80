"""/approvals: what became of the changes that programs asked for, where TWO_PEOPLE is everywhere. People decide them in
the portal, and nowhere else."""

from django.db.models import QuerySet
from django.db.models.functions import Now
from rest_framework.request import Request

from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import AdministrationView, Response, show_approval
from hub.api.docs import administration_schema
from hub.audit.models import Approval

TAG = "Approvals"
_LATEST = 200
_LARGEST_ID = 2**63 - 1


def _of_programs() -> "QuerySet[Approval]":
    """What people ask for in the portal is shown there."""
    return Approval.objects.exclude(client="").select_related("maker")


class ApprovalsView(AdministrationView):
    @administration_schema(TAG, summary="The latest changes that programs asked for", query=("state",))
    def get(self, request: Request) -> Response:
        found, state = _of_programs(), request.query_params.get("state", "")
        if state == "EXPIRED":  # which no row says: a request that waits has an end
            found = found.filter(state=Approval.State.PENDING, expires_at__lte=Now())
        elif state == Approval.State.PENDING:
            found = found.filter(state=state, expires_at__gt=Now())
        elif state in Approval.State.values:
            found = found.filter(state=state)
        elif state:
            raise FspiopError(ErrorCode.MALFORMED_SYNTAX, f"state: one of {', '.join(Approval.State)}, EXPIRED")
        return Response([show_approval(approval) for approval in found[:_LATEST]])


class ApprovalView(AdministrationView):
    @administration_schema(TAG, summary="What became of a change that a program asked for")
    def get(self, request: Request, approval_id: int) -> Response:
        found = _of_programs().filter(pk=approval_id).first() if approval_id <= _LARGEST_ID else None
        if found is None:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "The requested resource could not be found.")
        return Response(show_approval(found))
