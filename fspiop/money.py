"""Converts amounts of money between two forms: the text in messages (FSPIOP API v1.1, section 7.2.13), and an integer
of ten-thousandths.

The API allows 18 digits before the decimal point. This module accepts 14 digits, like the reference hub, so that an
amount is a 64-bit integer. This module refuses larger amounts and never rounds.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

SCALE = 4
MAX_AMOUNT = 10**18 - 1  # 14 digits before the decimal point and 4 after it

AMOUNT = r"^(?:0|[1-9][0-9]{0,17})(?:[.][0-9]{0,3}[1-9])?\Z"

_UNIT: int = 10**SCALE
_MOST_WHOLE_DIGITS = 14
_AMOUNT = re.compile(AMOUNT)

# The API's currencies, grouped by the number of decimals that each currency has in ISO 4217. ISO 4217 defines no number
# for XDR, XTS and XXX. In this table, these currencies have four decimals. Current connectors also use four decimals
# for XTS and XXX in ILP packets.
_CODES_BY_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP
        CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GGP GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR
        ILS IMP INR IRR JEP JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRO MUR MVR MWK
        MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLL SOS
        SPL SRD STD SVC SYP SZL THB TJS TMT TOP TRY TTD TVD TWD TZS UAH USD UYU UZS VEF WST XCD YER ZAR ZMW ZWD
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "XDR XTS XXX",
}
CURRENCIES: Mapping[str, int] = MappingProxyType(
    {code: decimals for decimals, codes in _CODES_BY_DECIMALS.items() for code in codes.split()}
)


class AmountError(ValueError):
    """Raised if the API does not allow an amount, or if the amount does not fit into 64 bits."""


def parse_amount(text: object) -> int:
    """Converts an amount in the API's text to ten-thousandths: "12.5" becomes 125000."""
    if not isinstance(text, str):
        raise AmountError("an amount must be a string")
    if _AMOUNT.match(text) is None:
        raise AmountError("an amount must have digits, at most 4 decimals, and no leading or trailing zeros")
    whole, _, decimals = text.partition(".")
    if len(whole) > _MOST_WHOLE_DIGITS:
        raise AmountError(f"an amount must have at most {_MOST_WHOLE_DIGITS} digits before the point")
    return int(whole) * _UNIT + int(decimals.ljust(SCALE, "0"))


def format_amount(amount: int) -> str:
    """Converts ten-thousandths to the API's text: 125000 becomes "12.5". Amounts in reports can be negative."""
    whole, decimals = divmod(abs(amount), _UNIT)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}.{decimals:0{SCALE}}".rstrip("0").rstrip(".") if decimals else f"{sign}{whole}"


def decimals_fault(text: str, currency: str) -> str | None:
    """Returns an error text if an amount has more decimals than the currency allows. Returns None if the amount is
    valid."""
    decimals = CURRENCIES[currency]
    return None if len(text.partition(".")[2]) <= decimals else f"{currency} has {decimals} decimals"


def minor_units(amount: int, currency: str) -> int:
    """Converts ten-thousandths to minor units: 125000 in USD becomes 1250. Raises AmountError if the amount is not a
    whole number of minor units."""
    decimals = CURRENCIES.get(currency)
    if decimals is None:
        raise AmountError(f"{currency} is not a currency in the API")
    unit: int = 10 ** (SCALE - decimals)
    units, fraction = divmod(amount, unit)
    if fraction:
        raise AmountError(f"{currency} has {decimals} decimals")
    return units
