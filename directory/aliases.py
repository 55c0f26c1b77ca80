"""The aliases of parties, and the registrations that name the DFSP of an alias. This module contains only plain data:
no database, no network."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from fspiop.alias_spellings import composed as composed
from fspiop.alias_spellings import identifier_key, sub_key
from fspiop.bodies.common import PartyIdType
from fspiop.errors import ErrorCode, FspiopError

TYPES = frozenset(get_args(PartyIdType))

_MOST_CHARACTERS = 128
# Invisible characters that Python calls printable: fillers, joiners, variation selectors, the blank Braille pattern,
# the null notehead.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u2d7f\u3164\ufe00-\ufe0f\uffa0"
    "\U0001107f\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)
# FSPIOP API v1.1, section 7.5.6. Identifiers of the other types are free text.
_FORMS = {
    "MSISDN": (re.compile(r"\+?[0-9]{1,15}\Z"), "an MSISDN must be 1 to 15 digits"),
    "EMAIL": (re.compile(r"[^@\s]+@[^@\s]+\Z"), "an e-mail address must have one @ and no spaces"),
    "IBAN": (re.compile(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{1,30}\Z"), "an IBAN must be letters and digits only"),
}


@dataclass(frozen=True, slots=True)
class Alias:
    """The alias of a party: FSPIOP API v1.1, section 7.4.13 (PartyIdInfo). If the path omits a part of the alias, this
    part is empty."""

    type: str
    identifier: str
    sub_id: str = ""
    currency: str = ""

    @property
    def key(self) -> str:
        """The identifier in the spelling of the hub's own oracle. All spellings of one identifier have the same key."""
        return identifier_key(self.type, self.identifier)

    @property
    def sub_key(self) -> str:
        """The sub-id in the spelling of the hub's own oracle."""
        return sub_key(self.sub_id)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Returns the form in which the hub's own oracle stores an alias. All spellings of one alias have the same
        key."""
        return self.type, self.key, self.sub_key, self.currency


@dataclass(frozen=True, slots=True)
class Registration:
    """One registration in an oracle's answer. The registration names the DFSP that serves the party.

    If the currency is empty, the DFSP serves the party in all currencies.
    """

    fsp: str
    currency: str = ""
    sub_id: str = ""


def check_readable(alias: Alias) -> None:
    """Refuses three kinds of alias: an alias that a path cannot contain, an alias that looks like another alias, and an
    alias whose stored form is too long."""
    for name, value, key in (
        ("partyIdentifier", alias.identifier, alias.key),
        ("partySubIdOrType", alias.sub_id, alias.sub_key),
    ):
        if max(len(value), len(key)) > _MOST_CHARACTERS or not _is_seen(value) or not is_segment(value):
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: must be 1 to 128 printable characters, no slash")


def is_segment(text: str) -> bool:
    """Returns whether this text can be a path segment.

    The text must not contain a slash, and must not be "." or "..". A URL client would read a slash, "." or ".." as a
    step in the path.
    """
    return "/" not in text and text not in (".", "..")


def _is_seen(text: str) -> bool:
    """Returns whether every character of the text is visible. A single plain space between two visible characters is
    allowed."""
    return text.isprintable() and _UNSEEN.search(text) is None and text == text.strip(" ")


def check_form(alias: Alias) -> None:
    """Refuses to register an identifier that does not fit its type. A lookup of an identifier that does not fit its
    type finds nothing."""
    check_readable(alias)
    form, sentence = _FORMS.get(alias.type, (None, ""))
    if form is not None and not form.match(alias.identifier):
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"partyIdentifier: {sentence}")


def fitting(registrations: Iterable[Registration], alias: Alias) -> list[Registration]:
    """Returns the registrations for this alias and sub-id.

    Registrations for the alias's currency come before registrations for all currencies. Within each of these two
    groups, the order of the registrations does not change.
    """
    own_sub_key = alias.sub_key
    found = [
        registration
        for registration in registrations
        if sub_key(registration.sub_id) == own_sub_key
        and (not alias.currency or registration.currency in ("", alias.currency))
    ]
    if alias.currency:
        found.sort(key=lambda registration: registration.currency != alias.currency)
    return found
