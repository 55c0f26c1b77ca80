"""A kind of change that needs two people: rights to request and to approve, description, and action."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from fspiop.errors import FspiopError
from hub.participants.models import Participant
from portal.permissions import Right

Payload = dict[str, Any]


class CanNotBeDone(Exception):
    """Raised if a change is not possible now. The text of the error gives the reason to the approver. A program gets
    `refusal` instead of the text. `refusal` has an error code.
    """

    def __init__(self, reason: str = "", *, refusal: FspiopError | None = None) -> None:
        super().__init__(reason)
        self.refusal = refusal


class Outdated(CanNotBeDone):
    """Raised if a change can never be possible again. The hub then withdraws the request for the change."""

    KEPT = gettext_noop("The data changed after the request was submitted.")  # stored as the reason of the withdrawal

    def __init__(self) -> None:
        super().__init__(_("The data has changed since this request was submitted."))


@dataclass(frozen=True, slots=True)
class Line:
    """One line in the description of a change. If `amount_in` is a currency, `text` is an amount in ten-thousandths.

    A heading begins a group of lines about one thing, and has no text.
    """

    label: str
    text: Any = ""
    amount_in: str = ""
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    title: Promise
    ask: Right
    check: Right
    describe: Callable[[Payload], list[Line]]
    perform: Callable[[Payload, str], None]  # takes payload and actor; runs in the approval's database transaction
    # Runs after `perform`. Takes the payload, the requester and the approver. The requester is None for a command, and
    # for a program without an owner.
    then: Callable[[Payload, User | None, User], None] | None = None
    # The text that the approver reads if the approval itself makes no change.
    done: Promise | None = None
    # Deletes the data that the hub kept until the approval. Runs in the database transaction that rejects or withdraws
    # the request.
    discard: Callable[[Payload], None] | None = None
    # While the request waits, returns the present limits and figures. The approver compares these values with the
    # request.
    circumstances: Callable[[Payload], list[Line]] | None = None
    # Raises Outdated if the change can never be possible again. Takes no lock and changes nothing.
    check_still: Callable[[Payload], None] | None = None
    # False if a trial of the change would take a lock that payments need. During the trial, payments would have to
    # wait.
    is_tried_out: bool = True
    # For a change that is not tried out: raises the error that `perform` would raise now. Takes no lock and changes
    # nothing.
    check_asked: Callable[[Payload], None] | None = None


def told_amount(amount: int, currency: str) -> str:
    """Returns an amount with its currency, in the form that the pages show."""
    from portal.templatetags.portal import money  # imported here, because the template tags import this module

    return f"{money(amount, currency)} {currency}"


def by_name(*kinds: Kind) -> Mapping[str, Kind]:
    return {kind.name: kind for kind in kinds}


def participant_named(name: str) -> Participant:
    found = Participant.objects.filter(name=name, is_hub=False).first()
    if found is None:
        raise CanNotBeDone(_("There is no participant with this name."))
    return found


def must_still_be_open(payload: Payload) -> Participant:
    """Returns the participant that a request names. Raises Outdated if the participant was closed permanently."""
    found = participant_named(payload["participant"])
    must_still_be(found.closed_at, None)
    return found


def must_still_be(now: Any, asked: Any) -> None:
    """Raises Outdated if the value has changed since the request was submitted."""
    if now != asked:
        raise Outdated
