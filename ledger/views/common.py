"""Shared code for the views of transfers, bulks and conversions: checks ids and amounts, and raises some errors."""

from fspiop import correlation_ids, money
from fspiop.errors import ErrorCode, FspiopError
from hub.api.views import FspiopView
from ledger.commands_and_outcomes import Implausible, Outcome, PaymentMessage, Unknown
from ledger.fx.commands_and_outcomes import FxImplausible, FxOutcome, FxUnknown
from ledger.views.completed_timestamp import implausible


class LedgerView(FspiopView):
    def message(self) -> PaymentMessage:
        return PaymentMessage(self.raw_body, self.forwarded_headers(), self.content_version)


def checked_id(value: str, name: str) -> str:
    if not correlation_ids.is_correlation_id(value):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: must be a UUID or a ULID")
    return value


def positive(where: str, amount_text: str) -> int:
    """Returns an amount above 0. Raises an error for 0. The error names the faulty place in the message: `where`."""
    try:
        amount = money.parse_amount(amount_text)
    except money.AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}.amount: {error}") from None
    if amount == 0:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}.amount: must be above 0")
    return amount


def raise_unless_heard(outcome: Outcome | FxOutcome) -> None:
    """Raises an error for outcomes that the HTTP response must report. The hub reports all other outcomes by
    callbacks."""
    if isinstance(outcome, Unknown | FxUnknown):
        # A sender that is neither the payee nor the FXP gets the same response as for an unknown id. Other participants
        # must not find out that the object exists.
        raise FspiopError(
            ErrorCode.TRANSFER_ID_NOT_FOUND, "Provided Transfer ID was not found on the server.", http_status=400
        )
    if isinstance(outcome, Implausible | FxImplausible):
        raise implausible(outcome.command.moment_fault)
