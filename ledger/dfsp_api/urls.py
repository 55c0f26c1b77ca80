"""The URLs below /dfsp/v1 that show a DFSP's positions and transfers."""

from django.urls import path

from ledger.dfsp_api import views

urlpatterns = [
    path("positions", views.PositionsView.as_view()),
    path("statement", views.StatementView.as_view()),
]
