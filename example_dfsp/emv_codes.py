"""The text of QR codes that a payee presents: EMVCo's Merchant-Presented Mode 1.1. Pure functions, without I/O.

The text is a list of data objects. Each object consists of an id (two digits), the length of the value in characters
(two digits), and the value. The last object is a checksum of all earlier objects. One of the objects 26 to 51 (account
information) has SCHEME as its globally unique identifier. The object with SCHEME contains the payee's alias and the
alias's type.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kitovu_connector import AmountError, format_amount, parse_amount

SCHEME = "org.kitovu.pay"
LONGEST = 512  # characters, by the specification
_NUMBERS = {"TZS": "834", "KES": "404", "XTS": "963"}
_CURRENCIES = {number: currency for currency, number in _NUMBERS.items()}
_COUNTRIES = {"TZS": "TZ", "KES": "KE", "XTS": "TZ"}
_NO_CATEGORY = "0000"
_SMALLEST = 100  # 0.01, because all currencies of customers have two decimals
_OPTIONAL_TIP = "01"  # with this value, the payer can add a tip; with any other value, the QR code asks for a fee
_ASK_THE_PAYER = "***"
_TEMPLATES = frozenset(f"{number:02}" for number in (*range(26, 52), 62, 64, *range(80, 100)))


class CodeError(ValueError):
    """Raised if a text is not the text of a payment QR code, or if nobody can pay the QR code. The exception's text is
    the reason for the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCode:
    """The QR code of a payee in this scheme. If the QR code has no amount, the payer enters the amount."""

    id_type: str
    id_value: str
    name: str
    city: str
    currency: str
    amount: int | None = None
    reference: str = ""
    category: str = _NO_CATEGORY
    is_merchant: bool = True


def written(code: PaymentCode) -> str:
    """Returns the text of a QR code."""
    account = _join([("00", SCHEME), ("01", code.id_value), ("02", code.id_type)])
    objects = [
        ("00", "01"),
        ("01", "11" if code.amount is None else "12"),  # 11: any number of payments; 12: one payment
        ("26", account),
        ("52", code.category),
        ("53", _NUMBERS[code.currency]),
    ]
    if code.amount is not None:
        objects.append(("54", format_amount(code.amount)))
    objects += [("58", _COUNTRIES[code.currency]), ("59", _fit(code.name, 25)), ("60", _fit(code.city, 15) or "-")]
    if code.reference:
        objects.append(("62", _join([("05", _fit(code.reference, 25))])))
    text = _join(objects) + "6304"
    return text + checksum(text)


def read(text: str) -> PaymentCode:
    """Returns the payment QR code that a text encodes. Raises CodeError."""
    objects = data_objects(text)
    known = dict(objects)
    account = next((found for id_, found in objects if "26" <= id_ <= "51" and _scheme_of(found)), None)
    if account is None:
        raise CodeError("the code is for another payment scheme")
    payee = dict(_split(account))
    currency = _CURRENCIES.get(known["53"])
    if currency is None:
        raise CodeError("the code is in a currency that this bank does not have")
    if known.get("55", _OPTIONAL_TIP) != _OPTIONAL_TIP:
        raise CodeError("the code asks for a fee that this bank cannot add")
    reference = dict(_split(known["62"])).get("05", "") if "62" in known else ""
    return PaymentCode(
        id_type=payee.get("02", "BUSINESS"),
        id_value=payee.get("01", ""),
        name=known["59"],
        city=known["60"],
        currency=currency,
        amount=_amount(known.get("54")),
        reference="" if reference == _ASK_THE_PAYER else reference,
        category=known["52"],
        is_merchant=payee.get("02", "BUSINESS") == "BUSINESS",
    )


def data_objects(text: str) -> list[tuple[str, str]]:
    """Returns the data objects of a text. Raises CodeError if the form or the checksum of the text is wrong."""
    if len(text) > LONGEST:
        raise CodeError("the code is too long")
    if text[:4] != "0002":
        raise CodeError("the picture has no payment code")
    # The checksum is the last object, and covers the whole text before the checksum's value.
    if len(text) < 12 or text[-8:-4] != "6304":
        raise CodeError("the code is not complete")
    if checksum(text[:-4]) != text[-4:].upper():
        raise CodeError("the code is damaged: its checksum is wrong")
    objects = _split(text)
    ids = [id_ for id_, _ in objects]
    if len(set(ids)) != len(ids):
        raise CodeError("the code has a part twice")
    known = dict(objects)
    if known["00"] != "01":
        raise CodeError("the code is of a version that this bank does not know")
    missing = [id_ for id_ in ("52", "53", "58", "59", "60") if not known.get(id_)]
    if missing or not any("02" <= id_ <= "51" for id_ in ids):
        raise CodeError("the code is not complete")
    for id_, value in objects:
        if id_ in _TEMPLATES:
            _split(value)
    return objects


def checksum(text: str) -> str:
    """Returns CRC-16/CCITT-FALSE over the UTF-8 bytes, as four hexadecimal digits."""
    crc = 0xFFFF
    for byte in text.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
            crc &= 0xFFFF
    return f"{crc:04X}"


def _join(objects: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{id_}{len(value):02}{value}" for id_, value in objects)


def _split(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while place < len(text):
        id_, length = text[place : place + 2], text[place + 2 : place + 4]
        if not (len(length) == 2 and (id_ + length).isascii() and (id_ + length).isdecimal()):
            raise CodeError("the code is damaged")
        value = text[place + 4 : place + 4 + int(length)]
        if len(value) != int(length) or not value:
            raise CodeError("the code is damaged")
        found.append((id_, value))
        place += 4 + int(length)
    return found


def _scheme_of(account: str) -> bool:
    return dict(_split(account)).get("00") == SCHEME


def _amount(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        amount = parse_amount(text)
    except AmountError:
        raise CodeError("the amount of the code cannot be read") from None
    if amount % _SMALLEST:
        raise CodeError("the amount of the code cannot be read")
    return amount or None


def _fit(text: str, length: int) -> str:
    return "".join(character for character in text if character.isprintable())[:length].strip()
