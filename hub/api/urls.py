"""The part of the administration API that is about who participants are, at /api/ledger/v1 beside the ledger's own."""

from django.urls import path

from hub.api import credentials as views

_OF = "participants/<str:name>/credentials"

urlpatterns = [
    path(_OF, views.CredentialsView.as_view()),
    path(f"{_OF}/certificates", views.CertificatesView.as_view()),
    path(f"{_OF}/signingKeys", views.SigningKeysView.as_view()),
    path(f"{_OF}/clients", views.ClientsView.as_view()),
    path(f"{_OF}/jwsCompat", views.CompatView.as_view()),
    path(f"{_OF}/<int:credential_id>", views.CredentialView.as_view()),
]
