"""Form fields that name a party by its identifier. The hub keeps only the party's key."""

from typing import Any, get_args

from django import forms
from django.utils.translation import gettext_lazy

from fspiop.bodies.common import PartyIdType
from rules.lists.party_files import line_of

ID_TYPES = [(name, name) for name in get_args(PartyIdType)]


def type_field(**kwargs: Any) -> forms.ChoiceField:
    return forms.ChoiceField(label=gettext_lazy("Type"), choices=ID_TYPES, initial="MSISDN", **kwargs)


def identifier_field(**kwargs: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"autocomplete": "off"})
    return forms.CharField(label=gettext_lazy("Alias"), max_length=128, widget=widget, **kwargs)


def sub_id_field(**kwargs: Any) -> forms.CharField:
    return forms.CharField(label=gettext_lazy("Sub-id"), max_length=128, required=False, **kwargs)


class PartyMixin(forms.Form):
    """Adds the party's key to the values of a form that has `type`, `identifier` and `sub_id`."""

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        said["party"] = None
        if said.get("identifier") and said.get("type"):
            try:
                said["party"] = key_of(said["type"], said["identifier"], said.get("sub_id", ""))
            except ValueError as fault:
                self.add_error("identifier", str(fault))
        return said


def key_of(id_type: str, identifier: str, sub_id: str = "") -> int:
    """Returns the key of a party. Raises ValueError with the fault if the identifier is not valid for any party."""
    key = line_of({"type": id_type, "identifier": identifier.strip(), "sub_id": sub_id.strip()}).key
    assert key is not None
    return key
