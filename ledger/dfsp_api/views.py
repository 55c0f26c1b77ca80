"""The views of a DFSP's own positions and transfers. Each view returns only the caller's own data."""

from urllib.parse import urlencode

from django.http import HttpResponse
from rest_framework.request import Request

from hub.api.openapi import dfsp_schema
from hub.dfsp_api.dfsp_view import DfspView, answer, plain_answer
from hub.dfsp_api.views import TAG
from ledger.dfsp_api import positions, statement


class PositionsView(DfspView):
    @dfsp_schema(TAG, summary="Show the caller's positions and free limits", answer=positions.Positions)
    def get(self, request: Request) -> HttpResponse:
        return answer(positions.positions(self.caller))


class StatementView(DfspView):
    @dfsp_schema(
        TAG,
        summary="List the caller's transfers, conversions and postings, in the order of arrival, as JSON or CSV",
        query=statement.Wanted,
        answer=statement.Statement,
    )
    def get(self, request: Request) -> HttpResponse:
        wanted = self.query(statement.Wanted)
        found = statement.page(self.caller, wanted)
        if wanted.format == "json":
            return answer(found)
        further = {"Content-Disposition": 'attachment; filename="statement.csv"'}
        if found.next is not None:
            further["Link"] = f'<{_next_page(request, found.next)}>; rel="next"'
        return plain_answer(statement.as_csv(found), "text/csv; charset=utf-8", further=further)


def _next_page(request: Request, after: str) -> str:
    query = {name: value for name, value in request.query_params.items() if name != "after"}
    return "/dfsp/v1/statement?" + urlencode(query | {"after": after})
