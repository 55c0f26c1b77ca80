"""The kind of change for certificates and keys that DFSPs submit through the hub's API.

The approval of a submission does not make the change. The approval only submits a request in the approver's name. So a
second person at the hub must approve the change.
"""

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.audit import approvals
from hub.dfsp_api.submissions import KIND
from portal.changes import credentials, try_out
from portal.changes.change_kind import CanNotBeDone, Kind, Line, Payload, by_name
from portal.permissions import Right

_CHANGES = by_name(*(kind for kind in credentials.KINDS if kind.name in ("sign_certificate", "add_credential")))


def _describe(payload: Payload) -> list[Line]:
    kind = _CHANGES[payload["change"]]
    return [Line(_("Requested change"), kind.title), *kind.describe(payload["payload"])]


def _check_still(payload: Payload) -> None:
    check = _CHANGES[payload["change"]].check_still
    if check is not None:
        check(payload["payload"])


def _check(payload: Payload, _actor: str) -> None:
    """Raises an error if the change is impossible now. Changes nothing."""
    try_out.try_out(_CHANGES[payload["change"]], payload["payload"])


def _ask(payload: Payload, _asker: User | None, checker: User) -> None:
    change, wanted = payload["change"], payload["payload"]
    name = wanted["participant"]
    if approvals.is_waiting(kind=change, subject=name, payload=wanted):
        raise CanNotBeDone(_("This change is already waiting for approval."))
    approvals.ask(
        kind=change, subject=name, payload=wanted, reason=_("Submitted by %(name)s") % {"name": name}, maker=checker
    )


KINDS = [
    # Only people at the hub have this right. These people can also request the change directly.
    Kind(
        KIND,
        gettext_lazy("Accept a DFSP's certificate or key"),
        Right.ASK_PARTICIPANTS,
        Right.ASK_PARTICIPANTS,
        _describe,
        _check,
        _ask,
        gettext_lazy("Accepted. Another person must now approve the change."),
        check_still=_check_still,
    )
]
