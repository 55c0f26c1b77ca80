"""Shared code of the money path's views: messages as evidence, ids, amounts, and the answers to non-parties."""

from fspiop import correlation_ids, money
from fspiop.errors import ErrorCode, FspiopError
from hub.api.views import FspiopView
from ledger.commands_and_outcomes import Implausible, Outcome, PaymentMessage, Unknown
from ledger.fx.commands_and_outcomes import FxImplausible, FxOutcome, FxUnknown
from ledger.views.moments import implausible


class LedgerView(FspiopView):
    def message(self) -> PaymentMessage:
        return PaymentMessage(self.raw_body, self.forwarded_headers(), self.content_version)


def checked_id(value: str, name: str) -> str:
    if not correlation_ids.is_correlation_id(value):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: must be a UUID or a ULID")
    return value


def positive(where: str, amount_text: str) -> int:
    """Returns the amount of a transfer; it must be positive. `where` is its place in the message, for the error."""
    try:
        amount = money.parse_amount(amount_text)
    except money.AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}.amount: {error}") from None
    if amount == 0:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}.amount: must be above 0")
    return amount


def raise_unless_heard(outcome: Outcome | FxOutcome) -> None:
    """Raises the error that the sender of an answer gets at once. All other outcomes are sent as callbacks."""
    if isinstance(outcome, Unknown | FxUnknown):
        # The same answer where it exists and the sender is not its payee or FXP: other participants must not see that
        # it exists.
        raise FspiopError(
            ErrorCode.TRANSFER_ID_NOT_FOUND, "Provided Transfer ID was not found on the server.", http_status=400
        )
    if isinstance(outcome, Implausible | FxImplausible):
        raise implausible(outcome.command.moment_fault)
