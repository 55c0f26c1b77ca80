"""The URLs of the administration API about credentials and approvals, below /api/ledger/v1."""

from django.urls import path

from hub.api.administration import approval_states
from hub.api.administration import credentials as views

_OF = "participants/<str:name>/credentials"

urlpatterns = [
    path("approvals", approval_states.ApprovalsView.as_view()),
    path("approvals/<int:approval_id>", approval_states.ApprovalView.as_view()),
    path(_OF, views.CredentialsView.as_view()),
    path(f"{_OF}/certificates", views.CertificatesView.as_view()),
    path(f"{_OF}/signingKeys", views.SigningKeysView.as_view()),
    path(f"{_OF}/clients", views.ClientsView.as_view()),
    path(f"{_OF}/jwsCompat", views.CompatView.as_view()),
    path(f"{_OF}/<int:credential_id>", views.CredentialView.as_view()),
]
