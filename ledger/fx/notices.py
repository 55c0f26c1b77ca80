"""Who must be told what about conversions: each outcome's callbacks (FSPIOP API v2.0). Pure.

The FXP that fulfilled learns the end by PATCH. The initiator learns it from the determining transfer, and by an error
callback where the conversion ended without one.
"""

from datetime import datetime

from fspiop import time
from fspiop.errors import ErrorCode, error_body
from hub.outbox.messages import Outgoing, from_hub, passed_on
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
from ledger.messages import Aborted, Committed, Outcome, Refused, Wire, words_of


def notices(outcome: Outcome | FxOutcome, hub: "FxVoice") -> list[Outgoing]:
    match outcome:
        case FxReserved(command, c):
            assert c.fxp_id is not None
            return [_forward(command.wire, c, c.fxp_id, c.fxp, "POST", "/fxTransfers", "fx-prepare")]
        case FxRefused(_, c):
            return [hub.error_to_initiator(c)]
        case FxAgreed(command, c):
            # Nothing is committed yet, whatever the FXP calls it.
            if command.says_reserved:
                return [_to_initiator(command.wire, c, "fx-answer")]
            return [hub.state(c, c.initiator_id, c.initiator, c.version, "fx-answer")]
        case FxAborted(FxReject(wire=wire), c):
            return [_to_initiator(wire, c, "fx-end-to-initiator", "/error")]
        case FxAborted(FxFulfil(), c):
            return [hub.error_to_initiator(c), hub.patch(c)]
        case FxAborted(FxExpire(), c):
            return [hub.error_to_initiator(c), hub.end_to_fxp(c)]
        case FxRepeated(FxPrepare(), c):
            return [hub.state_to_initiator(c)]
        case FxRepeated(_, c):
            return [hub.end_to_fxp(c)] if c.state in FX_TERMINAL else []
        case FxNotObeyed(command, c, refusal):
            code, description = words_of(refusal)
            version = command.wire.version
            to = command.initiator if isinstance(command, FxPrepare) else c.fxp
            told = [hub.error(c, command.source_id, to, version, code, description)]
            if isinstance(command, FxFulfil) and c.state in FX_TERMINAL:
                told.append(hub.patch(c))
            return told
        case Committed(conversions=conversions) | Aborted(conversions=conversions) | Refused(conversions=conversions):
            return [hub.end_to_fxp(c) for c in conversions]
        case _:
            return []


def _to_initiator(wire: Wire, c: ConversionState, kind: str, ending: str = "") -> Outgoing:
    path = f"/fxTransfers/{c.commit_request_id}{ending}"
    return _forward(wire, c, c.initiator_id, c.initiator, "PUT", path, kind)


def _forward(
    wire: Wire, c: ConversionState, destination_id: int, destination: str, method: str, path: str, kind: str
) -> Outgoing:
    return passed_on(
        headers=wire.headers,
        body=wire.body,
        to_id=destination_id,
        to=destination,
        method=method,
        path=path,
        subject=c.commit_request_id,
        kind=kind,
    )


class FxVoice:
    """What the hub says about conversions in its own name at one moment."""

    def __init__(self, name: str, date: str) -> None:
        self.name = name
        self.date = date

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
        return from_hub(
            hub_name=self.name,
            date=self.date,
            to_id=to_id,
            to=to,
            method=method,
            path=f"/fxTransfers/{c.commit_request_id}{ending}",
            version=version,
            body=body,
            subject=c.commit_request_id,
            kind=kind,
        )


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
        code, description = _error_of(c)
        body["extensionList"] = {"extension": [{"key": "cause", "value": f"{code}: {description}"[:128]}]}
    return body


def unknown_answer(
    commit_request_id: str, *, asker_id: int, asker: str, version: str, hub_name: str, now: datetime, is_known: bool
) -> Outgoing:
    """The answer to GET /fxTransfers/{ID} of a conversion that is not there, or is between others."""
    error = ErrorCode.CLIENT_ERROR if is_known else ErrorCode.TRANSFER_ID_NOT_FOUND
    description = error.text if is_known else f"{error.text} - Provided Transfer ID was not found on the server."
    return from_hub(
        hub_name=hub_name,
        date=time.http_date(now),
        to_id=asker_id,
        to=asker,
        method="PUT",
        path=f"/fxTransfers/{commit_request_id}/error",
        version=version,
        body=error_body(error.code, description),
        subject=commit_request_id,
        kind="state",
    )
