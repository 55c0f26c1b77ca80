"""The views of the administration API's enumerations."""

from rest_framework.request import Request

from hub.api.administration.views import Response
from hub.api.openapi import administration_schema
from hub.participants import endpoint_types_and_urls
from ledger.models import Account, Entry
from ledger.states import State
from ledger.views.administration.common import TAG, LedgerAdministrationView


class EnumsView(LedgerAdministrationView):
    @administration_schema(TAG, summary="List the names of states, types and kinds")
    def get(self, request: Request) -> Response:
        return Response(
            {
                "ledgerAccountType": list(Account.Type),
                "ledgerEntryType": list(Entry.Kind),
                "participantLimitType": ["NET_DEBIT_CAP"],
                "transferState": list(State),
                "endpointType": sorted(
                    {endpoint_types_and_urls.BASE}
                    | endpoint_types_and_urls.BASE_TYPES
                    | endpoint_types_and_urls.TEMPLATE_TYPES
                    | endpoint_types_and_urls.EMAIL_TYPES
                ),
            }
        )
