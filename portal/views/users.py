"""The pages of the portal's users: the list, one user, requests, invitations, and confirmations of first sign-ins."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms as django_forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.notifications import queries as notifications
from hub.participants.models import Participant
from portal import change_request_forms, first_sign_in_confirmation, invitations, users
from portal.changes import Line
from portal.permissions import Right, Role
from portal.posted_text import posted
from portal.views.request_change import AskForm, asking
from portal.visitor import Visitor, visitor_of

_ROLES = set(Role.values)


def index(request: HttpRequest) -> HttpResponse:
    found = (
        User.objects.filter(profile__isnull=False)
        .select_related("profile__participant")
        .prefetch_related("groups", "authenticator_set")
        .order_by("username")
    )
    return render(request, "portal/users.html", {"users": found})


def _user(username: str) -> User:
    found = User.objects.select_related("profile__participant").filter(username=username, profile__isnull=False).first()
    if found is None:
        raise Http404
    return found


def show(request: HttpRequest, username: str) -> HttpResponse:
    return render(request, "portal/user.html", _shown(visitor_of(request), _user(username)))


def _shown(visitor: Visitor, user: User) -> dict[str, Any]:
    profile = user.profile  # type: ignore[attr-defined]
    invitation = invitations.latest(user)
    return {
        "shown": user,
        "roles": _roles_of(user),
        "has_app": user.authenticator_set.filter(type="totp").exists(),  # type: ignore[attr-defined]
        "is_own": visitor.user is not None and visitor.user.pk == user.pk,
        "invitation": invitation,
        "mail": notifications.one(invitation.notification_id) if invitation else None,
        "half": invitations.half_of(invitation, visitor.user) if visitor.may(Right.INVITE_USERS) else None,
        "standing": first_sign_in_confirmation.standing(user) if user.is_active and not profile.confirmed_at else None,
    }


def hand_over(request: HttpRequest, username: str) -> HttpResponse:
    """Shows one half of the account's invitation (the link or the code) to the visitor who hands over this half. No
    other response contains this half."""
    visitor, user = visitor_of(request), _user(username)
    assert visitor.user is not None
    try:
        half = invitations.show_half(user, holder=visitor.user)
    except invitations.NotShown as reason:
        messages.error(request, str(reason))
        return redirect("user", username)
    is_link = half.half is invitations.Half.LINK
    shown = request.build_absolute_uri(half.text) if is_link else half.text
    return render(request, "portal/user.html", _shown(visitor, user) | {"shown_half": half.half, "secret": shown})


def confirm(request: HttpRequest, username: str) -> HttpResponse:
    def do(user: User, administrator: User, signed_in_at: datetime) -> str:
        if first_sign_in_confirmation.confirm(user, signed_in_at=signed_in_at, confirmed_by=administrator):
            return _("The sign-in is confirmed. The account now has all the rights of its roles.")
        return _("You have confirmed the sign-in. Another administrator must confirm it too.")

    return _judge(request, username, do)


def reject(request: HttpRequest, username: str) -> HttpResponse:
    def do(user: User, administrator: User, signed_in_at: datetime) -> str:
        users.reject_sign_in(user, signed_in_at=signed_in_at, rejected_by=administrator)
        return _("The sign-in is rejected. The account's password and second factor no longer work.")

    return _judge(request, username, do)


def _judge(request: HttpRequest, username: str, do: Callable[[User, User, datetime], str]) -> HttpResponse:
    """Confirms or rejects the first sign-in that the visitor saw on the page. If the account has a different first
    sign-in now, shows an error."""
    user, administrator = _user(username), visitor_of(request).user
    assert administrator is not None
    try:
        signed_in_at = datetime.fromisoformat(posted(request, "signed_in_at"))
        messages.success(request, do(user, administrator, signed_in_at))
    except (ValueError, first_sign_in_confirmation.NotConfirmed) as reason:
        is_ours = isinstance(reason, first_sign_in_confirmation.NotConfirmed)
        messages.error(request, str(reason) if is_ours else _("This sign-in does not belong to this account."))
    return redirect("user", username)


def _roles_of(user: User) -> list[str]:
    return sorted(group.name for group in user.groups.all() if group.name in _ROLES)


class _NewUser(change_request_forms.NewUser):
    def clean(self) -> dict[str, object]:
        said: dict[str, object] = super().clean() or {}
        if not self.errors:
            participant = said["participant"]
            try:
                users.check(
                    username=str(said["username"]),
                    email=str(said["email"]),
                    roles=frozenset(Role(name) for name in said["roles"]),  # type: ignore[attr-defined]
                    participant=participant if isinstance(participant, Participant) else None,
                )
            except users.Refused as refused:
                raise django_forms.ValidationError(str(refused)) from None
        return said


class _NewEmail(change_request_forms.NewEmail):
    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        try:
            users.check_email(email)
        except users.Refused as refused:
            raise django_forms.ValidationError(str(refused)) from None
        return email


def create(request: HttpRequest) -> HttpResponse:
    return asking(
        request,
        "create_user",
        form=_NewUser(request.POST or None),
        subject=lambda said: str(said["username"]),
        payload=lambda said: {
            "username": said["username"],
            "email": said["email"],
            "roles": sorted(said["roles"]),
            "participant": said["participant"].name if said["participant"] else "",
        },
        back=reverse("users"),
    )


def change_roles(request: HttpRequest, username: str) -> HttpResponse:
    user = _user(username)
    before = sorted(user.groups.values_list("name", flat=True))
    is_participants = user.profile.participant_id is not None
    return asking(
        request,
        "set_roles",
        form=change_request_forms.Roles(
            request.POST or None, initial={"roles": before}, is_participants=is_participants
        ),
        subject=username,
        payload=lambda said: {"username": username, "before": before, "roles": sorted(said["roles"])},
        back=reverse("user", args=[username]),
        facts=[Line(_("User"), username)],
    )


def change_activity(request: HttpRequest, username: str) -> HttpResponse:
    user = _user(username)
    return asking(
        request,
        "set_user_active",
        form=AskForm(request.POST or None),
        subject=username,
        payload=lambda _said: {"username": username, "is_active": not user.is_active},
        back=reverse("user", args=[username]),
        facts=[
            Line(_("User"), username),
            Line(_("After"), _("inactive: cannot sign in") if user.is_active else _("active: can sign in")),
        ],
    )


def change_reading(request: HttpRequest, username: str) -> HttpResponse:
    """Requests a user's right to read the database tables at /admin/, or requests the end of this right."""
    user = _user(username)
    after = (
        _("is not allowed to read the database tables at /admin/")
        if user.is_staff
        else _("may read the database tables at /admin/")
    )
    return asking(
        request,
        "set_admin_reader",
        form=AskForm(request.POST or None),
        subject=username,
        payload=lambda _said: {"username": username, "may_read": not user.is_staff},
        back=reverse("user", args=[username]),
        facts=[Line(_("User"), username), Line(_("After"), after)],
    )


def reset_second_factor(request: HttpRequest, username: str) -> HttpResponse:
    user = _another(request, username)
    return asking(
        request,
        "reset_second_factor",
        form=AskForm(request.POST or None),
        subject=username,
        payload=lambda _said: {"username": username},
        back=reverse("user", args=[username]),
        facts=[Line(_("User"), username), Line(_("Email"), user.email)],
    )


def change_email(request: HttpRequest, username: str) -> HttpResponse:
    user = _another(request, username)
    return asking(
        request,
        "change_email",
        form=_NewEmail(request.POST or None),
        subject=username,
        payload=lambda said: {"username": username, "before": user.email, "email": said["email"]},
        back=reverse("user", args=[username]),
        facts=[Line(_("User"), username), Line(_("Email before"), user.email)],
    )


def _another(request: HttpRequest, username: str) -> User:
    """Returns the user.

    Raises PermissionDenied if the account is the visitor's own, because this action would end the visitor's sessions.
    """
    user = _user(username)
    visitor = visitor_of(request).user
    if visitor is not None and visitor.pk == user.pk:
        raise PermissionDenied
    return user
