"""The view of a DFSP's own parts in settlements."""

from django.http import HttpResponse
from rest_framework.request import Request

from hub.api.openapi import dfsp_schema
from hub.dfsp_api.dfsp_view import DfspView, answer
from hub.dfsp_api.views import TAG
from settlement.dfsp_api import own_settlements


class OwnSettlementsView(DfspView):
    @dfsp_schema(
        TAG,
        summary="List the caller's parts in settlements, in the order of their creation",
        query=own_settlements.Wanted,
        answer=own_settlements.Settlements,
    )
    def get(self, request: Request) -> HttpResponse:
        return answer(own_settlements.page(self.caller, self.query(own_settlements.Wanted)))
