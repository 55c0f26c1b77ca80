"""The portal's users: made, given roles, ended. Roles change by `set_roles` only, and it says who did it.

How they set a password is in `portal.invitations`, and when they may do more than read in `portal.first_sign_in`.
"""

import re
from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from hub.audit import record
from hub.audit.approvals import is_one_person, mailbox
from hub.participants.models import Participant
from portal import first_sign_in, invitations
from portal.models import Profile
from portal.permissions import PARTICIPANT_ROLES, Role

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,39}\Z")


class Refused(Exception):
    """Why a user was not made or changed, for who asked."""


def check(*, username: str, email: str, roles: frozenset[Role], participant: Participant | None) -> None:
    """Raises Refused where no user may be made so."""
    if not _USERNAME.match(username):
        raise Refused(_("A user name must have 2 to 40 lower-case letters, digits, dots, hyphens or underscores."))
    if User.objects.filter(username__iexact=username).exists():
        raise Refused(_("This user name is already in use."))
    check_email(email)
    if participant is not None and participant.closed_at is not None:
        raise Refused(_("This participant is permanently closed. Its users no longer have access."))
    check_roles(roles=roles, participant=participant)


def check_email(email: str) -> None:
    """One mailbox, one person, one account: nobody checks with a second account what they asked for with the first."""
    try:
        validate_email(email)
    except ValidationError:
        raise Refused(_("This is not an email address.")) from None
    known = User.objects.exclude(email="").values_list("email", flat=True)
    if mailbox(email) in {mailbox(each) for each in known}:
        raise Refused(_("Another user already has this email address."))


def check_roles(*, roles: frozenset[Role], participant: Participant | None) -> None:
    """A participant's user has participant roles only, and the hub's people none of them."""
    if not roles:
        raise Refused(_("A user must have at least one role."))
    if participant is None and roles & PARTICIPANT_ROLES:
        raise Refused(_("A user with a participant role must belong to a participant."))
    if participant is not None and roles - PARTICIPANT_ROLES:
        raise Refused(_("A user of a participant can have only participant roles."))


@transaction.atomic
def create(
    *,
    username: str,
    email: str,
    roles: frozenset[Role],
    participant: Participant | None,
    actor: str,
    is_confirmed: bool = False,
) -> User:
    """A new user without a password: its invitation lets the person set one. `is_confirmed`: made from the shell."""
    check(username=username, email=email, roles=roles, participant=participant)
    user = User(username=username, email=email)
    user.set_unusable_password()
    user.save()
    confirmed = {"confirmed_at": timezone.now(), "unconfirmed_since": None} if is_confirmed else {}
    Profile.objects.create(user=user, participant=participant, **confirmed)
    user.groups.set(_groups(roles))
    after = {"email": email, "roles": sorted(roles), "participant": participant.name if participant else None}
    record("user_created", subject=username, actor=actor, after=after)
    return user


def administrators() -> int:
    """How many people may ask for roles and approve them."""
    return User.objects.filter(is_active=True, profile__participant=None, groups__name=Role.ADMINISTRATOR).count()


@transaction.atomic
def set_roles(user: User, *, roles: frozenset[Role], actor: str) -> None:
    """Gives a user these roles and no other; the next request already has them."""
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    profile = Profile.objects.select_related("participant").get(user=user)
    check_roles(roles=roles, participant=profile.participant)
    before = sorted(user.groups.values_list("name", flat=True))
    user.groups.set(_groups(roles))
    record("roles_changed", subject=user.username, actor=actor, before=before, after=sorted(roles))


@transaction.atomic
def set_active(user: User, *, is_active: bool, actor: str) -> None:
    """Lets a user in, or no longer: its sessions and its invitation end with it.

    One who is let in again is confirmed again: somebody else may know the password by now.
    """
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if is_active and is_of_closed(user):
        raise Refused(_("This participant is permanently closed. Its users no longer have access."))
    before, user.is_active = user.is_active, is_active
    user.save(update_fields=["is_active"])
    if not is_active:
        end_sessions(user)
        invitations.end_open(user)
        first_sign_in.unconfirm(user)
    action = "user_enabled" if is_active else "user_disabled"
    record(action, subject=user.username, actor=actor, before={"isActive": before}, after={"isActive": is_active})


@transaction.atomic
def end_all_of(participant: Participant, *, actor: str) -> None:
    """Ends the access of a participant's people: sessions, and the way to new ones. Each has its entry in the trail."""
    for user in User.objects.filter(profile__participant=participant, is_active=True).order_by("pk"):
        set_active(user, is_active=False, actor=actor)


def is_of_closed(user: User) -> bool:
    """Whether the participant that this user is bound to was closed for good."""
    profile = getattr(user, "profile", None)
    participant = profile.participant if profile else None
    return participant is not None and participant.closed_at is not None


@transaction.atomic
def reset_second_factor(user: User, *, actor: str) -> None:
    """For who lost the phone or the password: a new invitation sets both anew, and the sign-in is confirmed again."""
    end_access(user)
    record("second_factor_reset", subject=user.username, actor=actor)


@transaction.atomic
def change_email(user: User, *, email: str, actor: str) -> None:
    """Another address is proven as the first one was: the way in by the old one ends."""
    check_email(email)
    end_access(user)
    before = user.email
    User.objects.filter(pk=user.pk).update(email=email)
    record("email_changed", subject=user.username, actor=actor, before={"email": before}, after={"email": email})


@transaction.atomic
def reject_sign_in(user: User, *, signed_in_at: datetime, rejected_by: User) -> None:
    """The first sign-in was somebody else's: what opened the account opens it no more. One administrator is enough."""
    profile = first_sign_in.lock_unconfirmed(user, signed_in_at)
    if is_one_person(user, rejected_by):
        raise first_sign_in.NotConfirmed(_("You cannot reject your own sign-in."))
    before = first_sign_in.sign_in_of(profile)
    end_access(user)
    record("sign_in_rejected", subject=user.username, actor=rejected_by.username, before=before)


def end_access(user: User) -> None:
    """Ends all that opens this account: password, second factor, sessions, an open invitation; and its confirmation."""
    locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    Authenticator.objects.filter(user=locked).delete()
    locked.set_unusable_password()
    locked.save(update_fields=["password"])
    end_sessions(locked)
    invitations.end_open(locked)
    first_sign_in.unconfirm(locked)


def end_sessions(user: User) -> None:
    for session in UserSession.objects.filter(user=user):
        session.end()


def _groups(roles: frozenset[Role]) -> list[Any]:
    return [Group.objects.get_or_create(name=role.value)[0] for role in sorted(roles)]
