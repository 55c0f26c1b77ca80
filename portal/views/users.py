"""The portal's users: who they are, and what administrators ask for about them."""

from django import forms as django_forms
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from hub.audit import record
from hub.participants.models import Participant
from portal import forms, users
from portal.changes import Line
from portal.permissions import Role
from portal.views.asking import AskForm, asking
from portal.visitor import visitor_of

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
    user = _user(username)
    has_app = user.authenticator_set.filter(type="totp").exists()  # type: ignore[attr-defined]
    context = {"shown": user, "roles": _roles_of(user), "has_app": has_app}
    return render(request, "portal/user.html", context)


def invite(request: HttpRequest, username: str) -> HttpResponse:
    """Shows, once, where the person sets a password; the administrator hands it over."""
    user = _user(username)
    if not user.is_active or user.authenticator_set.filter(type="totp").exists():  # type: ignore[attr-defined]
        raise Http404  # it has its own way in; another is reset by two people
    link = request.build_absolute_uri(users.invitation_path(user))
    record("user_invited", subject=username, actor=visitor_of(request).name)
    context = {"shown": user, "roles": _roles_of(user), "link": link, "has_app": False}
    return render(request, "portal/user.html", context)


def _roles_of(user: User) -> list[str]:
    return sorted(group.name for group in user.groups.all() if group.name in _ROLES)


class _NewUser(forms.NewUser):
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
        form=forms.Roles(request.POST or None, initial={"roles": before}, is_participants=is_participants),
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
            Line(_("After"), _("may not sign in") if user.is_active else _("may sign in")),
        ],
    )


def reset_second_factor(request: HttpRequest, username: str) -> HttpResponse:
    _user(username)
    return asking(
        request,
        "reset_second_factor",
        form=AskForm(request.POST or None),
        subject=username,
        payload=lambda _said: {"username": username},
        back=reverse("user", args=[username]),
        facts=[Line(_("User"), username)],
    )
