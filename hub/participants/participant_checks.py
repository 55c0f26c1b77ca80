"""The data about participants for decisions about messages, and the checks that all these decisions have in common.
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
    """The id of the certifier that tests this participant before the participant goes live (see `is_test_payment`)."""


def recipient_of(name: str | None, parties: Mapping[str, Party]) -> Party:
    """Returns the active participant with this name. Raises FspiopError 3201 if there is none."""
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
    """Raises FspiopError if the payer is not allowed to send payments, or if the payee is not allowed to receive
    payments. During a participant's certification, these permissions depend on the currencies. Without this check, the
    DFSPs would agree on a payment that the hub refuses later.
    """
    if not (payer.may_send or is_test_payment(payer.tested_by, payee.id, currencies)):
        raise FspiopError(ErrorCode.PAYER_PERMISSION_ERROR, f"Participant {payer.name} may not send")
    if not (payee.may_receive or is_test_payment(payee.tested_by, payer.id, currencies)):
        raise FspiopError(ErrorCode.PAYEE_PERMISSION_ERROR, f"Participant {payee.name} may not receive")


def check_account(party: Party, *currencies: str) -> None:
    """Raises FspiopError 3201 if this participant has no active account in any of the currencies. If no currency is
    given, an active account in any currency is enough."""
    if not (set(currencies) & set(party.currencies) if currencies else party.currencies):
        detail = f"{party.name} has no active account" + (f" in {' or '.join(currencies)}" if currencies else "")
        raise FspiopError(ErrorCode.DESTINATION_FSP_ERROR, detail)


def check_destination(named: str | None, to: str) -> None:
    """Raises FspiopError if FSPIOP-Destination contains a name that is not the recipient's name. The recipient would
    refuse such a message.
    """
    if named not in (None, to):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"fspiop-destination: must be {to}")


def check_named(named: Mapping[str, str | None], to: str) -> None:
    """Raises FspiopError if one of these elements of the message contains a name that is not the recipient's name.
    `named` maps the path of each such element to the name in the element. Without this check, the recipient would
    refuse the message.
    """
    for where, name in named.items():
        if name not in (None, to):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{where}: must be the FSPIOP-Destination")
