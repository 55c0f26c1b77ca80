"""Form fields that name a party by its identifier. The hub keeps only the party's key."""

from collections.abc import Iterator
from typing import Any, get_args

from django import forms
from django.utils.translation import gettext_lazy

from fspiop.bodies.common import PartyIdType
from portal.parse_typed_values import read_identifier
from portal.search_forms import Search
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


class PartySearch(Search):
    """A search for a party. The field accepts a telephone number in any usual form."""

    type = type_field(required=False)
    identifier = identifier_field(required=False)

    def clean_identifier(self) -> str:
        text: str = self.cleaned_data["identifier"]
        return read_identifier(text) if self.cleaned_data.get("type") in ("", "MSISDN") else text

    def _understood(self) -> Iterator[str]:
        yield from filter(None, [self.said.get("identifier")])


def key_of(id_type: str, identifier: str, sub_id: str = "") -> int:
    """Returns the key of a party. If the identifier is not valid for any party, raises ValueError with the fault."""
    identifier = identifier.strip()
    if id_type == "MSISDN":
        try:
            identifier = read_identifier(identifier)
        except forms.ValidationError as fault:
            raise ValueError(fault.messages[0]) from None
    key = line_of({"type": id_type, "identifier": identifier, "sub_id": sub_id.strip()}).key
    assert key is not None
    return key
