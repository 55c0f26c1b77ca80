"""Creates and revokes administration clients: programs that use the administration APIs."""

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.administration import services
from hub.administration.models import READ, WRITE, AdministrationClient
from portal.changes.change_kind import CanNotBeDone, Kind, Line, Payload, must_still_be
from portal.permissions import Right

SCOPE_NAMES = {
    READ: gettext_lazy("read"),
    WRITE: gettext_lazy("change"),
}


def told_scopes(scopes: list[str]) -> str:
    return ", ".join(str(SCOPE_NAMES[scope]) for scope in scopes)


def _describe_new(payload: Payload) -> list[Line]:
    return [
        Line(_("Name"), payload["name"]),
        Line(_("Permissions"), told_scopes(payload["scopes"])),
        Line(_("Validity in days"), payload["days"]),
        Line(_("Secret given to"), payload["holder"]),
    ]


def _add(payload: Payload, actor: str) -> None:
    holder = User.objects.filter(username=payload["holder"], is_active=True).first()
    if holder is None:
        raise CanNotBeDone(_("This user does not exist."))
    services.add(name=payload["name"], scopes=payload["scopes"], days=payload["days"], holder=holder, actor=actor)


def _describe_end(payload: Payload) -> list[Line]:
    return [
        Line(_("Client"), payload["key"]),
        Line(_("After"), _("permanently revoked: the hub rejects the client's tokens within seconds")),
    ]


def _check_not_revoked(payload: Payload) -> None:
    must_still_be(AdministrationClient.objects.filter(key=payload["key"], revoked_at=None).exists(), True)


def _revoke(payload: Payload, actor: str) -> None:
    services.revoke(payload["key"], actor=actor)


_RIGHTS = (Right.ASK_ROLES, Right.CHECK_ROLES)
KINDS = [
    Kind("add_administration_client", gettext_lazy("Create an API client"), *_RIGHTS, _describe_new, _add),
    Kind(
        "revoke_administration_client",
        gettext_lazy("Revoke an API client"),
        *_RIGHTS,
        _describe_end,
        _revoke,
        check_still=_check_not_revoked,
    ),
]
