"""What the views of the money path share: the message as evidence, ids and amounts, and what a stranger is told."""

from fspiop import ids, money
from fspiop.errors import ErrorCode, FspiopError
from hub.api.views import FspiopView
from ledger.messages import Wire


class LedgerView(FspiopView):
    def wire(self) -> Wire:
        return Wire(self.raw_body, self.forwarded_headers(), self.content_version)


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


def unknown_transfer() -> FspiopError:
    return FspiopError(
        ErrorCode.TRANSFER_ID_NOT_FOUND, "Provided Transfer ID was not found on the server.", http_status=400
    )
