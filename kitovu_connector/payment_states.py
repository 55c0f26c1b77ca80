"""The states of an outgoing payment. From a state and an event, the functions compute the next state and the actions.

The functions do no I/O. The caller passes the time.

    LOOKUP -> QUOTE -> [AGREED ->] PREPARED -> ACCEPTED -> COMMITTED | ABORTED
                                      |  ^        |
                                      v  |        v
                                      DOUBT <-----+    (GET /transfers/{id}, or send the identical bytes again)

`payment_agreement` has the states before PREPARED. Only some payments have the states in which the core accepts the
payee, a conversion, or a one-time password. Before PREPARED no money can have moved, so the payment can end without
risk. In PREPARED and all later states, only the hub's report ends the payment (API Definition 6.7.2). A payer DFSP
never decides by itself that a transfer did not happen. A payee DFSP's report about the end of a transfer can arrive
without a proof that the hub has forwarded the report. After such an unproven report, the connector only requests the
transfer's state from the hub.
"""

from fspiop import ilp
from fspiop.errors import ErrorCode
from kitovu_connector import payment_agreement as agreement
from kitovu_connector.payment_events_and_actions import (
    Ask,
    Cancelled,
    EndClaimed,
    ErrorReported,
    Event,
    Refused,
    Reported,
    Resumed,
    Taken,
    TurnedAway,
    Unclear,
    Wait,
    Waited,
)
from kitovu_connector.payment_record import (
    CANCELLABLE,
    ENDS,
    PAUSES,
    SENT,
    Payment,
    Policy,
    State,
    Step,
    abort,
    abort_for,
    backoff,
    change,
    soon,
)

__all__ = ["CANCELLABLE", "ENDS", "PAUSES", "SENT", "Payment", "Policy", "State", "Step", "proves_abort", "step"]

_ASK_ABOUT_CLAIMS_EVERY_S = 1.0  # the shortest pause between two requests, even if reports arrive more often


def proves_abort(code: str) -> bool:
    """Returns whether an error about a transfer means that the transfer has ended.

    The codes 1xxx and 2xxx report a fault in the transmission. The codes 30xx and 3101 to 3107 report a faulty message
    (after 3106, the original transfer continues). The code 3208 reports that the hub does not know the id. None of
    these error codes decides whether the transfer commits.
    """
    if code == ErrorCode.TRANSFER_ID_NOT_FOUND.code:
        return False
    return code == ErrorCode.VALIDATION_ERROR.code or code[:2] in ("32", "33") or code[:1] in ("4", "5")


def step(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    """Returns the next state of `payment` after `event`, and the actions that follow."""
    if isinstance(event, Cancelled) and payment.state in CANCELLABLE:
        return abort_for(payment, ErrorCode.PAYER_REJECTION, "cancelled before it was sent")
    match payment.state:
        case State.LOOKUP:
            return agreement.in_lookup(payment, event, now, policy)
        case State.PAYEE_FOUND:
            return agreement.when_payee_found(payment, event, now, policy)
        case State.PROVIDERS | State.FX_QUOTE:
            return agreement.in_conversion(payment, event, now, policy)
        case State.CONVERSION_OFFERED:
            return agreement.when_conversion_offered(payment, event, now, policy)
        case State.QUOTE:
            return agreement.in_quote(payment, event, now, policy)
        case State.AGREED:
            return agreement.when_agreed(payment, event, now, policy)
        case State.AUTHORIZATION:
            return agreement.in_authorization(payment, event, now, policy)
        case State.AUTHORIZED:
            return agreement.when_authorized(payment, event, now, policy)
        case State.FX_TRANSFER:
            return agreement.in_fx_transfer(payment, event, now, policy)
        case State.PREPARED | State.ACCEPTED | State.DOUBT:
            return _when_sent(payment, event, now, policy)
        case State.COMMITTED | State.ABORTED:
            return _after_the_end(payment, event)


# ---- after the transfer is sent ---------------------------------------------------------------------------------


def _when_sent(payment: Payment, event: Event, now: float, policy: Policy) -> Step:
    match event:
        case Taken():
            return Step(
                change(payment, state=State.ACCEPTED, accepted=True, tries=0), [Wait(_until_overdue(payment, policy))]
            )
        case Refused(Ask.SEND, code, text) if payment.state is State.PREPARED and not payment.accepted:
            # The connector has sent the transfer's id only in this one request, and the hub refused the request.
            return abort(payment, code, text)
        case Unclear(Ask.SEND) | TurnedAway(Ask.SEND) if payment.state is State.PREPARED:
            return Step(change(payment, state=State.DOUBT, tries=0), [Wait(soon(payment))])
        case EndClaimed(cause=cause):
            return _ask_at_once(_noting(payment, cause), now)
        case Resumed() | Waited():
            doubted = change(payment, state=State.DOUBT, tries=payment.tries + 1, asked_at=now)
            return Step(doubted, [Ask.TRANSFER, Wait(backoff(payment.tries, policy.ask_at_most_every_s))])
        case Reported():
            return _on_report(payment, event, policy)
        case ErrorReported(code, text, written_at):
            return _on_error(payment, code, text, written_at, now, policy)
        case _:
            # A response to a repeated POST /transfers does not decide the first POST /transfers. A late response to an
            # earlier request, such as a repeated POST /quotes, is not about the transfer. The timer continues.
            return Step(payment)


def _on_report(payment: Payment, reported: Reported, policy: Policy) -> Step:
    if reported.state == "COMMITTED":
        if reported.fulfilment is None or not ilp.fulfils(reported.fulfilment, payment.condition):
            # Only the payee DFSP can know the fulfilment, so a report without the fulfilment is not proven.
            return Step(payment, [Ask.TRANSFER], refusal="the fulfilment does not fit the condition")
        return Step(
            change(
                payment,
                state=State.COMMITTED,
                accepted=True,
                fulfilment=reported.fulfilment,
                completed_at=reported.completed_at,
                tries=0,
            )
        )
    if reported.state == "ABORTED":
        noted = (payment.reported_code, payment.reported_text or "") if payment.reported_code else None
        code, text = reported.cause or noted or (ErrorCode.PAYEE_ERROR.code, "the hub reports ABORTED")
        return abort(payment, code, text)
    # RECEIVED or RESERVED: the hub has the transfer and is still processing it.
    return Step(
        change(payment, state=State.ACCEPTED, accepted=True),
        [Wait(backoff(payment.tries, policy.ask_at_most_every_s))],
    )


def _on_error(payment: Payment, code: str, text: str, written_at: float, now: float, policy: Policy) -> Step:
    if proves_abort(code):
        return abort(payment, code, text)
    if code != ErrorCode.TRANSFER_ID_NOT_FOUND.code:
        if code == payment.reported_code:
            # the connector has already requested the state from the hub; the timer repeats the request
            return Step(payment)
        # A payee DFSP may reject with any code, such as 2001, and the hub aborts the transfer. So the connector
        # immediately requests the state from the hub.
        return _ask_at_once(_noting(payment, (code, text)), now)
    if payment.state is State.DOUBT and not payment.accepted:
        at_hub = now + policy.hub_ahead_s
        if at_hub < payment.expires_at:
            # Either the hub never received the transfer, or it will receive the transfer later. In both cases, it is
            # right to send the same bytes again.
            return Step(payment, [Ask.SEND])
        if min(written_at, at_hub) >= payment.expires_at + policy.clock_margin_s:
            # The hub wrote "not found" after the transfer's expiration, so the hub can never accept the transfer. An
            # earlier "not found" proves nothing: its callback may be late, and the transfer may have arrived at the hub
            # since then.
            return abort(payment, code, text)
    return Step(payment)  # the error does not decide the transfer's end; the timer repeats the request


def _noting(payment: Payment, cause: tuple[str, str] | None) -> Payment:
    """Stores a reported error. If the hub later reports ABORTED without a reason, the payment keeps this error as the
    reason."""
    return payment if cause is None else change(payment, reported_code=cause[0], reported_text=cause[1][:128])


def _ask_at_once(payment: Payment, now: float) -> Step:
    """Sends GET /transfers to the hub, but at most once per second, even if reports arrive more often."""
    again_in = payment.asked_at + _ASK_ABOUT_CLAIMS_EVERY_S - now
    if again_in > 0:
        return Step(payment, [Wait(again_in)])
    return Step(change(payment, asked_at=now), [Ask.TRANSFER, Wait(_ASK_ABOUT_CLAIMS_EVERY_S)])


# ---- the end ----------------------------------------------------------------------------------------------------


def _after_the_end(payment: Payment, event: Event) -> Step:
    """Refuses a report that contradicts the payment's final state, because a final state never changes. People must
    examine a report that contradicts the final state.
    """
    match event:
        case EndClaimed(fulfilment) if payment.state is State.ABORTED and payment.condition and fulfilment is not None:
            if ilp.fulfils(fulfilment, payment.condition):
                return Step(payment, refusal="contradiction: fulfilled by the payee after it ended ABORTED")
            return Step(payment, refusal="the fulfilment does not fit the condition")
        case Reported("COMMITTED", fulfilment) if payment.state is State.ABORTED and payment.condition:
            if fulfilment is not None and ilp.fulfils(fulfilment, payment.condition):
                return Step(payment, refusal="contradiction: reported COMMITTED after it ended ABORTED")
            return Step(payment, refusal="the fulfilment does not fit the condition")
        case Reported("ABORTED") if payment.state is State.COMMITTED:
            return Step(payment, refusal="contradiction: reported ABORTED after it ended COMMITTED")
        case ErrorReported(code) if payment.state is State.COMMITTED and proves_abort(code):
            return Step(payment, refusal="contradiction: reported an error after it ended COMMITTED")
        case _:
            return Step(payment)


def _until_overdue(payment: Payment, policy: Policy) -> float:
    """Returns the time after which the outcome is overdue.

    The hub itself reports an expiration, so a request before the end of `callback_s` would only add load.
    """
    return policy.callback_s
