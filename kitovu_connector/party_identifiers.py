"""Checks whether the identifiers of a party can be part of a path. Also recognises different spellings of one party."""

from urllib.parse import unquote

from kitovu_connector.errors import InvalidRequest

Alias = tuple[str, str, str | None]
"""Type, identifier and sub-id."""

NOBODY = ("MSISDN", "10000000000")
"""An alias that no customer has, for checks whether a core answers. No phone number begins like this alias."""
_MOST_DECODINGS = 3


def spelling(id_type: str, id_value: str) -> str:
    """Returns an identifier in the core's form. In this form, a phone number has no plus sign."""
    return id_value.removeprefix("+") if id_type == "MSISDN" else id_value


def same(alias: Alias) -> Alias:
    """Returns a key that is the same for all spellings of an alias, according to the hub's rules."""
    id_type, id_value, sub_id = alias
    value = spelling(id_type, id_value)
    if id_type == "EMAIL":
        value = value.lower()
    elif id_type == "IBAN":
        value = value.upper()
    return id_type, value, sub_id.upper() if sub_id else None


def is_segment(text: str) -> bool:
    """Returns whether every server reads this text as one segment of a path.

    A server decodes a path once, and the next server can decode the path again. After each decoding, the text must
    still be one segment, and must not be "..", which leads to the parent path.
    """
    for _ in range(_MOST_DECODINGS):
        if text in ("", ".", "..") or "/" in text or "\\" in text or not text.isprintable():
            return False
        decoded = unquote(text)
        if decoded == text:
            return True
        text = decoded
    return False


def check(name: str, id_value: str, sub_id: str | None) -> None:
    """Raises InvalidRequest if the identifier or the sub-id cannot be part of a path.

    In the error's text, `name` stands before the name of the field.
    """
    for field, text in ((f"{name}idValue", id_value), (f"{name}idSubValue", sub_id)):
        if text is not None and not is_segment(text):
            raise InvalidRequest(f"{field}: must not have a slash or a control character, nor be . or ..")
