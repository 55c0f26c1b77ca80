"""Creates and opens invitations. Invitations ensure that only the owner of an account can set the account's password.

If the hub can send e-mail, the hub sends the link to the account's address, and no page shows the link. If the hub
cannot send e-mail, the requester of the account hands over the link, and the approver hands over the code. The link and
the code are the two halves of the invitation. Each of the two people sees only one half, and only once. The owner needs
both halves. If a half was lost, was seen by another person or has expired, the account needs a new invitation. One
person requests the new invitation, and another person approves the request.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from hub.audit import record
from hub.notifications import is_recipient, notify, withdraw
from portal.models import Invitation, Profile

_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"  # letters and digits that are not easily confused
_CODE_LENGTH = 12
MOST_WRONG_CODES = 5


class Half(StrEnum):
    LINK = "link"
    CODE = "code"


class NotShown(Exception):
    """Raised if the hub does not show a half of an invitation. The text of the error is the reason."""


class NotOpened(Exception):
    """Raised if an invitation cannot be used. The text of the error gives the reason to the invited person."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One of the two halves of an invitation.

    The hub shows each half only once, and only to the person who hands the half over to the account's owner.
    """

    half: Half
    text: str


def goes_by_email(user: User) -> bool:
    """Returns whether the hub sends the link of this account's invitation by e-mail.

    No page shows a link that the hub sends by e-mail.
    """
    return settings.SENDS_EMAIL and is_recipient(user.email)


def make(user: User, *, asked_by: User | None, approved_by: User) -> Invitation:
    """In the approval's database transaction, creates an invitation. Ends an earlier invitation of the account.

    `asked_by` can be None only if the hub sends the link by e-mail.
    """
    end_open(user)
    expires_at = timezone.now() + timedelta(seconds=settings.INVITATION_EXPIRES_S)
    if not goes_by_email(user):
        assert asked_by is not None
        return Invitation.objects.create(
            user=user, link_holder=asked_by, code_holder=approved_by, expires_at=expires_at
        )
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(user=user, link_hash=_hash(Half.LINK, token), expires_at=expires_at)
    subject, text = _letter(user, token, asked_by, approved_by)
    (invitation.notification_id,) = notify(
        kind="invitation",
        recipients=[user.email],
        subject=subject,
        text=text,
        is_secret=True,
        expires_at=expires_at,
    )
    invitation.save(update_fields=["notification_id"])
    return invitation


def make_for_console(user: User) -> str:
    """Creates an invitation without a code, and returns the path of the link.

    Only people with access to a shell can call this function. People with access to a shell could change the database
    even without this function.
    """
    end_open(user)
    token = secrets.token_urlsafe(32)
    expires_at = timezone.now() + timedelta(seconds=settings.INVITATION_EXPIRES_S)
    Invitation.objects.create(user=user, link_hash=_hash(Half.LINK, token), expires_at=expires_at)
    return path_of(token)


def path_of(token: str) -> str:
    """Returns the path of the link.

    The token comes after the # of the link, so no server, proxy log or Referer ever contains the token.
    """
    return f"{reverse('invitation')}#{token}"


@transaction.atomic
def end_open(user: User) -> None:
    """Ends the open invitation of this account, and withdraws the e-mail with the link."""
    invitation = _open(user)
    if invitation is not None:
        _end(invitation)


def latest(user: User) -> Invitation | None:
    """Returns the account's latest invitation, open or ended."""
    return Invitation.objects.filter(user=user).select_related("link_holder", "code_holder").first()


def half_of(invitation: Invitation | None, holder: User | None) -> Half | None:
    """Returns the half that this person may see now, or None. No person sees both halves, and no person sees a half
    twice."""
    if invitation is None or holder is None or invitation.ended_at or invitation.is_late:
        return None
    if invitation.link_holder_id == holder.pk and invitation.link_hash is None:
        return Half.LINK
    if invitation.code_holder_id == holder.pk and invitation.code_hash is None:
        return Half.CODE
    return None


@transaction.atomic
def show_half(user: User, *, holder: User) -> Shown:
    """Creates and returns this person's half of the open invitation. The hub keeps only a hash of the half."""
    invitation = _open(user)
    half = half_of(invitation, holder)
    if invitation is None or half is None:
        raise NotShown(
            _(
                "There is nothing to show. Your half of the invitation was already shown, has expired, or belongs to "
                "another administrator."
            )
        )
    token = secrets.token_urlsafe(32) if half is Half.LINK else _code()
    column = "link_hash" if half is Half.LINK else "code_hash"
    setattr(invitation, column, _hash(half, _spelt(token) if half is Half.CODE else token))
    invitation.save(update_fields=[column])
    record(f"invitation_{half}_shown", subject=user.username, actor=holder.username)
    return Shown(half, path_of(token) if half is Half.LINK else token)


def find(token: str) -> Invitation:
    """Returns the open invitation with this link. Raises NotOpened if no open invitation has this link."""
    invitation = _usable().filter(link_hash=_hash(Half.LINK, token)).select_related("user").first()
    if invitation is None or not invitation.user.is_active:
        raise NotOpened(_too_old())
    return invitation


def set_password(invitation: Invitation, *, code: str, password: str) -> User:
    """Sets the account's password and ends the invitation. If the code is wrong, the function only counts the
    attempt."""
    hashed = make_password(password)  # hashing is slow on purpose, so the function hashes before it locks rows
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=invitation.user_id)
        locked = _usable().select_for_update(no_key=True).filter(pk=invitation.pk).first()
        if locked is None or not user.is_active:
            raise NotOpened(_too_old())
        if _is_right(locked, code):
            user.password = hashed
            user.save(update_fields=["password"])
            locked.is_used = True
            _end(locked)
            record("password_set", subject=user.username, actor=user.username)
            return user
        is_last = _count_wrong_code(locked)
    # The error is raised outside the database transaction, so that the error does not roll back the count of wrong
    # codes.
    raise NotOpened(
        _too_old() if is_last else _("The code is wrong. The person who approved your account has the right code.")
    )


def _count_wrong_code(invitation: Invitation) -> bool:
    invitation.wrong_codes += 1
    invitation.save(update_fields=["wrong_codes"])
    record("invitation_code_wrong", subject=invitation.user.username, actor="not signed in")
    is_last = invitation.wrong_codes >= MOST_WRONG_CODES
    if is_last:
        _end(invitation)
    return is_last


def _end(invitation: Invitation) -> None:
    invitation.ended_at = timezone.now()
    invitation.save(update_fields=["ended_at", "is_used"])
    if invitation.notification_id is not None:
        withdraw([invitation.notification_id])


def _open(user: User) -> Invitation | None:
    found = Invitation.objects.select_for_update(no_key=True).filter(user=user, ended_at=None)
    return found.first()


def _usable() -> "models.QuerySet[Invitation]":
    return Invitation.objects.filter(ended_at=None, expires_at__gt=Now())


def _is_right(invitation: Invitation, code: str) -> bool:
    if invitation.code_holder_id is None:
        return True  # the hub sent the link to the owner's mailbox
    given = _hash(Half.CODE, _spelt(code))
    return invitation.code_hash is not None and hmac.compare_digest(invitation.code_hash, given)


def _hash(half: Half, text: str) -> str:
    # The hash uses a secret key. So a person with only a copy of the database cannot find the code by trying all codes.
    return salted_hmac(f"portal.invitations.{half}", text, algorithm="sha256").hexdigest()


def _code() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _place in range(_CODE_LENGTH))
    return "-".join(letters[start : start + 4] for start in range(0, _CODE_LENGTH, 4))


def _spelt(code: str) -> str:
    """Returns a code in the form for hashing: only capital letters and digits."""
    return "".join(letter for letter in code.upper() if letter.isalnum())


def _too_old() -> str:
    return _("This invitation was already used, has expired, or was replaced. Ask an administrator for a new one.")


def _letter(user: User, token: str, asked_by: User | None, approved_by: User) -> tuple[str, str]:
    """Returns the subject and the text of the e-mail with the link."""
    profile = Profile.objects.get(user=user)
    with translation.override(profile.language or settings.LANGUAGE_CODE):
        facts = {
            "hub": settings.HUB_NAME,
            "user": user.username,
            "maker": asked_by.username if asked_by is not None else _("a program"),
            "checker": approved_by.username,
            "hours": settings.INVITATION_EXPIRES_S // 3600,
            "link": settings.PORTAL_URL.rstrip("/") + path_of(token),
        }
        subject = _("Your account at %(hub)s") % facts
        text = (
            _(
                "%(maker)s requested this invitation, and %(checker)s approved it. Set a new password for"
                " your account %(user)s at %(hub)s.\n\n"
                "Open this link within %(hours)s hours. It works once:\n\n"
                "%(link)s\n\n"
                "Then sign in and set up one-time codes. An administrator will ask you whether the "
                "sign-in was yours.\n\n"
                "If you do not expect this e-mail, do not open the link. Contact an administrator of the "
                "hub."
            )
            % facts
        )
    return subject, text
