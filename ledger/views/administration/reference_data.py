"""The transaction in a transfer's ILP packet, and the enumerations of this API."""

from rest_framework.request import Request

from fspiop import ids
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import Response
from hub.api.docs import administration_schema
from hub.participants import endpoints
from ledger import queries
from ledger.models import Account, Entry
from ledger.states import State
from ledger.views.administration.common import TAG, LedgerAdministrationView


class TransactionView(LedgerAdministrationView):
    @administration_schema(TAG, summary="The transaction that a transfer's ILP packet holds")
    def get(self, request: Request, transfer_id: str) -> Response:
        transaction = queries.transaction_of(transfer_id) if ids.is_correlation_id(transfer_id) else None
        if transaction is None:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "The requested resource could not be found.")
        return Response(transaction)


class EnumsView(LedgerAdministrationView):
    @administration_schema(TAG, summary="The names of states, types and kinds")
    def get(self, request: Request) -> Response:
        return Response(
            {
                "ledgerAccountType": list(Account.Type),
                "ledgerEntryType": list(Entry.Kind),
                "participantLimitType": ["NET_DEBIT_CAP"],
                "transferState": list(State),
                "endpointType": sorted(
                    {endpoints.BASE} | endpoints.BASE_TYPES | endpoints.TEMPLATE_TYPES | endpoints.EMAIL_TYPES
                ),
            }
        )
