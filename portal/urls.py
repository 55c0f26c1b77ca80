"""Every page of the portal, and the right that each of its methods needs."""

from allauth.account import views as account
from allauth.mfa.base import views as second_factor
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.usersessions import views as sessions
from django.urls import URLPattern, path, re_path
from django.views.generic import RedirectView

from portal.access import page
from portal.permissions import Right
from portal.views import account as own_account
from portal.views import audit, home, overview

_OWN = Right.SEE_OWN_ACCOUNT

# Open to who is not signed in, or is half way: allauth guards the order of the steps itself.
SIGN_IN_PAGES = frozenset(
    {
        "account_login",
        "account_logout",
        "account_inactive",
        "account_reset_password_from_key",
        "account_reset_password_from_key_done",
        "mfa_authenticate",
    }
)

urlpatterns: list[URLPattern] = [
    path("sign-in/", account.login, name="account_login"),
    path("sign-in/code/", second_factor.authenticate, name="mfa_authenticate"),
    path("sign-out/", account.logout, name="account_logout"),
    path("sign-in/inactive/", account.account_inactive, name="account_inactive"),
    re_path(
        r"^invitation/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("invitation/done/", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    page("account/", own_account.index, name="account", get=_OWN, post=_OWN),
    page("account/password/", account.password_change, name="account_change_password", get=_OWN, post=_OWN),
    page(
        "account/password/again/",
        account.reauthenticate,
        name="account_reauthenticate",
        get=_OWN,
        post=_OWN,
        with_password=True,
    ),
    page("account/code/again/", second_factor.reauthenticate, name="mfa_reauthenticate", get=_OWN, post=_OWN),
    page("account/code/", RedirectView.as_view(pattern_name="account"), name="mfa_index", get=_OWN),
    page(
        "account/code/set-up/",
        own_account.activate_totp,
        name="mfa_activate_totp",
        get=_OWN,
        post=_OWN,
        with_password=True,
    ),
    # A second factor is compulsory: where allauth would offer to give it up, the account's page answers.
    page("account/code/kept/", RedirectView.as_view(pattern_name="account"), name="mfa_deactivate_totp", get=_OWN),
    page("account/recovery-codes/", recovery_codes.view_recovery_codes, name="mfa_view_recovery_codes", get=_OWN),
    page(
        "account/recovery-codes/new/",
        recovery_codes.generate_recovery_codes,
        name="mfa_generate_recovery_codes",
        get=_OWN,
        post=_OWN,
    ),
    page(
        "account/recovery-codes/file/",
        recovery_codes.download_recovery_codes,
        name="mfa_download_recovery_codes",
        get=_OWN,
    ),
    page("account/sessions/", sessions.list_usersessions, name="usersessions_list", get=_OWN, post=_OWN),
    page("", home.index, name="home", get=_OWN),
    page("overview/", overview.index, name="overview", get=Right.SEE_OVERVIEW),
    page("audit/", audit.index, name="audit", get=Right.SEE_AUDIT),
    page("audit/entries.csv", audit.export, name="audit_csv", get=Right.SEE_AUDIT),
]
