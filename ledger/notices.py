"""The callbacks that the hub sends after each outcome of a transfer. Pure.

The hub forwards a DFSP's message byte for byte, together with the DFSP's signature. This module creates the messages
that the hub sends in its own name. The couriers sign these messages, because the messages have the field
`signed_by_hub`. FSPIOP API v1.1, sections 6.7.2 to 6.7.5, defines the states, codes and recipients.
"""

from collections.abc import Iterable
from datetime import datetime

from fspiop import time
from fspiop.errors import ErrorCode
from hub.outbox.messages import HubMessages, Outgoing, ReceivedMessage, Recipient, as_answer, forward
from ledger.commands_and_outcomes import (
    Aborted,
    Committed,
    Fulfil,
    NotObeyed,
    Outcome,
    Prepare,
    Refused,
    Reject,
    Repeated,
    Reserved,
    cause_of,
    error_of,
    words_of,
)
from ledger.fx import notices as fx
from ledger.fx.commands_and_outcomes import FxOutcome
from ledger.snapshot import TransferState
from ledger.states import TERMINAL, State


def notices_for(outcomes: Iterable[Outcome | FxOutcome], *, hub_name: str, now: datetime) -> list[Outgoing]:
    """Returns the messages that these outcomes cause, in the order of the outcomes."""
    hub = HubMessages(hub_name, now)
    messages: list[Outgoing] = []
    for outcome in outcomes:
        messages.extend(_notices(outcome, hub))
        messages.extend(fx.notices(outcome, hub))
    return messages


def _notices(outcome: Outcome | FxOutcome, hub: HubMessages) -> list[Outgoing]:
    match outcome:
        case Reserved(command, t):
            if t.hold is not None:
                return []  # the payee gets a held transfer only after its release
            return [prepare_to_payee(command.message, _payee(t), t.transfer_id, payer_id=t.payer_id)]
        case Refused(_, t):
            return [_error_to_payer(hub, t)]
        case Committed(command, t):
            if command.wants_patch:
                return [_state_to_payer(hub, t), _patch(hub, t, _payee(t))]
            return [forward(command.message, _payer(t), "PUT", _path(t), subject=t.transfer_id, kind="end-to-payer")]
        case Aborted(Reject() as command, t):
            if command.destination not in (None, t.payer):
                # the payee's message names another destination, so the payer would refuse this message
                return [_error_to_payer(hub, t)]
            path = _path(t) + "/error"
            return [forward(command.message, _payer(t), "PUT", path, subject=t.transfer_id, kind="end-to-payer")]
        case Aborted(_, t):
            if t.is_held:
                return [_error_to_payer(hub, t)]  # the payee has not received the transfer
            return [_error_to_payer(hub, t), _end_to_payee(hub, t)]
        case Repeated(Prepare(), t):
            return [as_answer(_state_to_payer(hub, t))]
        case Repeated(_, t):
            return [as_answer(_end_to_payee(hub, t))]
        case NotObeyed(command, t, refusal):
            sender = command.payer if isinstance(command, Prepare) else t.payee
            to = Recipient(command.source_id, sender, command.message.version)
            notices = [as_answer(_error(hub, t, to, *words_of(refusal), kind="transfer-refusal"))]
            # FSPIOP API v1.1, section 6.7.3: a payee that answered RESERVED receives a PATCH request with the
            # transfer's final state.
            if isinstance(command, Fulfil) and command.wants_patch and t.state in TERMINAL:
                notices.append(as_answer(_patch(hub, t, to)))
            return notices
        case _:
            return []


def prepare_to_payee(message: ReceivedMessage, to: Recipient, transfer_id: str, *, payer_id: int) -> Outgoing:
    """Returns the message that forwards the payer's request to the payee. If the transfer was held, reads the payer's
    request from the transfer's history."""
    return forward(message, to, "POST", "/transfers", subject=transfer_id, kind="prepare", source_id=payer_id)


def _payer(t: TransferState) -> Recipient:
    return Recipient(t.payer_id, t.payer, t.version)


def _payee(t: TransferState) -> Recipient:
    assert t.payee_id is not None
    return Recipient(t.payee_id, t.payee, t.fulfil_version or t.version)


def _path(t: TransferState) -> str:
    return f"/transfers/{t.transfer_id}"


def _state_to_payer(hub: HubMessages, t: TransferState) -> Outgoing:
    """Reports the transfer's state in the same form as the answer to GET /transfers/{ID}."""
    kind = "end-to-payer" if t.state in TERMINAL else "state"
    return hub.callback(_payer(t), _path(t), state_body(t), subject=t.transfer_id, kind=kind)


def _error_to_payer(hub: HubMessages, t: TransferState) -> Outgoing:
    return _error(hub, t, _payer(t), *error_of(t), kind="end-to-payer")


def _end_to_payee(hub: HubMessages, t: TransferState) -> Outgoing:
    """Returns the message that informs the payee about the end of a transfer.

    A payee that answered RESERVED receives a PATCH request. A payee that sent another answer receives a PUT request
    with the state, or PUT .../error.
    """
    if t.wants_patch:
        return _patch(hub, t, _payee(t))
    if t.state is State.ABORTED:
        return _error(hub, t, _payee(t), *error_of(t), kind="end-to-payee")
    return hub.callback(_payee(t), _path(t), state_body(t), subject=t.transfer_id, kind="end-to-payee")


def _patch(hub: HubMessages, t: TransferState, payee: Recipient) -> Outgoing:
    """Returns the PATCH that reports a transfer's end to a payee that answered RESERVED (FSPIOP API v1.1, 6.7.3)."""
    body = state_body(t)
    body.pop("fulfilment", None)
    return hub.callback(payee, _path(t), body, subject=t.transfer_id, kind="end-to-payee", method="PATCH")


def _error(hub: HubMessages, t: TransferState, to: Recipient, code: str, text: str, *, kind: str) -> Outgoing:
    return hub.error(to, _path(t) + "/error", code, text, subject=t.transfer_id, kind=kind)


def state_body(t: TransferState) -> dict[str, object]:
    """Returns the body of PUT /transfers/{ID} that reports this state and, after an abort, the cause (FSPIOP v1.1,
    table 27)."""
    body: dict[str, object] = {"transferState": t.state.value}
    if t.completed_at is not None:
        body["completedTimestamp"] = time.format_datetime(t.completed_at)
    if t.state is State.COMMITTED and t.fulfilment is not None:
        body["fulfilment"] = t.fulfilment
    if t.state is State.ABORTED:
        body["extensionList"] = cause_of(t)
    return body


def state_answer(hub: HubMessages, t: TransferState, requester: Recipient) -> Outgoing:
    """Returns the hub's answer to a payer or payee that sent GET /transfers/{ID}.

    The answer to the payee also contains the fulfilment, because the payee already knows the fulfilment.
    """
    return as_answer(hub.callback(requester, _path(t), state_body(t), subject=t.transfer_id, kind="state"))


def funds_answer(
    hub: HubMessages, transfer_id: str, state: State, completed_at: datetime | None, requester: Recipient
) -> Outgoing:
    """Answers GET /transfers/{ID} for an ID that belongs to a movement of the requester's own funds."""
    body: dict[str, object] = {"transferState": state.value}
    if completed_at is not None:
        body["completedTimestamp"] = time.format_datetime(completed_at)
    return as_answer(hub.callback(requester, f"/transfers/{transfer_id}", body, subject=transfer_id, kind="state"))


def unknown_answer(hub: HubMessages, resource: str, subject: str, requester: Recipient, *, is_known: bool) -> Outgoing:
    """Answers GET /{resource}/{ID} for a requester that has no part in any object with this id."""
    error = ErrorCode.CLIENT_ERROR if is_known else ErrorCode.TRANSFER_ID_NOT_FOUND
    text = error.text if is_known else f"{error.text} - Provided Transfer ID was not found on the server."
    path = f"/{resource}/{subject}/error"
    return as_answer(hub.error(requester, path, error.code, text, subject=subject, kind="state"))
