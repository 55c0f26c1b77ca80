"""Form fields for what the API writes its own way."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _

from fspiop import money


class AmountField(forms.CharField):
    """An amount as people write it, "1500" or "12.50", as ten-thousandths."""

    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})

    def __init__(self, *, may_be_zero: bool = False, **kwargs: Any) -> None:
        self.may_be_zero = may_be_zero
        super().__init__(max_length=24, **kwargs)

    def clean(self, value: Any) -> int | None:  # type: ignore[override]
        text = super().clean(value)
        if not text:
            return None
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        try:
            amount = money.parse_amount(text)
        except money.AmountError:
            raise forms.ValidationError(_("Write an amount such as 1500 or 12.50, without separators.")) from None
        if amount == 0 and not self.may_be_zero:
            raise forms.ValidationError(_("An amount is above 0."))
        return amount
