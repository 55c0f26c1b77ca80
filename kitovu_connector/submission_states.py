"""The states of a conversion or a bulk that the front end sends itself: state + event -> next state. Pure.

The rules are those of a payment's transfer: the request is stored before it is sent, the same bytes are sent again, and
only the hub's report ends it. When the FXP has answered, the submission of a conversion ends. From then on, the
conversion ends with its transfer.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from fspiop import ilp
from fspiop.errors import ErrorCode
from kitovu_connector.payment_record import backoff
from kitovu_connector.payment_states import proves_abort

_ASK_AT_MOST_EVERY_S = 30.0
_NOT_FOUND = frozenset(
    {ErrorCode.ID_NOT_FOUND.code, ErrorCode.TRANSFER_ID_NOT_FOUND.code, ErrorCode.BULK_TRANSFER_ID_NOT_FOUND.code}
)


class Sent(StrEnum):
    """The state of a submission."""

    PREPARED = "PREPARED"  # stored, and being sent for the first time
    ACCEPTED = "ACCEPTED"  # the hub has it; the outcome is pending
    DOUBT = "DOUBT"  # it is unknown whether the hub has it, or the outcome is overdue
    DONE = "DONE"  # the end: `outcome` has the answer
    FAILED = "FAILED"  # the end: nothing was reserved, or all of it is released


OVER = frozenset({Sent.DONE, Sent.FAILED})


class Submission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One POST of the front end."""

    id: str
    resource: str  # fxTransfers or bulkTransfers
    body: bytes
    digest: bytes
    destination: str
    expires_at: float
    conditions: dict[str, str]  # by the id of the transfer that a fulfilment is for
    created_at: float
    home_id: str | None = None
    state: Sent = Sent.PREPARED
    accepted: bool = False
    tries: int = 0
    outcome: bytes = b""  # the body of the PUT that ended it
    error_code: str | None = None
    error_text: str | None = None
    alias: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the outcome is pending."""
        return self.state not in OVER


@dataclass(frozen=True, slots=True)
class Answered:
    """The hub reports or forwards the outcome. `fulfilments` are by the id of their transfers."""

    body: bytes
    fulfilments: dict[str, str]
    is_end: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """The hub reported or forwarded an error. `written_at` is the time of the error by the hub's clock."""

    code: str
    text: str
    written_at: float


@dataclass(frozen=True, slots=True)
class Next:
    """What follows: the next state, whether to send the request or to ask for its state, and when to look again."""

    submission: Submission
    sends: bool = False
    asks: bool = False
    again_in_s: float | None = None
    refusal: str | None = None


def taken(found: Submission, callback_s: float) -> Next:
    """The hub answered the POST with 2xx."""
    return Next(_with(found, state=Sent.ACCEPTED, accepted=True, tries=0), again_in_s=callback_s)


def refused(found: Submission, code: str, text: str) -> Next:
    """The hub refused the POST. This ends only the first POST that was ever sent."""
    if found.state is Sent.PREPARED and not found.accepted:
        return Next(_failed(found, code, text))
    return Next(found, again_in_s=backoff(found.tries, _ASK_AT_MOST_EVERY_S))


def unclear(found: Submission) -> Next:
    """The POST had no clear response."""
    return Next(_with(found, state=Sent.DOUBT), again_in_s=backoff(found.tries, 4.0))


def waited(found: Submission) -> Next:
    """The time is over, or the connector has restarted: the hub is asked."""
    doubted = _with(found, state=Sent.DOUBT, tries=found.tries + 1)
    return Next(doubted, asks=True, again_in_s=backoff(found.tries, _ASK_AT_MOST_EVERY_S))


def answered(found: Submission, event: Answered) -> Next:
    """The outcome, if each fulfilment fits its condition."""
    for transfer_id, fulfilment in event.fulfilments.items():
        condition = found.conditions.get(transfer_id)
        if condition is None or not ilp.fulfils(fulfilment, condition):
            return Next(found, refusal="a fulfilment does not fit its condition")
    if not event.is_end:
        pause = backoff(found.tries, _ASK_AT_MOST_EVERY_S)
        return Next(_with(found, state=Sent.ACCEPTED, accepted=True), again_in_s=pause)
    return Next(_with(found, state=Sent.DONE, accepted=True, outcome=event.body))


def failed(found: Submission, event: Failed, at_hub: float, margin_s: float) -> Next:
    """An error: an end, an unknown id, or a fault on the way."""
    if event.code in _NOT_FOUND:
        if found.state is not Sent.DOUBT or found.accepted:
            return Next(found)
        if at_hub < found.expires_at:
            return Next(found, sends=True)
        if min(event.written_at, at_hub) >= found.expires_at + margin_s:
            return Next(_failed(found, event.code, event.text))
        return Next(found)
    if proves_abort(event.code):
        return Next(_failed(found, event.code, event.text))
    return Next(found, asks=True, again_in_s=backoff(found.tries, _ASK_AT_MOST_EVERY_S))


def _failed(found: Submission, code: str, text: str) -> Submission:
    return _with(found, state=Sent.FAILED, error_code=code, error_text=text[:128])


def _with(found: Submission, **changes: object) -> Submission:
    return msgspec.structs.replace(found, **changes)
