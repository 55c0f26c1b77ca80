"""The URLs for DFSPs: the FSPIOP API at the root, and the hub's own API. `hub.api.dfsp_routing_middleware` routes
them."""

from django.urls import include, path

from directory.views import participants, parties, providers
from hub.api.oauth import TokenView
from ledger.views import bulk_transfers, fx_transfers, transfers
from quotes.forwarded import views
from quotes.transaction_requests import views as requests
from quotes.views import bulk_quotes, fx_quotes, quotes

_ALIAS = "<str:id_type>/<str:identifier>"
_SUB_ALIAS = _ALIAS + "/<str:sub_id>"

urlpatterns = [
    path("transfers", transfers.TransfersView.as_view()),
    path("transfers/<str:transfer_id>", transfers.TransferView.as_view()),
    path("transfers/<str:transfer_id>/error", transfers.TransferErrorView.as_view()),
    path("token", TokenView.as_view()),
    path("participants", participants.ParticipantsView.as_view()),
    path("participants/<str:request_id>", participants.ParticipantsAnswerView.as_view()),
    path("participants/<str:request_id>/error", participants.ParticipantsErrorView.as_view()),
    path(f"participants/{_ALIAS}", participants.ParticipantView.as_view()),
    path(f"participants/{_ALIAS}/error", participants.ParticipantErrorView.as_view()),
    path(f"participants/{_SUB_ALIAS}", participants.ParticipantView.as_view()),
    path(f"participants/{_SUB_ALIAS}/error", participants.ParticipantErrorView.as_view()),
    path(f"parties/{_ALIAS}", parties.PartyView.as_view()),
    path(f"parties/{_ALIAS}/error", parties.PartyErrorView.as_view()),
    path(f"parties/{_SUB_ALIAS}", parties.PartyView.as_view()),
    path(f"parties/{_SUB_ALIAS}/error", parties.PartyErrorView.as_view()),
    path("transactionRequests", requests.TransactionRequestsView.as_view()),
    path("transactionRequests/<str:transaction_request_id>", requests.TransactionRequestView.as_view()),
    path("transactionRequests/<str:transaction_request_id>/error", requests.TransactionRequestErrorView.as_view()),
    path("authorizations/<str:subject_id>", views.AuthorizationView.as_view()),
    path("authorizations/<str:subject_id>/error", views.AuthorizationErrorView.as_view()),
    path("transactions/<str:subject_id>", views.TransactionView.as_view()),
    path("transactions/<str:subject_id>/error", views.TransactionErrorView.as_view()),
    path("quotes", quotes.QuotesView.as_view()),
    path("quotes/<str:quote_id>", quotes.QuoteView.as_view()),
    path("quotes/<str:quote_id>/error", quotes.QuoteErrorView.as_view()),
    path("bulkQuotes", bulk_quotes.BulkQuotesView.as_view()),
    path("bulkQuotes/<str:bulk_quote_id>", bulk_quotes.BulkQuoteView.as_view()),
    path("bulkQuotes/<str:bulk_quote_id>/error", bulk_quotes.BulkQuoteErrorView.as_view()),
    path("fxQuotes", fx_quotes.FxQuotesView.as_view()),
    path("fxQuotes/<str:conversion_request_id>", fx_quotes.FxQuoteView.as_view()),
    path("fxQuotes/<str:conversion_request_id>/error", fx_quotes.FxQuoteErrorView.as_view()),
    path("services/FXP", providers.ProvidersView.as_view()),
    path("services/FXP/<str:source_currency>/<str:target_currency>", providers.ProvidersOfPairView.as_view()),
    path("fxTransfers", fx_transfers.FxTransfersView.as_view()),
    path("fxTransfers/<str:commit_request_id>", fx_transfers.FxTransferView.as_view()),
    path("fxTransfers/<str:commit_request_id>/error", fx_transfers.FxTransferErrorView.as_view()),
    path("bulkTransfers", bulk_transfers.BulkTransfersView.as_view()),
    path("bulkTransfers/<str:bulk_transfer_id>", bulk_transfers.BulkTransferView.as_view()),
    path("bulkTransfers/<str:bulk_transfer_id>/error", bulk_transfers.BulkTransferErrorView.as_view()),
]

own_api_urlpatterns = [
    path("dfsp/v1/", include("hub.dfsp_api.urls")),
    path("dfsp/v1/", include("ledger.dfsp_api.urls")),
    path("dfsp/v1/", include("settlement.dfsp_api.urls")),
    path("dfsp/v1/", include("rules.dfsp_api.urls")),
]
"""The hub's own API for DFSPs."""
