"""What a kind of change that needs two people is: who asks, who checks, how it reads, what it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from hub.participants.models import Participant
from portal.permissions import Right

Payload = dict[str, Any]


class CanNotBeDone(Exception):
    """Why an approved change can not be made now; for who approves it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of what a change is about. `amount_in` names the currency where `text` is ten-thousandths of it."""

    label: str
    text: Any
    amount_in: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    title: Promise
    ask: Right
    check: Right
    describe: Callable[[Payload], list[Line]]
    perform: Callable[[Payload, str], None]  # the payload, and who did it, in the transaction of the approval
    # After it: the payload, who asked (None for a command or a program that belongs to nobody), who approved.
    then: Callable[[Payload, User | None, User], None] | None = None


def by_name(*kinds: Kind) -> Mapping[str, Kind]:
    return {kind.name: kind for kind in kinds}


def participant_named(name: str) -> Participant:
    found = Participant.objects.filter(name=name, is_hub=False).first()
    if found is None:
        raise CanNotBeDone(_("There is no participant with this name."))
    return found


def must_still_be(now: Any, asked: Any) -> None:
    """Refuses to change what is not any more as it was when the change was asked for."""
    if now != asked:
        raise CanNotBeDone(
            _("The data has changed since this request was submitted. Reject this request and submit a new one.")
        )
