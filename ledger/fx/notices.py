"""Who must be told what about conversions: each outcome's callbacks (FSPIOP API v2.0). Pure.

The FXP that fulfilled learns the end by PATCH. The initiator learns it from the determining transfer, and by an error
callback where the conversion ended without one.
"""

from fspiop import time
from fspiop.errors import ErrorCode, error_body
from hub.outbox.messages import IfPending, Outgoing, caused_by
from ledger.fx.messages import (
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
from ledger.messages import Aborted, Committed, NotObeyed, Outcome, Refused, Wire, words_of
from ledger.voice import Voice, cause, forward, repeated


def notices(outcome: Outcome | FxOutcome, hub: "FxVoice") -> list[Outgoing]:
    match outcome:
        case FxReserved(command, c):
            assert c.fxp_id is not None
            prepare = forward(command.wire, c.commit_request_id, c.fxp_id, c.fxp, "POST", "/fxTransfers", "fx-prepare")
            return [caused_by(command.source_id, prepare)]
        case FxRefused(_, c):
            return [hub.error_to_initiator(c)]
        case FxAgreed(command, c):
            # Nothing is committed yet, whatever the FXP calls it.
            if command.says_reserved:
                return [_to_initiator(command.wire, c, "fx-answer")]
            return [hub.state(c, c.initiator_id, c.initiator, c.version, "fx-answer")]
        case FxAborted(FxReject(wire=wire, destination=destination), c):
            if destination not in (None, c.initiator):
                return [hub.error_to_initiator(c)]  # the initiator would refuse the message of the FXP
            return [_to_initiator(wire, c, "fx-end-to-initiator", "/error")]
        case FxAborted(FxFulfil(), c):
            return [hub.error_to_initiator(c), hub.patch(c)]
        case FxAborted(FxExpire(), c):
            return [hub.error_to_initiator(c), hub.end_to_fxp(c)]
        case FxRepeated(FxPrepare(source_id=initiator_id), c):
            return [repeated(initiator_id, hub.state_to_initiator(c))]
        case FxRepeated(FxFulfil(source_id=fxp_id) | FxReject(source_id=fxp_id), c):
            return [repeated(fxp_id, hub.end_to_fxp(c))] if c.state in FX_TERMINAL else []
        case FxNotObeyed(command, c, refusal):
            code, description = words_of(refusal)
            version = command.wire.version
            to = command.initiator if isinstance(command, FxPrepare) else c.fxp
            error = hub.error(c, command.source_id, to, version, code, description)
            told = [caused_by(command.source_id, error, IfPending.RENEW)]
            if isinstance(command, FxFulfil) and c.state in FX_TERMINAL:
                told.append(repeated(command.source_id, hub.patch(c)))
            return told
        case (
            Committed(conversions=conversions)
            | Aborted(conversions=conversions)
            | Refused(conversions=conversions)
            | NotObeyed(conversions=conversions)
        ):
            return [hub.end_to_fxp(c) for c in conversions]
        case _:
            return []


def _to_initiator(wire: Wire, c: ConversionState, kind: str, ending: str = "") -> Outgoing:
    path = f"/fxTransfers/{c.commit_request_id}{ending}"
    return forward(wire, c.commit_request_id, c.initiator_id, c.initiator, "PUT", path, kind)


class FxVoice(Voice):
    """What the hub says about conversions in its own name at one moment."""

    def state_to_initiator(self, c: ConversionState) -> Outgoing:
        kind = "fx-end-to-initiator" if c.state in FX_TERMINAL else "state"
        return self.state(c, c.initiator_id, c.initiator, c.version, kind)

    def error_to_initiator(self, c: ConversionState) -> Outgoing:
        return self.error(c, c.initiator_id, c.initiator, c.version, *_error_of(c), kind="fx-end-to-initiator")

    def end_to_fxp(self, c: ConversionState) -> Outgoing:
        """PATCH where the FXP had fulfilled, else the error."""
        if c.agreed_at is not None or c.fulfil_digest is not None:
            return self.patch(c)
        assert c.fxp_id is not None
        return self.error(c, c.fxp_id, c.fxp, c.version, *_error_of(c), kind="fx-end-to-fxp")

    def patch(self, c: ConversionState) -> Outgoing:
        assert c.fxp_id is not None
        body = state_body(c)
        body.pop("fulfilment", None)
        return self._say(c, c.fxp_id, c.fxp, "PATCH", "", c.fulfil_version or c.version, body, "fx-end-to-fxp")

    def state(self, c: ConversionState, to_id: int, to: str, version: str, kind: str = "state") -> Outgoing:
        return self._say(c, to_id, to, "PUT", "", version, state_body(c), kind)

    def error(
        self, c: ConversionState, to_id: int, to: str, version: str, code: str, text: str, *, kind: str = "refusal"
    ) -> Outgoing:
        return self._say(c, to_id, to, "PUT", "/error", version, dict(error_body(code, text)), kind)

    def _say(
        self,
        c: ConversionState,
        to_id: int,
        to: str,
        method: str,
        ending: str,
        version: str,
        body: dict[str, object],
        kind: str,
    ) -> Outgoing:
        path = f"/fxTransfers/{c.commit_request_id}{ending}"
        return self.say(c.commit_request_id, to_id, to, method, path, version, body, kind)


def _error_of(c: ConversionState) -> tuple[str, str]:
    return c.error_code or ErrorCode.SERVER_ERROR.code, c.error_description or ErrorCode.SERVER_ERROR.text


def state_body(c: ConversionState) -> dict[str, object]:
    """The body of PUT /fxTransfers/{ID} for this state; an abort says its cause."""
    body: dict[str, object] = {"conversionState": API_STATE[c.state]}
    moment = c.completed_at or c.agreed_at
    if moment is not None:
        body["completedTimestamp"] = time.format_datetime(moment)
    if c.state is not FxState.ABORTED and c.fulfilment is not None:
        body["fulfilment"] = c.fulfilment
    if c.state is FxState.ABORTED:
        body["extensionList"] = cause(*_error_of(c))
    return body
