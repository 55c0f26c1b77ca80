"""Converts identifiers and sub-ids to the one spelling under which the hub stores an alias. Pure.

If one alias had two spellings, the hub could register or count one customer twice.
"""

import re
import unicodedata

_SPACES = re.compile(" {2,}")


def composed(text: str) -> str:
    """Returns the text in Unicode form NFC with single spaces, so that all texts that look alike are equal."""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text))


def identifier_key(id_type: str, identifier: str) -> str:
    """Returns an identifier in the spelling that the hub stores. All spellings of one identifier give the same text."""
    text = composed(identifier)
    match id_type:
        case "MSISDN":
            return text.removeprefix("+")
        case "EMAIL":
            return text.lower()
        case "IBAN":
            return text.upper()
    return text


def sub_key(sub_id: str) -> str:
    """Returns a sub-id in the spelling that the hub stores: capital letters, as in PASSPORT.

    The conversion to capitals can decompose letters, so this function normalises the text (NFC) after the conversion.
    """
    return unicodedata.normalize("NFC", composed(sub_id).upper())
