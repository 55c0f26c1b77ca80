"""The view of the transaction that a transfer's ILP packet contains."""

from rest_framework.request import Request

from fspiop import correlation_ids
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import Response
from hub.api.openapi import administration_schema
from ledger import queries
from ledger.views.administration.common import TAG, LedgerAdministrationView


class TransactionView(LedgerAdministrationView):
    @administration_schema(TAG, summary="Show the transaction in a transfer's ILP packet")
    def get(self, request: Request, transfer_id: str) -> Response:
        transaction = queries.transaction_of(transfer_id) if correlation_ids.is_correlation_id(transfer_id) else None
        if transaction is None:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "The requested resource could not be found.")
        return Response(transaction)
