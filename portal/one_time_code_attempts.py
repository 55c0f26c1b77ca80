"""Counts attempts at one-time codes in the same way as `hub.sign_in_attempts` counts attempts at passwords."""

from allauth.account.adapter import get_adapter
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, BaseAuthenticateForm, ReauthenticateForm

from hub.sign_in_attempts import attempt_of
from portal import known_browsers_for_lockout

# A code has only six digits, so unknown browsers get fewer attempts at codes than at passwords.
_MOST_ELSEWHERE = 5


class _Counted(BaseAuthenticateForm):
    def clean_code(self) -> str:
        request = context.request
        browser = known_browsers_for_lockout.known_as(request, self.user.get_username())
        attempt = attempt_of(request, f"code of {self.user.pk}", browser=browser, most_elsewhere=_MOST_ELSEWHERE)
        if not attempt.begin():
            raise get_adapter().validation_error("too_many_login_attempts")
        code: str = super().clean_code()
        attempt.succeed()
        return code


class Code(_Counted, AuthenticateForm):
    """The sign-in form for the one-time code."""


class CodeAgain(_Counted, ReauthenticateForm):
    """The form in which a user enters a code again before a change of the second factor."""
