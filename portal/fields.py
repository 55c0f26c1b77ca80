"""Form fields for values with a special format: amounts, networks, keys and URLs."""

import re
from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop import money
from hub import egress, whole_minor_units
from hub.participants import endpoint_types_and_urls, networks_and_contacts
from portal.invalid_value_texts import text_of
from portal.parse_typed_values import read_amount

CSR_HELP = gettext_lazy(
    "PKCS #10 in PEM, with the participant's name as its common name. The private key stays with the participant."
)
PHONE = re.compile(r"[+]?[0-9][0-9 ()/.-]{4,30}\Z")


class AmountField(forms.CharField):
    """Reads an amount such as "1500", "12.50" or "3,000,000" as ten-thousandths."""

    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})

    def __init__(self, *, may_be_zero: bool = False, **kwargs: Any) -> None:
        self.may_be_zero = may_be_zero
        super().__init__(max_length=24, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, int):
            return value
        text = money.format_amount(value)
        # A text with three digits after the only separator, such as "1.500", could also mean 1500.
        return f"{text}0" if len(text.partition(".")[2]) == 3 else text

    def clean(self, value: Any) -> int | None:  # type: ignore[override]
        text = super().clean(value)
        if not text:
            return None
        amount = read_amount(text)
        if amount == 0 and not self.may_be_zero:
            raise forms.ValidationError(_("The amount must be above 0."))
        return amount


class NetworksField(forms.CharField):
    """Reads addresses and networks, one per line, as a list of networks. An empty list allows every address."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            label=gettext_lazy("Allowed source addresses"),
            help_text=gettext_lazy(
                "Enter one address or network per line, such as 192.0.2.10 or 2001:db8::/48. If the list "
                "is empty, every address is allowed."
            ),
            required=False,
            max_length=4000,
            **kwargs,
        )

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:  # type: ignore[override]
        lines = [line for line in super().clean(value).splitlines() if line.strip()]
        found: list[str] = readable(lambda: networks_and_contacts.read_networks(lines))
        if found and settings.PRODUCTION and not settings.TRUSTED_PROXY_COUNT:
            raise forms.ValidationError(
                _("The hub sees only the address of its own proxy, because TRUSTED_PROXY_COUNT is not set.")
            )
        return found


class PemField(forms.CharField):
    widget = forms.Textarea(attrs={"rows": 8, "class": "id", "spellcheck": "false", "autocomplete": "off"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=16_384, **kwargs)


def readable(read: Callable[[], Any]) -> Any:
    """Returns the result of `read`. If `read` raises a ValueError, raises a validation error of the form instead."""
    try:
        return read()
    except ValueError as error:
        raise forms.ValidationError(text_of(error)) from None


def check_minor_unit(form: forms.Form, field: str, amount: int | None, currency: str) -> None:
    """Adds an error to the amount's field if the amount has more decimals than the currency allows."""
    if amount is not None and currency and whole_minor_units.fault_of(amount, currency) is not None:
        text = _("The amount has more decimal places than %(currency)s allows.")
        form.add_error(field, text % {"currency": currency})


def callback_url(text: str, endpoint_type: str = endpoint_types_and_urls.BASE) -> str:
    """Returns the URL. Raises ValidationError if the hub could not call the URL. The error has a text for the
    requester."""
    if text and not endpoint_types_and_urls.is_fit(endpoint_type, text):
        raise forms.ValidationError(
            _("Write an http or https address: a host and a path, without user, spaces, ? or #.")
        )
    if text:
        readable(lambda: egress.check_url(text))
    return text
