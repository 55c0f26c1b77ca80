"""The data about participants that decisions about messages need, and the rules that all these decisions share.
Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fspiop.errors import ErrorCode, FspiopError
from hub.test_currency import is_test_payment


@dataclass(frozen=True, slots=True)
class Party:
    """An active participant, with the data for decisions about messages."""

    id: int
    name: str
    may_send: bool
    may_receive: bool
    currencies: Collection[str]
    """The currencies of the participant's active accounts."""
    tested_by: int | None = None
    """The id of the certifier, while it certifies the participant before its go-live (`is_test_payment`)."""


def recipient_of(name: str | None, parties: Mapping[str, Party]) -> Party:
    """Returns the active participant with this name. Raises FspiopError 3201 if the participant does not exist."""
    found = parties.get(name) if name else None
    if found is None:
        raise FspiopError(ErrorCode.DESTINATION_FSP_ERROR, f"Unsupported participant {name!r}")
    return found


def sender_of(name: str, parties: Mapping[str, Party]) -> Party:
    """Returns the sender of a message. Raises FspiopError if the sender is not active any more."""
    found = parties.get(name)
    if found is None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, f"participant {name} is not active")
    return found


def check_payment(*, payer: Party, payee: Party, currencies: Collection[str]) -> None:
    """Raises FspiopError if the payer may not send or the payee may not receive a payment in these currencies.

    Without this check, the hub would refuse the payment between the two participants later.
    """
    if not (payer.may_send or is_test_payment(payer.tested_by, payee.id, currencies)):
        raise FspiopError(ErrorCode.PAYER_PERMISSION_ERROR, f"Participant {payer.name} may not send")
    if not (payee.may_receive or is_test_payment(payee.tested_by, payer.id, currencies)):
        raise FspiopError(ErrorCode.PAYEE_PERMISSION_ERROR, f"Participant {payee.name} may not receive")


def check_account(party: Party, *currencies: str) -> None:
    """Raises FspiopError 3201 if this participant has no active account in any of the currencies. Without a currency,
    an active account in any currency is sufficient."""
    if not (set(currencies) & set(party.currencies) if currencies else party.currencies):
        detail = f"{party.name} has no active account" + (f" in {' or '.join(currencies)}" if currencies else "")
        raise FspiopError(ErrorCode.DESTINATION_FSP_ERROR, detail)


def check_destination(named: str | None, to: str) -> None:
    """Raises FspiopError if FSPIOP-Destination is not exactly the recipient's name.

    The recipient would refuse a message whose FSPIOP-Destination has another name.
    """
    if named not in (None, to):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"fspiop-destination: must be {to}")


def check_named(named: Mapping[str, str | None], to: str) -> None:
    """Raises FspiopError if an element of the message names another recipient.

    `named` has these elements by their paths.

    Without this check, the recipient would refuse the message, and the participant in the element would not receive it.
    """
    for where, name in named.items():
        if name not in (None, to):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}: must be the FSPIOP-Destination")
