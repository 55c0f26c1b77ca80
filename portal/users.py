"""Creates, changes and deactivates the portal's users. Only the function `set_roles` changes roles. This function also
records who changed the roles.

`portal.invitations` lets users set a password. `portal.first_sign_in_confirmation` confirms accounts. Users of
unconfirmed accounts can only read.
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
from portal import first_sign_in_confirmation, invitations
from portal.models import Profile
from portal.permissions import PARTICIPANT_ROLES, Role

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,39}\Z")


class Refused(Exception):
    """Raised if a user cannot be created or changed. The text of the error explains to the requester why the change is
    refused."""


def check(*, username: str, email: str, roles: frozenset[Role], participant: Participant | None) -> None:
    """Raises Refused if a user with these values must not be created."""
    if not _USERNAME.match(username):
        raise Refused(_("A user name must have 2 to 40 lower-case letters, digits, dots, hyphens or underscores."))
    if User.objects.filter(username__iexact=username).exists():
        raise Refused(_("This user name is already in use."))
    check_email(email)
    if participant is not None and participant.closed_at is not None:
        raise Refused(_("This participant is permanently closed. Its users no longer have access."))
    check_roles(roles=roles, participant=participant)


def check_email(email: str) -> None:
    """Raises Refused if the mailbox of this e-mail address already belongs to another account.

    With two accounts, one person could both request and approve a change.
    """
    try:
        validate_email(email)
    except ValidationError:
        raise Refused(_("This is not an email address.")) from None
    known = User.objects.exclude(email="").values_list("email", flat=True)
    if mailbox(email) in {mailbox(each) for each in known}:
        raise Refused(_("Another user already has this email address."))


def check_roles(*, roles: frozenset[Role], participant: Participant | None) -> None:
    """Raises Refused if a participant's user has a role for the hub, or if a user of the hub has a role for
    participants."""
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
    """Creates a user. The user then sets a password with an invitation.

    `is_confirmed` is for users that are created in the shell.
    """
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
    """Returns the number of users who may request roles and approve requests for roles."""
    return User.objects.filter(is_active=True, profile__participant=None, groups__name=Role.ADMINISTRATOR).count()


@transaction.atomic
def set_roles(user: User, *, roles: frozenset[Role], actor: str) -> None:
    """Sets a user's roles to exactly these roles. The new roles apply from the user's next request on."""
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    profile = Profile.objects.select_related("participant").get(user=user)
    check_roles(roles=roles, participant=profile.participant)
    before = sorted(user.groups.values_list("name", flat=True))
    user.groups.set(_groups(roles))
    record("roles_changed", subject=user.username, actor=actor, before=before, after=sorted(roles))


@transaction.atomic
def set_active(user: User, *, is_active: bool, actor: str) -> None:
    """Activates or deactivates a user. Deactivation ends the user's sessions and invitation.

    If a user is activated again, the account must be confirmed again, because another person may know the password.
    """
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if is_active and is_of_closed(user):
        raise Refused(_("This participant is permanently closed. Its users no longer have access."))
    before, user.is_active = user.is_active, is_active
    user.save(update_fields=["is_active"])
    if not is_active:
        end_sessions(user)
        invitations.end_open(user)
        first_sign_in_confirmation.unconfirm(user)
    action = "user_enabled" if is_active else "user_disabled"
    record(action, subject=user.username, actor=actor, before={"isActive": before}, after={"isActive": is_active})


@transaction.atomic
def set_admin_reader(user: User, *, may_read: bool, actor: str) -> None:
    """Sets whether a user of the hub may read the database tables at /admin/. The pages at /admin/ allow no change."""
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    profile = getattr(user, "profile", None)
    if may_read and (profile is None or profile.participant_id is not None):
        raise Refused(
            _("Only users of the hub may read the database tables, because the tables show all participants.")
        )
    if may_read and not user.is_active:
        raise Refused(_("This account is inactive. Activate it first."))
    before, user.is_staff = user.is_staff, may_read
    user.save(update_fields=["is_staff"])
    action = "admin_reading_allowed" if may_read else "admin_reading_ended"
    record(action, subject=user.username, actor=actor, before={"isStaff": before}, after={"isStaff": may_read})


@transaction.atomic
def end_all_of(participant: Participant, *, actor: str) -> None:
    """Deactivates all users of a participant and ends their sessions. The audit trail has an entry for each user."""
    for user in User.objects.filter(profile__participant=participant, is_active=True).order_by("pk"):
        set_active(user, is_active=False, actor=actor)


def is_of_closed(user: User) -> bool:
    """Returns whether the participant of this user is permanently closed."""
    profile = getattr(user, "profile", None)
    participant = profile.participant if profile else None
    return participant is not None and participant.closed_at is not None


@transaction.atomic
def reset_second_factor(user: User, *, actor: str) -> None:
    """Removes the user's password and second factor.

    After the removal, the user needs an invitation. The new first sign-in must then be confirmed.
    """
    end_access(user)
    record("second_factor_reset", subject=user.username, actor=actor)


@transaction.atomic
def change_email(user: User, *, email: str, actor: str) -> None:
    """Changes the user's e-mail address and ends all access of this user. The user must then prove the ownership of the
    new address with an invitation."""
    check_email(email)
    end_access(user)
    before = user.email
    User.objects.filter(pk=user.pk).update(email=email)
    record("email_changed", subject=user.username, actor=actor, before={"email": before}, after={"email": email})


@transaction.atomic
def reject_sign_in(user: User, *, signed_in_at: datetime, rejected_by: User) -> None:
    """Rejects a first sign-in that was not made by the account's owner. Ends all access to the account.

    A single administrator can reject a sign-in.
    """
    profile = first_sign_in_confirmation.lock_unconfirmed(user, signed_in_at)
    if is_one_person(user, rejected_by):
        raise first_sign_in_confirmation.NotConfirmed(_("You cannot reject your own sign-in."))
    before = first_sign_in_confirmation.sign_in_of(profile)
    end_access(user)
    record("sign_in_rejected", subject=user.username, actor=rejected_by.username, before=before)


def end_access(user: User) -> None:
    """Removes password, second factor, sessions, an open invitation and the confirmation of this account."""
    locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    Authenticator.objects.filter(user=locked).delete()
    locked.set_unusable_password()
    locked.save(update_fields=["password"])
    end_sessions(locked)
    invitations.end_open(locked)
    first_sign_in_confirmation.unconfirm(locked)


def end_sessions(user: User) -> None:
    for session in UserSession.objects.filter(user=user):
        session.end()


def _groups(roles: frozenset[Role]) -> list[Any]:
    return [Group.objects.get_or_create(name=role.value)[0] for role in sorted(roles)]
