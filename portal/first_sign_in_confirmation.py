"""Confirms first sign-ins. Administrators check that the owner of a new account, and no other person, has signed in.

A user of an account that is not confirmed yet can only read. One administrator is enough if this administrator has
neither requested nor approved a change of the account since the last confirmation. If the hub has no such
administrator, two other administrators must confirm the sign-in separately. So one person alone can never use another
person's account.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext as _

from hub import audit
from hub.audit.approvals import is_one_person
from hub.audit.models import Approval
from hub.notifications import is_recipient, notify
from portal.models import Confirmation, Profile
from portal.permissions import Role

# The kinds of change that concern an account. The subject of each change is a user name.
ACCOUNT_KINDS = frozenset({"create_user", "set_roles", "set_user_active", "reset_second_factor", "change_email"})


class NotConfirmed(Exception):
    """Raised if this person cannot confirm the sign-in. The text of the error is the reason."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of an account that is not confirmed yet."""

    involved: Sequence[str]  # users who requested or approved a change of the account since the last confirmation
    may_confirm: Sequence[User]
    needed: int
    confirmed_by: Sequence[str]  # users who have already confirmed this sign-in

    @property
    def is_reachable(self) -> bool:
        """Whether this hub has enough administrators to confirm the account."""
        return len(self.may_confirm) + len(self.confirmed_by) >= self.needed


def note_sign_in(user: User, *, browser: str) -> None:
    """Records that the user of an unconfirmed account has signed in with both factors for the first time. Notifies the
    administrators."""
    with transaction.atomic():
        unconfirmed = Profile.objects.filter(user=user, confirmed_at=None, signed_in_at=None)
        noted = unconfirmed.update(
            signed_in_at=Now(), signed_in_from=audit.address() or None, signed_in_with=browser[:200]
        )
        if not noted:
            return
        profile = Profile.objects.get(user=user)
        audit.record("first_signed_in", subject=user.username, actor=user.username, after=sign_in_of(profile))
        _let_administrators_know(user, profile)


def standing(user: User) -> Standing:
    """Returns the administrators who may confirm this account now, and the required number of confirmations."""
    profile = Profile.objects.get(user=user)
    involved_ids = _involved(user, profile)
    others = [each for each in _administrators() if not is_one_person(each, user)]
    apart = [each for each in others if each.pk not in involved_ids]
    done = _confirmations(user, profile)
    names = {each.pk: each.username for each in User.objects.filter(pk__in=involved_ids)}
    return Standing(
        involved=sorted(names.values()),
        may_confirm=apart or [each for each in others if each.pk not in {found.confirmed_by_id for found in done}],
        needed=1 if apart else 2,
        confirmed_by=[found.confirmed_by.username for found in done],
    )


@transaction.atomic
def confirm(user: User, *, signed_in_at: datetime, confirmed_by: User) -> bool:
    """Confirms the sign-in that the administrator has checked. Returns whether the account is now confirmed."""
    profile = lock_unconfirmed(user, signed_in_at)
    found = standing(user)
    if is_one_person(user, confirmed_by):
        raise NotConfirmed(_("You cannot confirm your own sign-in."))
    if confirmed_by.username in found.confirmed_by:
        raise NotConfirmed(_("You have already confirmed this sign-in. Another administrator must confirm it too."))
    if confirmed_by not in found.may_confirm:
        names = ", ".join(each.username for each in found.may_confirm) or "–"
        raise NotConfirmed(
            _(
                "Only an administrator who neither requested nor approved this account can confirm the "
                "sign-in: %(names)s."
            )
            % {"names": names}
        )
    Confirmation.objects.create(user=user, signed_in_at=signed_in_at, confirmed_by=confirmed_by)
    is_enough = len(found.confirmed_by) + 1 >= found.needed
    if is_enough:
        Profile.objects.filter(pk=profile.pk).update(confirmed_at=Now(), unconfirmed_since=None)
    audit.record(
        "sign_in_confirmed",
        subject=user.username,
        actor=confirmed_by.username,
        after=sign_in_of(profile)
        | {
            "confirmedBy": [*found.confirmed_by, confirmed_by.username],
            "involved": list(found.involved),
            "isConfirmed": is_enough,
        },
    )
    return is_enough


def unconfirm(user: User) -> None:
    """Restricts the account to reading until a new first sign-in is confirmed."""
    Profile.objects.filter(user=user).update(signed_in_at=None, signed_in_from=None, signed_in_with="")
    Profile.objects.filter(user=user, confirmed_at__isnull=False).update(confirmed_at=None, unconfirmed_since=Now())


def waiting() -> "models.QuerySet[Profile]":
    """Returns the accounts whose first sign-in is waiting for confirmation."""
    return Profile.objects.filter(confirmed_at=None, signed_in_at__isnull=False, user__is_active=True)


def lock_unconfirmed(user: User, signed_in_at: datetime) -> Profile:
    """Locks and returns an account's profile.

    Raises NotConfirmed if the account is already confirmed, or if the account has a different first sign-in now.
    """
    profile = Profile.objects.select_for_update(no_key=True).get(user=user)
    if not User.objects.filter(pk=user.pk, is_active=True).exists():
        raise NotConfirmed(_("This account is inactive."))
    if profile.confirmed_at is not None:
        raise NotConfirmed(_("This account is already confirmed."))
    if profile.signed_in_at is None or profile.signed_in_at != signed_in_at:
        raise NotConfirmed(_("The first sign-in of this account has changed. Check it again."))
    return profile


def _confirmations(user: User, profile: Profile) -> list[Confirmation]:
    if profile.signed_in_at is None:
        return []
    found = Confirmation.objects.filter(user=user, signed_in_at=profile.signed_in_at)
    return list(found.select_related("confirmed_by"))


def _involved(user: User, profile: Profile) -> set[int]:
    """Returns the ids of the users who requested or approved a change of this account since the account's last
    confirmation."""
    rows = Approval.objects.filter(
        state=Approval.State.APPROVED,
        subject=user.username,
        kind__in=ACCOUNT_KINDS,
        decided_at__gte=profile.unconfirmed_since,
    ).values_list("maker_id", "holder_id", "checker_id")
    return {person_id for row in rows for person_id in row if person_id is not None}


def _administrators() -> list[User]:
    """Returns the administrators who may confirm other accounts.

    Only active administrators with confirmed accounts may confirm other accounts.
    """
    return list(
        User.objects.filter(
            is_active=True,
            profile__confirmed_at__isnull=False,
            profile__participant=None,
            groups__name=Role.ADMINISTRATOR.value,
        ).order_by("username")
    )


def sign_in_of(profile: Profile) -> dict[str, str | None]:
    assert profile.signed_in_at is not None
    return {
        "signedInAt": profile.signed_in_at.isoformat(),
        "signedInFrom": profile.signed_in_from,
        "signedInWith": profile.signed_in_with,
    }


def _let_administrators_know(user: User, profile: Profile) -> None:
    for recipient, language in [
        *((each.email, each.profile.language) for each in standing(user).may_confirm),  # type: ignore[attr-defined]
        *((url, "") for url in settings.NOTIFICATION_WEBHOOKS),
    ]:
        if not is_recipient(recipient):
            continue  # an account that was created in the shell can lack an address, or have an unusable address
        with translation.override(language or settings.LANGUAGE_CODE):
            facts = {
                "user": user.username,
                "hub": settings.HUB_NAME,
                "at": f"{profile.signed_in_at:%Y-%m-%d %H:%M} UTC",
                "where": profile.signed_in_from or "–",
                "link": f"{settings.PORTAL_URL.rstrip('/')}/portal/users/{user.username}/",
            }
            notify(
                kind="first_sign_in",
                recipients=[recipient],
                subject=_("%(user)s signed in to %(hub)s for the first time") % facts,
                text=_(
                    "%(user)s signed in for the first time at %(at)s, from %(where)s. Ask this person whether"
                    " the sign-in was theirs. Then confirm or reject the sign-in:\n\n"
                    "%(link)s\n"
                )
                % facts,
                webhook={"user": user.username} | sign_in_of(profile),
            )
