"""Formats amounts and durations for reading."""

from typing import Any

from django.utils import formats
from django.utils.translation import gettext as _

from fspiop.money import CURRENCIES, SCALE


def money(amount: Any, currency: str = "") -> str:
    """Formats an amount that is given in ten-thousandths: in the currency TZS, 125000 becomes 12.50.

    If the amount has more decimals than the currency, all decimals are shown.
    """
    if amount is None:
        return "–"
    whole, fraction = divmod(abs(int(amount)), 10**SCALE)
    decimals = f"{fraction:0{SCALE}}"
    least = CURRENCIES.get(currency, 2)
    kept = max(least, len(decimals.rstrip("0")))
    grouped = formats.number_format(whole, use_l10n=True, force_grouping=True)
    point = formats.get_format("DECIMAL_SEPARATOR") if kept else ""
    return f"{'−' if int(amount) < 0 else ''}{grouped}{point}{decimals[:kept]}"


def age(seconds: float | None) -> str:
    """Formats a duration for reading: 4.2 s, 3 min, 5 h, 2 d."""
    if seconds is None:
        return "–"
    for size, text in ((86400, _("%(count)s d")), (3600, _("%(count)s h")), (60, _("%(count)s min"))):
        if seconds >= 2 * size:
            return text % {"count": int(seconds // size)}
    return f"{formats.number_format(seconds, 1)} s" if seconds < 10 else f"{int(seconds)} s"
