"""Who must be told what: each outcome's callbacks. Pure.

What a DFSP wrote is passed on byte for byte with its signature; what the hub itself says is made here and signed
on its way out (`signed_by_hub`). The states, codes and receivers: FSPIOP API v1.1, sections 6.7.2 to 6.7.5.
"""

from collections.abc import Iterable
from datetime import datetime

from fspiop import time
from fspiop.errors import ErrorCode, error_body
from hub.outbox.messages import IfPending, Outgoing, caused_by
from ledger.fx import notices as fx
from ledger.fx.messages import FxOutcome
from ledger.messages import (
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
    Wire,
    words_of,
)
from ledger.snapshot import TransferState
from ledger.states import TERMINAL, State
from ledger.voice import Voice, cause, forward, repeated


def notices_for(outcomes: Iterable[Outcome | FxOutcome], *, hub_name: str, now: datetime) -> list[Outgoing]:
    """The messages that these outcomes cause, in the order in which they came to be."""
    hub = HubVoice(hub_name, time.http_date(now))
    fx_hub = fx.FxVoice(hub_name, time.http_date(now))
    messages: list[Outgoing] = []
    for outcome in outcomes:
        messages.extend(_notices(outcome, hub))
        messages.extend(fx.notices(outcome, fx_hub))
    return messages


def _notices(outcome: Outcome | FxOutcome, hub: "HubVoice") -> list[Outgoing]:
    match outcome:
        case Reserved(command, t):
            assert t.payee_id is not None
            prepare = _forward(command.wire, t, t.payee_id, t.payee, "POST", "/transfers", "prepare")
            return [caused_by(command.source_id, prepare)]
        case Refused(_, t):
            return [hub.error_to_payer(t)]
        case Committed(command, t):
            return _committed(command, t, hub)
        case Aborted(command, t):
            return _aborted(command, t, hub)
        case Repeated(Prepare(source_id=payer_id), t):
            return [repeated(payer_id, hub.state_to_payer(t))]
        case Repeated(Fulfil(source_id=payee_id) | Reject(source_id=payee_id), t):
            return [repeated(payee_id, hub.end_to_payee(t))]
        case NotObeyed(command, t, refusal):
            code, description = words_of(refusal)
            if isinstance(command, Prepare):
                error = hub.error(t, command.source_id, command.payer, command.wire.version, code, description)
                return [caused_by(command.source_id, error, IfPending.RENEW)]
            error = hub.error(t, command.source_id, t.payee, command.wire.version, code, description)
            notices = [caused_by(command.source_id, error, IfPending.RENEW)]
            # FSPIOP API v1.1, section 6.7.3: a payee that answered RESERVED learns the end by PATCH.
            if isinstance(command, Fulfil) and command.wants_patch and t.state in TERMINAL:
                notices.append(repeated(command.source_id, hub.patch(t, command.wire.version)))
            return notices
        case _:
            return []


def _committed(command: Fulfil, t: TransferState, hub: "HubVoice") -> list[Outgoing]:
    if not command.wants_patch:
        return [_forward(command.wire, t, t.payer_id, t.payer, "PUT", f"/transfers/{t.transfer_id}", "end-to-payer")]
    return [hub.state_to_payer(t), hub.patch(t, command.wire.version)]


def _aborted(command: object, t: TransferState, hub: "HubVoice") -> list[Outgoing]:
    if isinstance(command, Reject):
        if command.destination not in (None, t.payer):
            return [hub.error_to_payer(t)]  # the payer would refuse the message of the payee
        path = f"/transfers/{t.transfer_id}/error"
        return [_forward(command.wire, t, t.payer_id, t.payer, "PUT", path, "end-to-payer")]
    return [hub.error_to_payer(t), hub.end_to_payee(t)]


def _forward(wire: Wire, t: TransferState, to_id: int, to: str, method: str, path: str, kind: str) -> Outgoing:
    return forward(wire, t.transfer_id, to_id, to, method, path, kind)


class HubVoice(Voice):
    """What the hub says about transfers in its own name at one moment."""

    def state_to_payer(self, t: TransferState) -> Outgoing:
        """The transfer's state, as the answer to GET /transfers/{ID} says it."""
        path = f"/transfers/{t.transfer_id}"
        kind = "end-to-payer" if t.state in TERMINAL else "state"
        return self.say(t.transfer_id, t.payer_id, t.payer, "PUT", path, t.version, state_body(t), kind)

    def error_to_payer(self, t: TransferState) -> Outgoing:
        return self.error(t, t.payer_id, t.payer, t.version, *_error_of(t), kind="end-to-payer")

    def end_to_payee(self, t: TransferState) -> Outgoing:
        """The end told to the payee: PATCH where it answered RESERVED, else the error, or the committed state."""
        assert t.payee_id is not None
        version = t.fulfil_version or t.version
        if t.wants_patch:
            return self.patch(t, version)
        if t.state is State.ABORTED:
            return self.error(t, t.payee_id, t.payee, version, *_error_of(t), kind="end-to-payee")
        path = f"/transfers/{t.transfer_id}"
        return self.say(t.transfer_id, t.payee_id, t.payee, "PUT", path, version, state_body(t), "end-to-payee")

    def patch(self, t: TransferState, version: str) -> Outgoing:
        """FSPIOP API v1.1, section 6.7.3: the end of a transfer that the payee answered with RESERVED."""
        assert t.payee_id is not None
        body = state_body(t)
        body.pop("fulfilment", None)
        path = f"/transfers/{t.transfer_id}"
        return self.say(t.transfer_id, t.payee_id, t.payee, "PATCH", path, version, body, "end-to-payee")

    def error(
        self,
        t: TransferState,
        to_id: int,
        to: str,
        version: str,
        code: str,
        description: str,
        *,
        kind: str = "refusal",
    ) -> Outgoing:
        body: dict[str, object] = dict(error_body(code, description))
        path = f"/transfers/{t.transfer_id}/error"
        return self.say(t.transfer_id, to_id, to, "PUT", path, version, body, kind)


def _error_of(t: TransferState) -> tuple[str, str]:
    return t.error_code or ErrorCode.SERVER_ERROR.code, t.error_description or ErrorCode.SERVER_ERROR.text


def state_body(t: TransferState) -> dict[str, object]:
    """The body of PUT /transfers/{ID} for this state (FSPIOP API v1.1, table 27); an abort says its cause."""
    body: dict[str, object] = {"transferState": t.state.value}
    if t.completed_at is not None:
        body["completedTimestamp"] = time.format_datetime(t.completed_at)
    if t.state is State.COMMITTED and t.fulfilment is not None:
        body["fulfilment"] = t.fulfilment
    if t.state is State.ABORTED:
        body["extensionList"] = cause(*_error_of(t))
    return body


def state_answer(
    t: TransferState, *, asker_id: int, asker: str, version: str, hub_name: str, now: datetime
) -> Outgoing:
    """The answer to GET /transfers/{ID} by its payer or payee. The payee wrote the fulfilment and may see it."""
    hub = HubVoice(hub_name, time.http_date(now))
    path = f"/transfers/{t.transfer_id}"
    return repeated(asker_id, hub.say(t.transfer_id, asker_id, asker, "PUT", path, version, state_body(t), "state"))


def funds_answer(
    transfer_id: str,
    state: State,
    completed_at: datetime | None,
    *,
    asker_id: int,
    asker: str,
    version: str,
    hub_name: str,
    now: datetime,
) -> Outgoing:
    """The answer to GET /transfers/{ID} of a movement of the asker's own funds."""
    body: dict[str, object] = {"transferState": state.value}
    if completed_at is not None:
        body["completedTimestamp"] = time.format_datetime(completed_at)
    hub = HubVoice(hub_name, time.http_date(now))
    path = f"/transfers/{transfer_id}"
    return repeated(asker_id, hub.say(transfer_id, asker_id, asker, "PUT", path, version, body, "state"))
