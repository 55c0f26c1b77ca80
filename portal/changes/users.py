"""The kinds of change for users: creation, roles, activation, email address and second factor."""

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.notifications import is_recipient, notify
from portal import invitations, users
from portal.changes.change_kind import CanNotBeDone, Kind, Line, Outdated, Payload, must_still_be, participant_named
from portal.permissions import Right, Role


def _user(payload: Payload) -> User:
    found = User.objects.filter(username=payload["username"]).first()
    if found is None:
        raise CanNotBeDone(_("This user does not exist."))
    return found


def _roles(names: list[str]) -> str:
    return ", ".join(str(Role(name).label) for name in names)


def _describe_user(payload: Payload) -> list[Line]:
    return [
        Line(_("User"), payload["username"]),
        Line(_("Email"), payload["email"]),
        Line(_("Roles"), _roles(payload["roles"])),
        Line(_("Participant"), payload["participant"] or "–"),
    ]


def _create(payload: Payload, actor: str) -> None:
    users.create(
        username=payload["username"],
        email=payload["email"],
        roles=frozenset(Role(name) for name in payload["roles"]),
        participant=participant_named(payload["participant"]) if payload["participant"] else None,
        actor=actor,
    )


def _check_new_still(payload: Payload) -> None:
    """Raises Outdated if another account has the user name or the e-mail address meanwhile, or if the participant was
    closed permanently."""
    try:
        users.check(
            username=payload["username"],
            email=payload["email"],
            roles=frozenset(Role(name) for name in payload["roles"]),
            participant=participant_named(payload["participant"]) if payload["participant"] else None,
        )
    except users.Refused:
        raise Outdated from None


def _describe_roles(payload: Payload) -> list[Line]:
    return [
        Line(_("User"), payload["username"]),
        Line(_("Roles before"), _roles(payload["before"]) or "–"),
        Line(_("Roles after"), _roles(payload["roles"])),
    ]


def _check_roles_still(payload: Payload) -> None:
    must_still_be(sorted(_user(payload).groups.values_list("name", flat=True)), payload["before"])


def _set_roles(payload: Payload, actor: str) -> None:
    _check_roles_still(payload)
    user = _user(payload)
    users.set_roles(user, roles=frozenset(Role(name) for name in payload["roles"]), actor=actor)


def _describe_activity(payload: Payload) -> list[Line]:
    after = _("active: can sign in") if payload["is_active"] else _("inactive: cannot sign in")
    return [Line(_("User"), payload["username"]), Line(_("After"), after)]


def _check_activity_still(payload: Payload) -> None:
    user = _user(payload)
    must_still_be(user.is_active, not payload["is_active"])
    must_still_be(payload["is_active"] and users.is_of_closed(user), False)


def _set_active(payload: Payload, actor: str) -> None:
    users.set_active(_user(payload), is_active=payload["is_active"], actor=actor)


def _describe_reading(payload: Payload) -> list[Line]:
    after = (
        _("may read the database tables at /admin/")
        if payload["may_read"]
        else _("is not allowed to read the database tables at /admin/")
    )
    return [Line(_("User"), payload["username"]), Line(_("After"), after)]


def _check_reading_still(payload: Payload) -> None:
    must_still_be(_user(payload).is_staff, not payload["may_read"])


def _set_reading(payload: Payload, actor: str) -> None:
    users.set_admin_reader(_user(payload), may_read=payload["may_read"], actor=actor)


def _describe_reset(payload: Payload) -> list[Line]:
    return [Line(_("User"), payload["username"]), Line(_("After"), _after_a_reset())]


def _after_a_reset() -> str:
    return _(
        "The password and one-time codes no longer work. The user sets up a new "
        "password and new codes with a new invitation, and the first sign-in must be confirmed again."
    )


def _reset(payload: Payload, actor: str) -> None:
    users.reset_second_factor(_one_who_may_sign_in(payload), actor=actor)


def _describe_email(payload: Payload) -> list[Line]:
    return [
        Line(_("User"), payload["username"]),
        Line(_("Email before"), payload["before"]),
        Line(_("Email after"), payload["email"]),
        Line(_("After"), _after_a_reset()),
    ]


def _check_email_still(payload: Payload) -> None:
    """Raises Outdated if the user's address has changed meanwhile, or if another account has the new address."""
    must_still_be(_user(payload).email, payload["before"])
    try:
        users.check_email(payload["email"])
    except users.Refused:
        raise Outdated from None


def _change_email(payload: Payload, actor: str) -> None:
    user = _one_who_may_sign_in(payload)
    must_still_be(user.email, payload["before"])
    users.change_email(user, email=payload["email"], actor=actor)
    _let_the_old_address_know(user, payload)


def _let_the_old_address_know(user: User, payload: Payload) -> None:
    if not is_recipient(payload["before"]):
        return
    with translation.override(user.profile.language or settings.LANGUAGE_CODE):  # type: ignore[attr-defined]
        facts = {"user": user.username, "hub": settings.HUB_NAME}
        notify(
            kind="email_changed",
            recipients=[payload["before"]],
            subject=_("The e-mail address of your account at %(hub)s was changed") % facts,
            text=_(
                "Two administrators changed the e-mail address of your account %(user)s at %(hub)s. Your "
                "password and your one-time codes no longer work.\n\n"
                "If you did not expect this change, contact an administrator of the hub."
            )
            % facts,
        )


def _one_who_may_sign_in(payload: Payload) -> User:
    user = _user(payload)
    if not user.is_active:
        raise CanNotBeDone(_("This account is inactive. Activate it first."))
    return user


def _invite(payload: Payload, asked_by: User | None, approved_by: User) -> None:
    user = _user(payload)
    if asked_by is None and not invitations.goes_by_email(user):
        raise CanNotBeDone(
            _(
                "The hub cannot e-mail this invitation, so the requester must hand over the link. A "
                "person, not a program, must submit this request."
            )
        )
    if asked_by is not None and user.pk in (asked_by.pk, approved_by.pk):
        # The change has just ended all sessions of this user. So this user could not open the page that shows a half of
        # the invitation.
        raise CanNotBeDone(
            _("You can neither request nor approve this for your own account. Two other administrators must do it.")
        )
    invitations.make(user, asked_by=asked_by, approved_by=approved_by)


_RIGHTS = (Right.ASK_ROLES, Right.CHECK_ROLES)
KINDS = [
    Kind(
        "create_user",
        gettext_lazy("Create a user"),
        *_RIGHTS,
        _describe_user,
        _create,
        then=_invite,
        check_still=_check_new_still,
    ),
    Kind(
        "set_roles",
        gettext_lazy("Change a user's roles"),
        *_RIGHTS,
        _describe_roles,
        _set_roles,
        check_still=_check_roles_still,
    ),
    Kind(
        "set_user_active",
        gettext_lazy("Activate or deactivate a user"),
        *_RIGHTS,
        _describe_activity,
        _set_active,
        check_still=_check_activity_still,
    ),
    Kind(
        "set_admin_reader",
        gettext_lazy("Change who may read the database tables"),
        *_RIGHTS,
        _describe_reading,
        _set_reading,
        check_still=_check_reading_still,
    ),
    Kind(
        "reset_second_factor",
        gettext_lazy("Reset password and second factor"),
        *_RIGHTS,
        _describe_reset,
        _reset,
        then=_invite,
    ),
    Kind(
        "change_email",
        gettext_lazy("Change a user's email address"),
        *_RIGHTS,
        _describe_email,
        _change_email,
        then=_invite,
        check_still=_check_email_still,
    ),
]
