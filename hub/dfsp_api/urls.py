"""The URLs below /dfsp/v1, except those of the ledger, settlement and rules apps."""

from django.urls import path

from hub.dfsp_api import views

urlpatterns = [
    path("clock", views.ClockView.as_view()),
    path("participant", views.OwnParticipantView.as_view()),
    path("submissions", views.SubmissionsView.as_view()),
    path("submissions/<int:number>", views.SubmissionView.as_view()),
    path("signingRequests", views.SigningRequestsView.as_view()),
    path("certificates", views.CertificatesView.as_view()),
    path("signingKeys", views.SigningKeysView.as_view()),
    path("callbackChecks", views.CallbackChecksView.as_view()),
]
