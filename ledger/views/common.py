"""What the views of the money path share: the message as evidence, ids and amounts, and what a stranger is told."""

from fspiop import ids, money
from fspiop.errors import ErrorCode, FspiopError
from hub.api.views import FspiopView
from ledger.fx.messages import FxImplausible, FxOutcome, FxUnknown
from ledger.messages import Implausible, Outcome, PaymentMessage, Unknown
from ledger.views.moments import implausible


class LedgerView(FspiopView):
    def message(self) -> PaymentMessage:
        return PaymentMessage(self.raw_body, self.forwarded_headers(), self.content_version)


def checked_id(value: str, name: str) -> str:
    if not ids.is_correlation_id(value):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: must be a UUID or a ULID")
    return value


def positive(where: str, amount_text: str) -> int:
    """The amount of a transfer; a refusal says `where` it stands in the message."""
    try:
        amount = money.parse_amount(amount_text)
    except money.AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}.amount: {error}") from None
    if amount == 0:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}.amount: must be above 0")
    return amount


def raise_unless_heard(outcome: Outcome | FxOutcome) -> None:
    """What the sender of an answer is told at once; of all else a callback tells."""
    if isinstance(outcome, Unknown | FxUnknown):
        # Also where it exists and the sender is not its payee, or its FXP: a stranger learns nothing.
        raise FspiopError(
            ErrorCode.TRANSFER_ID_NOT_FOUND, "Provided Transfer ID was not found on the server.", http_status=400
        )
    if isinstance(outcome, Implausible | FxImplausible):
        raise implausible(outcome.command.moment_fault)
