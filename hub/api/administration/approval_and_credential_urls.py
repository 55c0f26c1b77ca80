"""The URLs of the administration API about credentials and approvals, below /api/ledger/v1."""

from django.urls import path

from hub.api.administration import credentials as views
from hub.api.administration import requested_changes

_OF = "participants/<str:name>/credentials"

urlpatterns = [
    path("approvals", requested_changes.ApprovalsView.as_view()),
    path("approvals/<int:approval_id>", requested_changes.ApprovalView.as_view()),
    path(_OF, views.CredentialsView.as_view()),
    path(f"{_OF}/certificates", views.CertificatesView.as_view()),
    path(f"{_OF}/signingKeys", views.SigningKeysView.as_view()),
    path(f"{_OF}/clients", views.ClientsView.as_view()),
    path(f"{_OF}/jwsCompat", views.CompatView.as_view()),
    path(f"{_OF}/<int:credential_id>", views.CredentialView.as_view()),
]
