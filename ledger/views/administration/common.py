"""Shared code for the views of /api/ledger/v1: reads path parameters and amounts, and refuses faulty bodies.

The administration API accepts amounts as strings or numbers. The API returns amounts as JSON numbers, because the API's
clients expect numbers. Inside the hub, an amount is a whole number of ten-thousandths.
"""

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from django.conf import settings
from msgspec import Meta
from rest_framework.request import Request

from fspiop import money
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import AdministrationView
from hub.participants import services as participants
from hub.participants.models import Participant
from ledger.models import Account

T = TypeVar("T")

TAG = "Administration"
AmountText = str | int | float
Name = Annotated[str, Meta(min_length=2, max_length=30, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*\Z")]
Reason = Annotated[str, Meta(max_length=512)]

if TYPE_CHECKING:
    Currency = str
else:
    Currency = Literal[tuple(sorted(money.CURRENCIES))]


class LedgerAdministrationView(AdministrationView):
    def read(self, kind: type[T]) -> T:
        """Returns the body as a typed message.

        If a value does not belong to an enumeration, reports the value as malformed, like the reference hub's ledger.
        """
        try:
            return super().read(kind)
        except FspiopError as error:
            if "invalid enum value" not in error.description:
                raise
            detail = error.description.removeprefix(f"{error.error.text} - ")
            raise FspiopError(ErrorCode.MALFORMED_SYNTAX, detail) from None


def currency_asked_for(request: Request) -> str | None:
    """Returns the currency in the query of the request, or None if the query has no currency."""
    currency = request.query_params.get("currency")
    if currency and currency not in money.CURRENCIES:
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "currency: is not an ISO 4217 code of this scheme")
    return currency or None


def participant_of(name: str) -> Participant:
    if name == settings.HUB_NAME:
        return participants.hub()
    found = Participant.objects.filter(name=name).first() if "\0" not in name else None
    if found is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "The requested resource could not be found.")
    return found


def dfsp_of(name: str) -> Participant:
    participant = participant_of(name)
    if participant.is_hub:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "the name is that of the hub itself; name a DFSP")
    return participant


def account_of(participant: Participant, account_id: int) -> Account:
    if account_id > _LARGEST_ID:
        raise _no_account()
    found = Account.objects.select_related("participant").filter(participant=participant, pk=account_id).first()
    if found is None:
        raise _no_account()
    return found


_LARGEST_ID = 2**63 - 1


def _no_account() -> FspiopError:
    return FspiopError(ErrorCode.ID_NOT_FOUND, "Account not found")


def amount_of(value: AmountText, name: str) -> int:
    """Converts an amount in a body, such as "12.50" or 12.5, to ten-thousandths."""
    text = repr(value) if isinstance(value, float) else str(value)
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    try:
        return money.parse_amount(text)
    except money.AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: {error}") from None


def as_number(amount: int) -> int | float:
    """Returns an amount as the JSON number that clients of the administration API expect."""
    whole, rest = divmod(amount, 10**money.SCALE)
    return whole if rest == 0 else amount / 10.0**money.SCALE
