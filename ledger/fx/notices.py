"""The callbacks that the hub sends after each outcome of a conversion (FSPIOP API v2.0). Pure.

After an FXP has fulfilled a conversion, the hub reports the conversion's outcome to this FXP by PATCH. The initiator
receives the outcome from the messages about the determining transfer. If the conversion ends without a transfer, the
initiator receives an error callback.
"""

from fspiop import time
from hub.outbox.messages import HubMessages, Outgoing, Recipient, as_answer, forward
from ledger.commands_and_outcomes import Aborted, Committed, NotObeyed, Outcome, Refused, cause_of, error_of, words_of
from ledger.fx.commands_and_outcomes import (
    FxAborted,
    FxAgreed,
    FxExpire,
    FxFulfil,
    FxNotObeyed,
    FxOutcome,
    FxPrepare,
    FxRefused,
    FxReject,
    FxRepeated,
    FxReserved,
)
from ledger.fx.snapshot import ConversionState
from ledger.fx.states import API_STATE, FX_TERMINAL, FxState


def notices(outcome: Outcome | FxOutcome, hub: HubMessages) -> list[Outgoing]:
    match outcome:
        case FxReserved(command, c):
            message, to, subject, payer_id = command.message, _fxp(c), c.commit_request_id, c.initiator_id
            return [
                forward(message, to, "POST", "/fxTransfers", subject=subject, kind="fx-prepare", source_id=payer_id)
            ]
        case FxRefused(_, c):
            return [_error_to_initiator(hub, c)]
        case FxAgreed(command, c):
            # No leg of the conversion is committed yet, even if the state in the FXP's message is COMMITTED.
            if command.says_reserved:
                to, subject = _initiator(c), c.commit_request_id
                return [forward(command.message, to, "PUT", _path(c), subject=subject, kind="fx-answer")]
            return [_state(hub, c, _initiator(c), kind="fx-answer")]
        case FxAborted(FxReject() as command, c):
            if command.destination not in (None, c.initiator):
                return [_error_to_initiator(hub, c)]  # the initiator would refuse the FXP's own message
            to, path, subject = _initiator(c), _path(c) + "/error", c.commit_request_id
            return [forward(command.message, to, "PUT", path, subject=subject, kind="fx-end-to-initiator")]
        case FxAborted(FxFulfil(), c):
            return [_error_to_initiator(hub, c), _patch(hub, c)]
        case FxAborted(FxExpire(), c):
            return [_error_to_initiator(hub, c), _end_to_fxp(hub, c)]
        case FxRepeated(FxPrepare(), c):
            kind = "fx-end-to-initiator" if c.state in FX_TERMINAL else "state"
            return [as_answer(_state(hub, c, _initiator(c), kind=kind))]
        case FxRepeated(_, c):
            return [as_answer(_end_to_fxp(hub, c))] if c.state in FX_TERMINAL else []
        case FxNotObeyed(command, c, refusal):
            sender = command.initiator if isinstance(command, FxPrepare) else c.fxp
            to = Recipient(command.source_id, sender, command.message.version)
            told = [as_answer(_error(hub, c, to, *words_of(refusal), kind="fx-refusal"))]
            if isinstance(command, FxFulfil) and c.state in FX_TERMINAL:
                told.append(as_answer(_patch(hub, c)))
            return told
        case (
            Committed(conversions=conversions)
            | Aborted(conversions=conversions)
            | Refused(conversions=conversions)
            | NotObeyed(conversions=conversions)
        ):
            return [_end_to_fxp(hub, c) for c in conversions]
        case _:
            return []


def _initiator(c: ConversionState) -> Recipient:
    return Recipient(c.initiator_id, c.initiator, c.version)


def _fxp(c: ConversionState) -> Recipient:
    assert c.fxp_id is not None
    return Recipient(c.fxp_id, c.fxp, c.fulfil_version or c.version)


def _path(c: ConversionState) -> str:
    return f"/fxTransfers/{c.commit_request_id}"


def _error_to_initiator(hub: HubMessages, c: ConversionState) -> Outgoing:
    return _error(hub, c, _initiator(c), *error_of(c), kind="fx-end-to-initiator")


def _end_to_fxp(hub: HubMessages, c: ConversionState) -> Outgoing:
    """Returns a PATCH request if the FXP had fulfilled the conversion, and otherwise an error callback."""
    if c.agreed_at is not None or c.fulfil_digest is not None:
        return _patch(hub, c)
    return _error(hub, c, _fxp(c), *error_of(c), kind="fx-end-to-fxp")


def _patch(hub: HubMessages, c: ConversionState) -> Outgoing:
    body = state_body(c)
    body.pop("fulfilment", None)
    return hub.callback(_fxp(c), _path(c), body, subject=c.commit_request_id, kind="fx-end-to-fxp", method="PATCH")


def _state(hub: HubMessages, c: ConversionState, to: Recipient, *, kind: str) -> Outgoing:
    return hub.callback(to, _path(c), state_body(c), subject=c.commit_request_id, kind=kind)


def _error(hub: HubMessages, c: ConversionState, to: Recipient, code: str, text: str, *, kind: str) -> Outgoing:
    return hub.error(to, _path(c) + "/error", code, text, subject=c.commit_request_id, kind=kind)


def state_answer(hub: HubMessages, c: ConversionState, requester: Recipient) -> Outgoing:
    """Returns the answer to GET /fxTransfers/{ID} for a requester that is the conversion's initiator or FXP."""
    return as_answer(_state(hub, c, requester, kind="state"))


def state_body(c: ConversionState) -> dict[str, object]:
    """Returns the body of a PUT /fxTransfers/{ID} that reports this state, and also the cause of an abort."""
    body: dict[str, object] = {"conversionState": API_STATE[c.state]}
    moment = c.completed_at or c.agreed_at
    if moment is not None:
        body["completedTimestamp"] = time.format_datetime(moment)
    if c.state is not FxState.ABORTED and c.fulfilment is not None:
        body["fulfilment"] = c.fulfilment
    if c.state is FxState.ABORTED:
        body["extensionList"] = cause_of(c)
    return body
