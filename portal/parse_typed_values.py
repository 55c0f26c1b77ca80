"""Reads amounts, telephone numbers and ids as people write them. Raises ValidationError if the meaning of a text is
unknown or ambiguous.
"""

import re

import phonenumbers
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import formats
from django.utils.translation import gettext as _

from fspiop import money

_SPACES = re.compile(r"[\s\u00a0\u202f']|\u2019")
_PLAIN = re.compile(r"(0|[1-9][0-9]*)(?:[.,]([0-9]{1,4}))?\Z")
_GROUPED = re.compile(r"([1-9][0-9]{0,2}(?:([., ])[0-9]{3})(?:\2[0-9]{3})*)(?:([.,])([0-9]{1,4}))?\Z")
_MOST_WHOLE_DIGITS = 14
# The characters of a telephone number. A text with any other character is an identifier of another type.
_NUMBER = re.compile(r"[+]?[0-9 ()/.\u00a0-]+\Z")
_NOT_DIGITS = re.compile(r"[^0-9]")


def read_amount(text: str) -> int:
    """Returns the ten-thousandths of an amount such as "1500", "12.50", "3,000,000" or "10.000.000,00"."""
    written = _SPACES.sub(" ", text.strip())
    grouped, plain = _GROUPED.match(written), _PLAIN.match(written)
    if grouped is not None and grouped[3] != grouped[2]:
        if _may_be_decimal(written, grouped):
            raise ValidationError(
                _("%(text)s can mean two amounts. Write %(whole)s or %(decimal)s.")
                % {
                    "text": text.strip(),
                    "whole": _NOT_DIGITS.sub("", written),
                    "decimal": written.replace(",", ".") + "0",
                }
            )
        whole, decimals = _NOT_DIGITS.sub("", grouped[1]), grouped[4] or ""
    elif plain is not None:
        whole, decimals = plain[1], plain[2] or ""
    else:
        raise ValidationError(_("Write an amount such as 1500, 12.50 or 3,000,000."))
    if len(whole) > _MOST_WHOLE_DIGITS:
        raise ValidationError(_("An amount has at most %(most)s digits.") % {"most": _MOST_WHOLE_DIGITS})
    return int(whole) * 10**money.SCALE + int(decimals.ljust(money.SCALE, "0"))


def _may_be_decimal(written: str, grouped: re.Match[str]) -> bool:
    """Returns whether the only separator in an amount such as "1.500" could also be a decimal separator."""
    separator = grouped[2]
    if grouped[4] or separator == " " or written.count(separator) > 1:
        return False
    return separator == "." or formats.get_format("DECIMAL_SEPARATOR") == ","


def read_telephone_number(text: str) -> str | None:
    """Returns a telephone number as digits with its country code, or None if the text is not a telephone number.

    A telephone number without a country code counts as a number of the scheme's country.
    """
    written = text.strip()
    if not _NUMBER.match(written):
        return None
    digits = _NOT_DIGITS.sub("", written)
    if written.startswith("+") or digits.startswith("00"):
        found = _international(written.removeprefix("+").removeprefix("00"))
        if found is None:
            raise ValidationError(_("%(text)s is not a telephone number.") % {"text": written})
        return found
    found = _with_country_code(digits) or _national(written)
    if found is None and digits != written:
        raise ValidationError(
            _("%(text)s is not a telephone number. Write it with its country code, for example +255.")
            % {"text": written}
        )
    return found


def _with_country_code(digits: str) -> str | None:
    """Reads a number that begins with a country code, but has no plus sign before the country code. Returns None if the
    digits are not a valid number, because other texts can also consist of digits."""
    country = settings.SCHEME_COUNTRY
    if country and digits.startswith(str(phonenumbers.country_code_for_region(country))):
        return _international(digits)
    parsed = _parsed(f"+{digits}", None)
    return _digits_of(parsed) if parsed is not None and phonenumbers.is_valid_number(parsed) else None


def _international(number: str) -> str | None:
    parsed = _parsed(f"+{number}", None)
    if parsed is None or not phonenumbers.is_possible_number(parsed):
        return None
    if phonenumbers.is_valid_number(parsed):
        return _digits_of(parsed)
    return _NOT_DIGITS.sub("", number)  # the number belongs to no known operator, so the hub keeps every digit


def _national(number: str) -> str | None:
    parsed = _parsed(number, settings.SCHEME_COUNTRY) if settings.SCHEME_COUNTRY else None
    return _digits_of(parsed) if parsed is not None and phonenumbers.is_valid_number(parsed) else None


def _parsed(number: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None


def _digits_of(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def read_identifier(text: str) -> str:
    """Returns the identifier of a party whose identifier is a telephone number. A telephone number becomes digits, and
    any other text stays as it is written."""
    return read_telephone_number(text) or text.strip()


def forms_of_identifier(text: str, id_type: str = "") -> list[str]:
    """Returns the identifiers that a person can mean by this text.

    If the type of the identifier is unknown, digits can be a telephone number, but also a merchant's or an account's
    number. So the function returns the telephone number first, and then the text as it is written, without and with its
    spaces. Raises ValidationError if the text must be a telephone number, but is none.
    """
    written = " ".join(text.split())
    if id_type == "MSISDN":
        return [read_identifier(written)]
    if id_type or not written:
        return [written] if written else []
    number = _or_raise(written)
    if written.startswith("+"):
        return [number or written]
    compact = written.replace(" ", "") if _NUMBER.match(written) else written
    return list(dict.fromkeys(filter(None, [number, compact, written])))


def _or_raise(written: str) -> str | None:
    """Returns the telephone number. If the text is no telephone number, raises an error only if the text begins with a
    plus sign, because only telephone numbers begin with a plus sign."""
    try:
        return read_telephone_number(written)
    except ValidationError:
        if written.startswith("+"):
            raise
        return None


def shown_identifier(text: str, id_type: str = "") -> str:
    """Returns the text that shows people which identifiers a search looks for."""
    first, *others = forms_of_identifier(text, id_type)
    return _("%(number)s or %(written)s") % {"number": first, "written": others[0]} if others else first


def spellings_of_id(text: str) -> set[str]:
    """Returns the spellings of an id that the hub's tables can contain. Ids are UUIDs or ULIDs."""
    written = text.strip()
    return {written, written.lower(), written.upper()}


def spellings_of_identifier(text: str) -> set[str]:
    """Returns the spellings in which a message can contain the identifier that a person wrote."""
    found = set[str]()
    for identifier in forms_of_identifier(text):
        found |= {identifier, identifier.lower(), identifier.upper()}
        bare = identifier.removeprefix("+")
        if bare.isdecimal():
            found |= {bare, f"+{bare}"}
    return found
