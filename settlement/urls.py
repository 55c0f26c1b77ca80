"""The Settlement API v2, at /api/settlement/v2, and the settlement part of the administration API."""

from django.urls import path

from settlement.views import settlement_models, settlements, windows

urlpatterns = [
    path("settlementWindows", windows.WindowsView.as_view()),
    path("settlementWindows/", windows.NoWindowView.as_view()),
    path("settlementWindows/<str:window_id>", windows.WindowView.as_view()),
    path("settlements", settlements.SettlementsView.as_view()),
    path("settlements/<str:sid>", settlements.SettlementView.as_view()),
    path("settlements/<str:sid>/participants/<str:pid>", settlements.ParticipantView.as_view()),
    path("settlements/<str:sid>/participants/<str:pid>/accounts/<str:aid>", settlements.AccountView.as_view()),
]

administration_urlpatterns = [
    path("settlementModels", settlement_models.ModelsView.as_view()),
    path("settlementModels/<str:name>", settlement_models.ModelView.as_view()),
    path("ledgerAccountTypes", settlement_models.AccountTypesView.as_view()),
]
