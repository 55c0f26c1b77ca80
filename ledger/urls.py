"""The hub's administration API, at /api/ledger/v1."""

from django.urls import path

from ledger.views import administration as views
from ledger.views import currency_pairs

urlpatterns = [
    path("participants", views.ParticipantsView.as_view()),
    path("participants/limits", views.AllLimitsView.as_view()),
    path("participants/<str:name>", views.ParticipantView.as_view()),
    path("participants/<str:name>/endpoints", views.EndpointsView.as_view()),
    path("participants/<str:name>/accounts", views.AccountsView.as_view()),
    path("participants/<str:name>/accounts/<int:account_id>", views.AccountView.as_view()),
    path("participants/<str:name>/accounts/<int:account_id>/transfers/<str:transfer_id>", views.FundsOutView.as_view()),
    path("participants/<str:name>/currencyPairs", currency_pairs.CurrencyPairsView.as_view()),
    path(
        "participants/<str:name>/currencyPairs/<str:source_currency>/<str:target_currency>",
        currency_pairs.CurrencyPairView.as_view(),
    ),
    path("participants/<str:name>/initialPositionAndLimits", views.InitialLimitView.as_view()),
    path("participants/<str:name>/limits", views.LimitsView.as_view()),
    path("participants/<str:name>/positions", views.PositionsView.as_view()),
]
