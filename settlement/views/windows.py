"""The views of settlement windows in the Settlement API v2: find, show and close."""

from typing import Annotated, Any, Literal

import msgspec
from rest_framework.request import Request

from fspiop import time
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import AdministrationView, Response
from hub.api.openapi import administration_schema
from ledger.models import SettlementWindow
from settlement import queries, services
from settlement.states import WindowState
from settlement.views import query_parameters

TAG = "Settlement windows"
_FILTERS = {
    "participantId": ("participant_id", query_parameters.number),
    "state": ("state", query_parameters.one_of(*WindowState)),
    "fromDateTime": ("from_date", query_parameters.moment),
    "toDateTime": ("to_date", query_parameters.moment),
    "currency": ("currency", query_parameters.currency),
}


class WindowEnd(msgspec.Struct):
    state: Literal["CLOSED"]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


def show(window: SettlementWindow) -> dict[str, Any]:
    """Returns a settlement window and its contents in the form of the Settlement API. The caller must have loaded the
    window's contents in advance."""
    return {
        "settlementWindowId": window.pk,
        "id": window.pk,
        "state": window.state,
        "reason": window.reason,
        "createdDate": time.format_datetime(window.created_at),
        "changedDate": time.format_datetime(window.changed_at),
        "content": [
            {
                "id": content.pk,
                "state": content.state,
                "ledgerAccountType": content.ledger_account_type,
                "currencyId": content.currency,
                "createdDate": time.format_datetime(content.created_at),
                "changedDate": time.format_datetime(content.changed_at),
                **({"settlementId": last[-1].settlement_id} if (last := list(content.inclusions.all())) else {}),
            }
            for content in window.contents.all()
        ],
    }


class WindowsView(AdministrationView):
    @administration_schema(TAG, summary="Find windows by at least one filter", query=list(_FILTERS))
    def get(self, request: Request) -> Response:
        found = queries.windows(**query_parameters.filters(request.query_params, _FILTERS))
        return Response([show(window) for window in found])


class NoWindowView(AdministrationView):
    @administration_schema(TAG, summary="Reject every request, because the path contains no window", two_people=())
    def post(self, request: Request) -> Response:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "settlementWindowId: is required")


class WindowView(AdministrationView):
    @administration_schema(TAG, summary="Show a window")
    def get(self, request: Request, window_id: str) -> Response:
        return Response(_shown(query_parameters.number(window_id, "id")))

    @administration_schema(
        TAG, summary="Close the open window, and return the next window", request=WindowEnd, two_people=()
    )
    def post(self, request: Request, window_id: str) -> Response:
        number = query_parameters.number(window_id, "id")
        body = self.read(WindowEnd)
        done = services.close_window(reason=body.reason, actor=self.actor, window_id=number)
        return Response(_shown(done.opened.pk))  # the newly opened window, as the reference hub returns it


def _shown(number: int) -> dict[str, Any]:
    window = queries.windows().filter(pk=number).first()
    if window is None:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"settlementWindowId: {number} not found")
    return show(window)
