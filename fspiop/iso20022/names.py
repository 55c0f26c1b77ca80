"""The names of a party in ISO 20022 messages. One text has the first name, the middle name, the last name and the
display name, divided by semicolons. The messages of Mojaloop's connectors have the same form.
"""

import re

import msgspec

from fspiop.bodies.common import Party, PartyComplexName, PartyPersonalInfo
from fspiop.bodies.names import NAME

_MOST_TEXT = 140  # Max140Text
_MOST_NAME = 128
_DIVIDER = ";"
_IS_NAME = re.compile(NAME)


def with_names(party: Party, text: str | None) -> Party:
    """Returns the party with the names that the text contains. The function ignores each part of the text that the API
    does not allow as a name."""
    if not text:
        return party
    parts = [part.strip()[:_MOST_NAME] for part in text.split(_DIVIDER)]
    if len(parts) != 4:
        return msgspec.structs.replace(party, name=text[:_MOST_NAME])
    first, middle, last = (part if part and _IS_NAME.match(part) else None for part in parts[:3])
    person = PartyPersonalInfo(complex_name=PartyComplexName(first, middle, last)) if first or middle or last else None
    return msgspec.structs.replace(party, name=parts[3] or None, personal_info=person)


def text_of(party: Party) -> str | None:
    """Returns the party's names as one text, or None if the party has no names."""
    found = party.personal_info.complex_name if party.personal_info else None
    names = found or PartyComplexName()
    parts = [names.first_name, names.middle_name, names.last_name, party.name]
    if not any(parts):
        return None
    text = _DIVIDER.join((part or "").replace(_DIVIDER, ",") for part in parts)
    if len(text) <= _MOST_TEXT:
        return text
    return _DIVIDER.join(
        ["", "", "", (party.name or " ".join(filter(None, parts)))[:_MOST_NAME].replace(_DIVIDER, ",")]
    )
