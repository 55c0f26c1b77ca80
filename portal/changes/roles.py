"""Who works here: new users, their roles, their end, another second factor."""

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal import users
from portal.changes.kind import CanNotBeDone, Kind, Line, Payload, must_still_be, participant_named
from portal.permissions import Right, Role


def _user(payload: Payload) -> User:
    found = User.objects.filter(username=payload["username"]).first()
    if found is None:
        raise CanNotBeDone(_("There is no such user."))
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


def _describe_roles(payload: Payload) -> list[Line]:
    return [
        Line(_("User"), payload["username"]),
        Line(_("Roles before"), _roles(payload["before"]) or "–"),
        Line(_("Roles after"), _roles(payload["roles"])),
    ]


def _set_roles(payload: Payload, actor: str) -> None:
    user = _user(payload)
    must_still_be(sorted(user.groups.values_list("name", flat=True)), payload["before"])
    users.set_roles(user, roles=frozenset(Role(name) for name in payload["roles"]), actor=actor)


def _describe_activity(payload: Payload) -> list[Line]:
    after = _("may sign in") if payload["is_active"] else _("may not sign in")
    return [Line(_("User"), payload["username"]), Line(_("After"), after)]


def _set_active(payload: Payload, actor: str) -> None:
    users.set_active(_user(payload), is_active=payload["is_active"], actor=actor)


def _describe_reset(payload: Payload) -> list[Line]:
    what = _("Password and one-time codes end; an invitation sets up others.")
    return [Line(_("User"), payload["username"]), Line(_("After"), what)]


def _reset(payload: Payload, actor: str) -> None:
    users.reset_second_factor(_user(payload), actor=actor)


_RIGHTS = (Right.ASK_ROLES, Right.CHECK_ROLES)
KINDS = [
    Kind("create_user", gettext_lazy("Create a user"), *_RIGHTS, _describe_user, _create),
    Kind("set_roles", gettext_lazy("Change a user's roles"), *_RIGHTS, _describe_roles, _set_roles),
    Kind("set_user_active", gettext_lazy("Let a user in or out"), *_RIGHTS, _describe_activity, _set_active),
    Kind("reset_second_factor", gettext_lazy("Reset a second factor"), *_RIGHTS, _describe_reset, _reset),
]
