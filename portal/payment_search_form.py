"""The search for payments. In one box, people enter all values that they know about a payment. Separate fields accept
the same values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

import phonenumbers
from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from fspiop import money as api_money
from hub.participants.models import Participant
from portal.amounts_and_durations import money
from portal.fields import AmountField
from portal.parse_typed_values import forms_of_identifier, read_amount, read_telephone_number, shown_identifier
from portal.queries.payments import Kind, Sought
from portal.search_forms import CurrencyField, IdentifierField, MomentField, ParticipantField, Search
from portal.visitor import Visitor

_ID = re.compile(r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z|[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
_TIME = re.compile(r"([01]?[0-9]|2[0-3])[:h]([0-5][0-9])(?:-([01]?[0-9]|2[0-3])[:h]([0-5][0-9]))?\Z")
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})\Z")
_LOCAL_DAY = re.compile(r"([0-9]{1,2})[/.]([0-9]{1,2})[/.]([0-9]{4})\Z")
# The number of a merchant, an account or a document, such as "123-456", "AB12345" or "0012345678", and an IBAN. A text
# that looks like a day or like a part of an id is no such number.
_OTHER_IDENTIFIER = re.compile(
    r"(?i)(?![0-9]{1,4}-[0-9]{1,2}-[0-9]{1,4}\Z)(?![0-9a-f]{8}-[0-9a-f]{4}-)(?=(?:[^0-9]*[0-9]){5})"
    r"(?:[a-z]{0,6}-?[0-9][0-9-]*|[a-z]{2}[0-9]{2}[0-9a-z]{11,30})\Z"
)
# A search for a single time covers a quarter of an hour before and after this time.
_AROUND = timedelta(minutes=15)
_MOST_WORDS = 16
_FIRST_YEAR, _LAST_YEAR = 1970, 9998
_EXAMPLE_AMOUNT = 3000 * 10**api_money.SCALE


@dataclass(slots=True)
class Words:
    """The values that were read from the words in the box. `identifier` is a text as it was written. A payment between
    two DFSPs has one of the DFSPs as its payer DFSP, and the other as its payee DFSP."""

    ids: list[str] = field(default_factory=list)
    identifier: str = ""
    amount: int | None = None
    currency: str = ""
    dfsps: list[str] = field(default_factory=list)
    day: date | None = None
    hours: tuple[time, time | None] | None = None


def read_words(text: str, dfsps: dict[str, str], currencies: frozenset[str]) -> Words:
    """Reads the text of the box. The keys of `dfsps` are the participants' names in lower case. The values are the
    participants' names as the hub registered them.

    A telephone number or an amount can contain spaces. So the function reads the longest group of words that has a
    meaning. Raises ValidationError with the first word that has no meaning, or that is a second value of the same kind.
    """
    words, found, place = text.split(), Words(), 0
    if len(words) > _MOST_WORDS:
        raise forms.ValidationError(_("Write at most %(most)s words.") % {"most": _MOST_WORDS})
    while place < len(words):
        place += _read_one(words[place], found, dfsps, currencies) or _read_numbers(words[place:], found)
    return found


def _read_one(word: str, found: Words, dfsps: dict[str, str], currencies: frozenset[str]) -> int:
    """Reads a word whose meaning does not depend on the words next to it. Returns how many words were read: 1 or 0."""
    if _ID.match(word):
        found.ids.append(word)
    elif hours := _TIME.match(word):
        first, minute, last, last_minute = hours.groups()
        _set(found, "hours", (time(int(first), int(minute)), time(int(last), int(last_minute)) if last else None), word)
    elif day := _day(word):
        _set(found, "day", day, word)
    elif word.lower() in dfsps:
        _add_dfsp(found, dfsps[word.lower()], word)
    elif word.upper() in currencies:
        _set(found, "currency", word.upper(), word)
    elif "@" in word:
        _set(found, "identifier", word, word)
    else:
        return 0
    return 1


def _set(found: Words, name: str, value: Any, word: str) -> None:
    if getattr(found, name) not in (None, "", value):
        raise _second_value(word)
    setattr(found, name, value)


def _add_dfsp(found: Words, name: str, word: str) -> None:
    if name not in found.dfsps:
        found.dfsps.append(name)
    if len(found.dfsps) > 2:
        raise _second_value(word)


def _second_value(word: str) -> forms.ValidationError:
    return forms.ValidationError(
        _(
            "“%(word)s” is one value too many. Write only one number, amount, currency, time and day, and at most two "
            "DFSPs."
        )
        % {"word": word}
    )


def _day(word: str) -> date | None:
    numbers = _DAY.match(word) or _LOCAL_DAY.match(word)
    if numbers is None:
        return None
    parts = [int(number) for number in numbers.groups()]
    year, month, day = parts if _DAY.match(word) else reversed(parts)
    try:
        return date(year, month, day) if _FIRST_YEAR <= year <= _LAST_YEAR else None
    except ValueError:
        return None


def _read_numbers(words: list[str], found: Words) -> int:
    """Reads a telephone number or an amount from the longest group of words. Returns how many words the group has.

    If the first word is neither, but can be an identifier of another type, reads this identifier.
    """
    for count in range(len(words), 0, -1):
        text = " ".join(words[:count])
        if not found.identifier and _or_none(read_telephone_number, text):
            found.identifier = text
            return count
        amount = _or_none(read_amount, text)
        if amount is not None:
            _set(found, "amount", amount, text)
            return count
        if _or_none(read_telephone_number, text):
            raise _second_value(text)
    if _OTHER_IDENTIFIER.match(words[0]):
        _set(found, "identifier", words[0], words[0])
        return 1
    try:
        read_amount(words[0])
    except forms.ValidationError as error:
        if words[0][0].isdigit() or words[0].startswith("+"):
            raise error from None
    raise forms.ValidationError(
        _(
            "“%(word)s” was not understood. Write a telephone number, an amount, a currency, a time such as 10:15, "
            "a day such as 2026-11-29, the name of a DFSP, or an id."
        )
        % {"word": words[0]}
    )


def _is_same(name: str, written: Any, value: Any) -> bool:
    """Returns whether a field and the box have the same value. Two spellings of one telephone number are the same
    value."""
    if name == "alias":
        return forms_of_identifier(written)[0] == forms_of_identifier(value)[0]
    return bool(written == value)


def _or_none(read: Any, text: str) -> Any:
    try:
        return read(text)
    except forms.ValidationError:
        return None


def example() -> str:
    """Returns an example of a search: a telephone number, an amount and a time. The forms of the number and the amount
    are those of the scheme's country and of the visitor's language."""
    number, country = "+255 655 001 005", settings.SCHEME_COUNTRY
    parsed = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE) if country else None
    if parsed is not None:
        number = phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL)
    return f"{number} {money(_EXAMPLE_AMOUNT, 'XAF')} 10:15"


class PaymentSearch(Search):
    q = forms.CharField(
        label=gettext_lazy("Number, amount, time, DFSP or id"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search", "class": "form-control", "autocomplete": "off"}),
    )
    alias = IdentifierField(label=gettext_lazy("Number or other alias"))
    amount = AmountField(label=gettext_lazy("Amount"), required=False)
    currency = CurrencyField(label=gettext_lazy("Currency"))
    payer = ParticipantField(label=gettext_lazy("Payer's DFSP"))
    payee = ParticipantField(label=gettext_lazy("Payee's DFSP"))
    since = MomentField(label=gettext_lazy("From"))
    until = MomentField(label=gettext_lazy("Until"), is_end=True)
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        required=False,
        choices=[
            ("", gettext_lazy("all")),
            (Kind.TRANSFER, gettext_lazy("Transfers")),
            (Kind.QUOTE, gettext_lazy("Quotes without a transfer")),
            (Kind.REQUEST, gettext_lazy("Requests to pay")),
            (Kind.LOOKUP, gettext_lazy("Lookups")),
        ],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["q"].widget.attrs["placeholder"] = example()

    def clean_q(self) -> Words:
        text = self.cleaned_data["q"]
        names = Participant.objects.filter(is_hub=False).values_list("name", flat=True) if text else []
        return read_words(text, {name.lower(): name for name in names}, frozenset(api_money.CURRENCIES))

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or {}
        words = said.get("q")
        if words is not None:
            for name, value in (("alias", words.identifier), ("amount", words.amount), ("currency", words.currency)):
                if said.get(name) in (None, ""):
                    said[name] = value
                elif value not in (None, "") and not _is_same(name, said[name], value):
                    self.add_error(name, _("The box and this field name different values."))
        since, until = self.times(said)
        if since is not None and until is not None and since >= until:
            self.add_error("until", _("The end is before the beginning."))
        return said

    def times(self, said: dict[str, Any]) -> tuple[datetime | None, datetime | None]:
        """Returns the beginning and the end of the period to search. If the box and the fields both name a period, the
        payments must be in both periods."""
        since, until = said.get("since"), said.get("until")
        words = said.get("q")
        if words is None or not (words.day or words.hours):
            return since, until
        now = timezone.localtime()
        zone = timezone.get_current_timezone()
        day = words.day or now.date()
        if words.hours is None:
            begin = datetime.combine(day, time(), zone)
            end = datetime.combine(day + timedelta(days=1), time(), zone)
        else:
            first, last = words.hours
            begin = datetime.combine(day, first, zone)
            if words.day is None and begin > now:
                begin -= timedelta(days=1)
            if last is None:
                begin, end = begin - _AROUND, begin + _AROUND
            else:
                end = datetime.combine(begin.date(), last, zone) + timedelta(minutes=1)
        return max(filter(None, (since, begin))), min(filter(None, (until, end)))

    @property
    def ids(self) -> list[str]:
        words: Words | None = self.said.get("q")
        return words.ids if words is not None else []

    @property
    def has_fields(self) -> bool:
        """Returns whether any field except the box was filled in."""
        return any(self.data.get(name) for name in self.fields if name != "q")

    @property
    def is_empty(self) -> bool:
        """Returns whether the search has no condition."""
        said = {name: value for name, value in self.said.items() if value not in (None, "", Words())}
        return self.is_valid() and not said

    def sought(self, visitor: Visitor) -> Sought:
        said = self.said
        since, until = self.times(said)
        words: Words = said.get("q") or Words()
        dfsps = Participant.objects.filter(name__in=words.dfsps).values_list("pk", flat=True) if words.dfsps else ()
        return Sought(
            own=visitor.dfsp_id,
            identifier=said.get("alias", ""),
            amount=said.get("amount"),
            currency=said.get("currency", ""),
            payer=said.get("payer"),
            payee=said.get("payee"),
            dfsps=frozenset(dfsps),
            since=since,
            until=until,
            kinds=frozenset({Kind(said["kind"])}) if "kind" in said else frozenset(Kind),
        )

    def _understood(self) -> Iterator[str]:
        said = self.said
        words: Words = said.get("q") or Words()
        yield from words.ids
        if said.get("alias"):
            yield shown_identifier(said["alias"])
        if said.get("amount") is not None:
            currency = said.get("currency", "")
            yield _("amount %(amount)s") % {"amount": f"{money(said['amount'], currency or 'XAF')} {currency}".strip()}
        elif said.get("currency"):
            yield said["currency"]
        yield from words.dfsps
        since, until = self.times(said)
        if since is not None:
            yield _("from %(time)s") % {"time": timezone.localtime(since).strftime("%Y-%m-%d %H:%M")}
        if until is not None:
            yield _("until %(time)s") % {"time": timezone.localtime(until).strftime("%Y-%m-%d %H:%M")}
