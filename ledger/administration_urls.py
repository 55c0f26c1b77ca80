"""The hub's administration API, at /api/ledger/v1."""

from django.urls import path

from ledger.views.administration import accounts, currency_pairs, enums, limits, participants, transaction_in_ilp_packet

urlpatterns = [
    path("enums", enums.EnumsView.as_view()),
    path("participants", participants.ParticipantsView.as_view()),
    path("participants/limits", limits.AllLimitsView.as_view()),
    path("participants/<str:name>", participants.ParticipantView.as_view()),
    path("participants/<str:name>/endpoints", participants.EndpointsView.as_view()),
    path("participants/<str:name>/accounts", accounts.AccountsView.as_view()),
    path("participants/<str:name>/accounts/<int:account_id>", accounts.AccountView.as_view()),
    path(
        "participants/<str:name>/accounts/<int:account_id>/transfers/<str:transfer_id>", accounts.FundsOutView.as_view()
    ),
    path("participants/<str:name>/currencyPairs", currency_pairs.CurrencyPairsView.as_view()),
    path(
        "participants/<str:name>/currencyPairs/<str:source_currency>/<str:target_currency>",
        currency_pairs.CurrencyPairView.as_view(),
    ),
    path("participants/<str:name>/initialPositionAndLimits", limits.InitialLimitView.as_view()),
    path("participants/<str:name>/limits", limits.LimitsView.as_view()),
    path("participants/<str:name>/positions", limits.PositionsView.as_view()),
    path("transactions/<str:transfer_id>", transaction_in_ilp_packet.TransactionView.as_view()),
]
