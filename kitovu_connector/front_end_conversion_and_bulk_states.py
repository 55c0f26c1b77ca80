"""The states of a submission: a conversion or a bulk that the front end itself sends. From a state and an event, the
functions compute the next state. The functions are pure: they do no I/O.

The rules for a submission are the same as the rules for the transfer of a payment. The connector stores a request
before it sends the request. Each repetition has the same bytes. Only the hub's report ends a submission. A conversion
ends together with its transfer, long after the FXP has answered. The front end gets the FXP's answer at once, and the
submission stays open until the hub has reported the end.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from fspiop import ilp
from fspiop.errors import ErrorCode
from kitovu_connector.payment_record import backoff
from kitovu_connector.payment_states import proves_abort

_ASK_AT_MOST_EVERY_S = 30.0
_ASK_ABOUT_THE_END_AT_MOST_EVERY_S = 600.0  # after the FXP's answer: nobody waits for the end of the conversion
NOT_FOUND = frozenset(
    {ErrorCode.ID_NOT_FOUND.code, ErrorCode.TRANSFER_ID_NOT_FOUND.code, ErrorCode.BULK_TRANSFER_ID_NOT_FOUND.code}
)
"""The error codes by which the hub reports that it has no transfer, conversion or bulk with the given id."""


class Sent(StrEnum):
    """The state of a submission."""

    PREPARED = "PREPARED"  # stored, and the connector is sending it for the first time
    ACCEPTED = "ACCEPTED"  # the hub has the request; the outcome is pending
    DOUBT = "DOUBT"  # it is not known whether the hub has the request, or the outcome is overdue
    DONE = "DONE"  # final: `outcome` has the hub's report
    FAILED = "FAILED"  # final: no money was reserved, or all reservations are released


OVER = frozenset({Sent.DONE, Sent.FAILED})


class Submission(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One POST request that the front end sends."""

    id: str
    resource: str  # fxTransfers or bulkTransfers
    body: bytes
    digest: bytes
    destination: str
    expires_at: float
    conditions: dict[str, str]  # the condition of each transfer or conversion, by id
    created_at: float
    home_id: str | None = None
    state: Sent = Sent.PREPARED
    accepted: bool = False
    tries: int = 0
    outcome: bytes = b""  # the body of the PUT with the answer for the front end
    error_code: str | None = None
    error_text: str | None = None
    alias: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the end is pending."""
        return self.state not in OVER

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer for the front end."""
        return self.state in OVER or bool(self.outcome)


@dataclass(frozen=True, slots=True)
class Answered:
    """A report arrived, and the hub has provably sent or forwarded this report. The keys of `fulfilments` are the ids
    of the transfers. `is_answer` is true if the front end gets this report as its answer.
    """

    body: bytes
    fulfilments: dict[str, str]
    is_end: bool
    is_answer: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """An error arrived, and the hub has provably sent or forwarded this error. `written_at` is the time of the hub's
    clock at which the error was written. `is_end` is true if the report names the end itself, and not only a code.
    """

    code: str
    text: str
    written_at: float
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class Next:
    """The result of an event: the next state, the message to send, and the time of the next check.

    The message is either the request itself, or a GET for the request's state.
    """

    submission: Submission
    sends: bool = False
    asks: bool = False
    again_in_s: float | None = None
    refusal: str | None = None


def taken(found: Submission, callback_s: float) -> Next:
    """Processes the hub's 2xx response to the POST."""
    return Next(_with(found, state=Sent.ACCEPTED, accepted=True, tries=0), again_in_s=callback_s)


def refused(found: Submission, code: str, text: str) -> Next:
    """Processes the hub's refusal of the POST. A refusal ends the submission only if it is the hub's response to the
    first POST.
    """
    if found.state is Sent.PREPARED and not found.accepted:
        return Next(_failed(found, code, text))
    return Next(found, again_in_s=_pause(found))


def unclear(found: Submission) -> Next:
    """Handles a POST that got no clear response."""
    return Next(_with(found, state=Sent.DOUBT), again_in_s=backoff(found.tries, 4.0))


def waited(found: Submission) -> Next:
    """Requests the state from the hub, after a pause or after a restart of the connector."""
    doubted = _with(found, state=Sent.DOUBT, tries=found.tries + 1)
    return Next(doubted, asks=True, again_in_s=_pause(found))


def answered(found: Submission, event: Answered) -> Next:
    """Processes a report, but only if each fulfilment fits its condition."""
    for transfer_id, fulfilment in event.fulfilments.items():
        condition = found.conditions.get(transfer_id)
        if condition is None or not ilp.fulfils(fulfilment, condition):
            return Next(found, refusal="a fulfilment does not fit its condition")
    if not event.is_end:
        outcome = event.body if event.is_answer else found.outcome
        pause = _pause(found) if found.tries else None  # first after `callback_s`
        return Next(_with(found, state=Sent.ACCEPTED, accepted=True, outcome=outcome), again_in_s=pause)
    return Next(_with(found, state=Sent.DONE, accepted=True, outcome=event.body))


def failed(found: Submission, event: Failed, at_hub: float, margin_s: float) -> Next:
    """Processes an error: the submission has ended, the hub does not know its id, or the transmission was faulty."""
    if event.is_end:
        return Next(_failed(found, event.code, event.text))
    if event.code in NOT_FOUND:
        if found.state is not Sent.DOUBT or found.accepted:
            return Next(found, again_in_s=_pause(found))
        if at_hub < found.expires_at:
            return Next(found, sends=True)
        if min(event.written_at, at_hub) >= found.expires_at + margin_s:
            return Next(_failed(found, event.code, event.text))
        return Next(found)
    if proves_abort(event.code):
        return Next(_failed(found, event.code, event.text))
    return Next(found, asks=True, again_in_s=_pause(found))


def _pause(found: Submission) -> float:
    return backoff(found.tries, _ASK_ABOUT_THE_END_AT_MOST_EVERY_S if found.outcome else _ASK_AT_MOST_EVERY_S)


def _failed(found: Submission, code: str, text: str) -> Submission:
    return _with(found, state=Sent.FAILED, error_code=code, error_text=text[:128])


def _with(found: Submission, **changes: object) -> Submission:
    return msgspec.structs.replace(found, **changes)
