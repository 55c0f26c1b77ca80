"""Adapts allauth's sign-in to this hub's rules, and records each step in the audit trail."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AbstractBaseUser, User
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_noop

from hub.api.administration.staff_authentication import has_second_factor
from hub.audit import record
from hub.encryption import fernet
from hub.sign_in_attempts import attempt_of
from portal import first_sign_in_confirmation, known_browsers_for_lockout, users

# Texts of allauth on these pages, for languages that allauth does not have.
_SAID_BY_ALLAUTH = (
    gettext_noop("Username"),
    gettext_noop("Password"),
    gettext_noop("Code"),
    gettext_noop("Authenticator code"),
    gettext_noop("New Password"),
    gettext_noop("New Password (again)"),
    gettext_noop("Current Password"),
    gettext_noop("Incorrect code."),
    gettext_noop("Too many failed login attempts. Try again later."),
    gettext_noop("The username and/or password you specified are not correct."),
)
_LONGEST_NAME = 64  # names in the form are cut to this length, because users can type any text


class Backend(AuthenticationBackend):
    """Reads a user, with all data about the user that a request to the portal needs. Runs two SQL statements for any
    number of roles."""

    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.select_related("profile__participant").prefetch_related("groups").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None

    def user_can_authenticate(self, user: AbstractBaseUser | None) -> bool:
        """Returns whether this user may sign in.

        Users of a closed participant may not sign in, even if these users are active.
        """
        return super().user_can_authenticate(user) and not (isinstance(user, User) and users.is_of_closed(user))


class AccountAdapter(DefaultAccountAdapter):
    """Forbids sign-up. Records successful and failed sign-ins."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Switches off allauth's own count of attempts, because a stranger could use this count to lock a user out.
        `authenticate` counts the attempts instead.
        """

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """Checks the password. Refuses the attempt if `hub.sign_in_attempts` has counted too many earlier
        attempts."""
        name = str(credentials.get("username", ""))
        attempt = attempt_of(request, name, browser=known_browsers_for_lockout.known_as(request, name))
        if not attempt.begin():
            raise self.validation_error("too_many_login_attempts")
        user: AbstractBaseUser | None = super().authenticate(request, **credentials)
        if user is not None:
            attempt.succeed()
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        super().authentication_failed(request, **credentials)
        # Only an existing user's name is recorded, because users sometimes type the password into the name's field.
        name = User.objects.filter(username__iexact=str(credentials.get("username", ""))[:_LONGEST_NAME])
        subject = name.values_list("username", flat=True).first() or "unknown"
        record("sign_in_failed", subject=subject, actor="not signed in")

    def post_login(self, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **kwargs)
        record("signed_in", subject=user.get_username(), actor=user.get_username())
        if isinstance(user, User) and has_second_factor(request):
            first_sign_in_confirmation.note_sign_in(user, browser=request.headers.get("User-Agent", ""))
        return response

    def logout(self, request: HttpRequest) -> None:
        if request.user.is_authenticated:
            record("signed_out", subject=request.user.get_username(), actor=request.user.get_username())
        super().logout(request)

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        super().set_password(user, password)
        record("password_set", subject=user.get_username(), actor=user.get_username())

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Returns whether the user must enter a password or a code again before a change.

        A user without a second factor does not have to enter the password again.
        """
        return has_second_factor(self.request)

    def send_notification_mail(
        self,
        template_prefix: str,
        user: AbstractBaseUser,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Records the event in the audit trail, and sends no e-mail. "mfa/email/x" is recorded as "x"."""
        record(template_prefix.rpartition("/")[2], subject=user.get_username(), actor=user.get_username())


class SecondFactorAdapter(DefaultMFAAdapter):
    """Encrypts the secrets of authenticator apps at rest. A second factor cannot be removed, but only replaced."""

    def encrypt(self, text: str) -> str:
        return fernet("second factor").encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return fernet("second factor").decrypt(encrypted_text.encode()).decode()

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        return False
