"""What names a party, and who says that it serves that party. Plain: no database, no network."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from fspiop.bodies.common import PartyIdType
from fspiop.errors import ErrorCode, FspiopError

TYPES = frozenset(get_args(PartyIdType))

_MOST_CHARACTERS = 128
# What no path holds: an alias with a slash in it could be registered, and never be asked for.
_NOT_IN_A_PATH = re.compile(r"[\x00-\x1f\x7f/]")
# FSPIOP API v1.1, section 7.5.6. The other types are free text.
_FORMS = {
    "MSISDN": (re.compile(r"\+?[0-9]{1,15}\Z"), "an MSISDN is 1 to 15 digits"),
    "EMAIL": (re.compile(r"[^@\s]+@[^@\s]+\Z"), "an e-mail address has one @ and no spaces"),
    "IBAN": (re.compile(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{1,30}\Z"), "an IBAN is letters and digits without spaces"),
}


@dataclass(frozen=True, slots=True)
class Alias:
    """What names a party: FSPIOP API v1.1, section 7.4.13 (PartyIdInfo). Empty where a part was not given."""

    type: str
    identifier: str
    sub_id: str = ""
    currency: str = ""

    @property
    def key(self) -> str:
        """The identifier as the hub's own oracle keeps it: what names the same party is spelt in one way."""
        text = unicodedata.normalize("NFC", self.identifier)
        match self.type:
            case "MSISDN":
                return text.removeprefix("+")
            case "EMAIL":
                return text.lower()
            case "IBAN":
                return text.upper()
        return text


@dataclass(frozen=True, slots=True)
class Registration:
    """One line of an oracle's answer: this DFSP serves the party, in this currency or (empty) in all of them."""

    fsp: str
    currency: str = ""
    sub_id: str = ""


def check_readable(alias: Alias) -> None:
    """Refuses an alias that no path can name."""
    for name, value in (("partyIdentifier", alias.identifier), ("partySubIdOrType", alias.sub_id)):
        # "." and ".." would be taken for steps in the address that a message about them goes to.
        if len(value) > _MOST_CHARACTERS or _NOT_IN_A_PATH.search(value) or value in (".", ".."):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: 1 to 128 printable characters, no slash")


def check_form(alias: Alias) -> None:
    """Refuses to register what is no identifier of its type; asking for it just finds nothing."""
    check_readable(alias)
    form, sentence = _FORMS.get(alias.type, (None, ""))
    if form is not None and not form.match(alias.identifier):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"partyIdentifier: {sentence}")


def fitting(registrations: Iterable[Registration], alias: Alias) -> list[Registration]:
    """Those that answer for this alias: its sub-id exactly, its currency before any currency, else as they came."""
    found = [
        registration
        for registration in registrations
        if registration.sub_id == alias.sub_id and (not alias.currency or registration.currency in ("", alias.currency))
    ]
    if alias.currency:
        found.sort(key=lambda registration: registration.currency != alias.currency)
    return found
