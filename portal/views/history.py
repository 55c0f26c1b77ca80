"""The page with the history of payments: charts, tables and files with figures for each hour, day, week or month."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from fspiop import money
from hub.audit import record
from hub.downloads import Download
from hub.participants.models import Participant
from portal import charts, csv_export, spreadsheets
from portal.charts import Chart
from portal.history import ALL, NOBODY, UNKNOWN
from portal.models import HistoryMark
from portal.queries import history, transfers
from portal.queries.history import Figures, Line, Period, Wish
from portal.search_forms import CurrencyField, DayField, Search, UseCaseField, no_file
from portal.templatetags.portal import count, duration
from portal.templatetags.portal import money as shown_money
from portal.visitor import Visitor, visitor_of
from portal.words.errors import words_of

_GRAINS = [
    ("hour", gettext_lazy("Hours")),
    ("day", gettext_lazy("Days")),
    ("week", gettext_lazy("Weeks")),
    ("month", gettext_lazy("Months")),
]
_SIDES = [("sent", gettext_lazy("Sent")), ("received", gettext_lazy("Received"))]
_LEGS = {"lookup": gettext_lazy("Lookup"), "quote": gettext_lazy("Quote"), "transfer": gettext_lazy("Transfer")}
_BY: dict[str, Promise] = {
    "payer": gettext_lazy("Payer DFSP"),
    "payee": gettext_lazy("Payee DFSP"),
    "pair": gettext_lazy("Pair"),
    "currency": gettext_lazy("Currency"),
    "use_case": gettext_lazy("Use case"),
    "reason": gettext_lazy("Reason of failure"),
}
_DATE_FORMATS = {"hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m"}

# the parts of each longer period, and the word for these parts
_PARTS: dict[str, tuple[str, Promise]] = {
    "day": ("hour", gettext_lazy("hours")),
    "week": ("day", gettext_lazy("days")),
    "month": ("day", gettext_lazy("days")),
}


class HistorySearch(Search):
    grain = forms.ChoiceField(label=gettext_lazy("Period"), required=False, choices=_GRAINS)
    until = DayField(label=gettext_lazy("Until"), required=False, is_end=True)
    side = forms.ChoiceField(label=gettext_lazy("Direction"), required=False, choices=_SIDES)
    other = forms.ChoiceField(label=gettext_lazy("Other DFSP"), required=False)
    payer = forms.ChoiceField(label=gettext_lazy("Payer DFSP"), required=False)
    payee = forms.ChoiceField(label=gettext_lazy("Payee DFSP"), required=False)
    use_case = UseCaseField(label=gettext_lazy("Use case"))
    currency = CurrencyField(label=gettext_lazy("Currency"))

    def __init__(self, data: Any, *, visitor: Visitor, names: dict[int, str]) -> None:
        super().__init__({"grain": "day", "side": "sent"} | {name: text for name, text in data.items() if text})
        self._visitor, self.names = visitor, names
        banks = [("", "–"), *((name, name) for name in names.values())]
        for field in ("other", "payer", "payee"):
            self.fields[field].choices = banks  # type: ignore[attr-defined]
        # Users of a participant see only the payments that this participant sent or received.
        for field in ("payer", "payee") if visitor.dfsp_id is not None else ("side", "other"):
            del self.fields[field]
        self._ids = {name: number for number, name in names.items()}

    def wish(self, zone: ZoneInfo) -> Wish:
        """Returns the payments to show. The form must be valid."""
        said = self.said
        end = said.get("until")
        until = min(datetime.now(UTC), end - timedelta(microseconds=1)) if end else datetime.now(UTC)
        payer_id, payee_id = self._parties(said)
        return Wish(
            grain=said["grain"],
            starts=history.starts(said["grain"], until=until, zone=zone),
            payer_id=payer_id,
            payee_id=payee_id,
            use_case=said.get("use_case", ""),
            currency=said.get("currency", ""),
        )

    def _parties(self, said: dict[str, Any]) -> tuple[int, int]:
        own = self._visitor.dfsp_id
        if own is None:
            return self._id(said.get("payer")), self._id(said.get("payee"))
        other = self._id(said.get("other"))
        return (other, own) if said.get("side") == "received" else (own, other)

    def _id(self, name: str | None) -> int:
        return self._ids[name] if name else ALL


@dataclass(frozen=True, slots=True)
class _Shown:
    """The search that a visitor chose, and the data from which the page makes the names and links beside the
    figures."""

    search: HistorySearch
    wish: Wish
    by: str
    names: dict[int, str]
    own: int | None
    zone: ZoneInfo
    query: dict[str, str]

    def text(self, key: tuple[Any, ...]) -> str:
        """Returns the name to show for a DFSP, a pair of DFSPs, a currency, a use case or a reason."""
        if self.by in ("payer", "payee", "pair"):
            return " → ".join(self._bank(number) for number in key)
        if self.by == "reason":
            return f"{key[0]} {words_of(key[0])}".strip()
        return _("unknown") if key[0] == UNKNOWN else str(key[0])

    def _bank(self, number: int) -> str:
        return _("not sent to a payee") if number == NOBODY else self.names.get(number, str(number))

    def payments(self, since: datetime, until: datetime, **further: str) -> str:
        """Returns the link to the list of the payments that a figure counts. These payments arrived in one period, and
        have ended."""
        asked = {
            "since": _link_time(since),
            "until": _link_time(until - timedelta(minutes=1)),  # the list includes the whole last minute
            "payer": self.names.get(self.wish.payer_id, ""),
            "payee": self.names.get(self.wish.payee_id, ""),
            # The figures of a payee DFSP leave out the held payments that this DFSP never received.
            "shown": "yes" if self.wish.payee_id != ALL else "",
            "use_case": self.wish.use_case,
            "currency": self.wish.currency,
            "state": transfers.ENDED,
        }
        return f"{reverse('transfers')}?{urlencode({name: text for name, text in (asked | further).items() if text})}"

    def link(self, key: tuple[Any, ...]) -> str:
        """Returns the link in one row of the table. If the rows are reasons, the link leads to the payments with the
        row's reason. If the row is about payments that no payee DFSP received, the link leads to these payments. If the
        rows are DFSPs, currencies or use cases, the link leads to the history of that DFSP, currency or use case."""
        begin, end = self.wish.starts[0], self.wish.starts[-1]
        if self.by == "reason":
            return self.payments(begin, end, error=str(key[0]), state="ABORTED")
        chosen = {self.by: str(key[0])}
        if self.by in ("payer", "payee", "pair"):
            if NOBODY in key:
                payer = {"payer": self._bank(key[0])} if self.by == "pair" else {}
                return self.payments(begin, end, shown="no", **payer)
            sides = ("payer", "payee") if self.by == "pair" else (self.by,)
            chosen = dict(zip(sides, (self._bank(number) for number in key), strict=True))
        if self.own is not None and self.by in ("payer", "payee", "pair"):
            others = [number for number in key if number != self.own]
            chosen = {"other": self._bank(others[0])} if others else {}
        return f"?{urlencode(self.query | chosen)}"


def _link_time(at: datetime) -> str:
    """Returns the time for a link, with the offset from UTC. Without the offset, a time in the hour that the change of
    the clock repeats would have two meanings."""
    return timezone.localtime(at).isoformat(timespec="minutes")


def _search(request: HttpRequest) -> HistorySearch:
    visitor = visitor_of(request)
    return HistorySearch(request.GET, visitor=visitor, names=_names(visitor))


def _names(visitor: Visitor) -> dict[int, str]:
    """Returns the DFSPs that the visitor can choose. Users of a participant see only the DFSPs that paid this
    participant or were paid by it."""
    named = Participant.objects.filter(is_hub=False).order_by("name")
    if visitor.dfsp_id is not None:
        named = named.filter(pk__in=history.counterparties(visitor.dfsp_id) | {visitor.dfsp_id})
    return dict(named.values_list("pk", "name"))


def _shown(request: HttpRequest, search: HistorySearch) -> _Shown:
    visitor, zone = visitor_of(request), history.time_zone()
    by = request.GET.get("by", "")
    query = {name: str(text) for name, text in request.GET.items() if text and name in (*search.fields, "by")}
    wish = search.wish(zone)
    return _Shown(search, wish, by if by in _BY else _usual(wish), search.names, visitor.dfsp_id, zone, query)


def _usual(wish: Wish) -> str:
    """Returns the kind of row that the page shows if the visitor has not chosen a kind. If the visitor chose a payer
    DFSP, the page shows one row for each payee DFSP. Otherwise, the page shows one row for each payer DFSP."""
    return "payee" if wish.payer_id != ALL else "payer"


def _lines(shown: _Shown, whole: Figures, *, most: int = history.MOST_LINES) -> list[Line]:
    if shown.by != "reason":
        return history.divided(shown.wish, shown.by, most=most)
    return [Line(ended=number, key=(code,)) for code, number in whole.reasons.most_common()]


def index(request: HttpRequest) -> HttpResponse:
    search = _search(request)
    if not search.is_valid():
        return render(request, "portal/history.html", {"search": search})
    shown = _shown(request, search)
    periods = history.series(shown.wish)
    whole = history.total(periods)
    mark = HistoryMark.objects.filter(pk="transfer").first()
    lines = [(shown.text(line.key), shown.link(line.key), line) for line in _lines(shown, whole)]
    context = {
        "search": shown.search,
        "charts": list(_charts(shown, periods)),
        "first_label": _period(shown, periods[0]),
        "last_label": _period(shown, periods[-1]),
        "whole": whole,
        "legs": [(text, *figures[1:]) for text, figures in zip(_LEGS.values(), whole.durations, strict=True)],
        "periods": [
            (
                _period(shown, each),
                each,
                shown.payments(each.at, each.end),
                _link_to_failed(shown, each),
                _link_to_parts(shown, each),
            )
            for each in reversed(periods)
        ],
        "by": shown.by,
        "tabs": [(name, text, f"?{urlencode(shown.query | {'by': name})}") for name, text in _BY.items()],
        "lines": lines,
        "without_durations": not history.has_durations(shown.wish, shown.by),
        "most": history.MOST_LINES if len(lines) == history.MOST_LINES and shown.by != "reason" else 0,
        "payments": shown.payments(shown.wish.starts[0], shown.wish.starts[-1]),
        "failed": shown.payments(shown.wish.starts[0], shown.wish.starts[-1], state="ABORTED"),
        "zone": shown.zone.key,
        "up_to": mark.up_to if mark else None,
        "files": urlencode(shown.query | {"by": shown.by}),
    }
    return render(request, "portal/history.html", context)


def _link_to_failed(shown: _Shown, period: Period) -> str:
    return shown.payments(period.at, period.end, state="ABORTED")


def _link_to_parts(shown: _Shown, period: Period) -> tuple[str, Promise] | None:
    """Returns the link from a period to its hours or days, and the word for these parts."""
    if shown.wish.grain not in _PARTS:
        return None
    grain, word = _PARTS[shown.wish.grain]
    last_day = (period.end - timedelta(minutes=1)).astimezone(shown.zone).date()
    return f"?{urlencode(shown.query | {'grain': grain, 'until': last_day.isoformat()})}", word


def _period(shown: _Shown, period: Period) -> str:
    return period.at.astimezone(shown.zone).strftime(_DATE_FORMATS[shown.wish.grain])


def _charts(shown: _Shown, periods: Sequence[Period]) -> Iterator[Chart]:
    top = charts.nice_top(max(period.ended for period in periods))

    def stack(period: Period) -> list[tuple[float, str, str, str]]:
        name = _period(shown, period)
        return [
            (period.succeeded, "good", f"{name}: {count(period.succeeded)} {_('succeeded')}",
             shown.payments(period.at, period.end, state="COMMITTED")),
            (period.failed, "bad", f"{name}: {count(period.failed)} {_('failed')}", _link_to_failed(shown, period)),
        ]  # fmt: skip

    legend = [("good", _("succeeded")), ("bad", _("failed"))]
    yield Chart(_("Payments"), charts.bars(map(stack, periods), top=top), [], f"0–{count(int(top))}", legend)
    for currency in sorted({name for period in periods for name, value in period.values.items() if value}):
        yield _value_chart(shown, periods, currency)
    lowest = min((period.success_percent for period in periods if period.success_percent is not None), default=0.0)
    bottom = min(90, int(lowest) // 10 * 10)
    success = [("good", _("Success"), lambda period: period.success_percent)]
    yield _line_chart(_("Success"), periods, success, lambda _top: f"{bottom}–100 %", 100.0, bottom)
    lines: list[tuple[str, str, Callable[[Period], float | None]]] = []
    for leg, text in _LEGS.items():
        for share, ending in ((0.5, ""), (0.99, "-99")):
            lines.append((f"{leg}{ending}", f"{text} p{100 * share:.0f}", _percentile_of(leg, share)))
    yield _line_chart(_("Duration"), periods, lines, lambda top: f"0–{duration(top)}")


def _percentile_of(leg: str, share: float) -> Callable[[Period], float | None]:
    return lambda period: period.percentile(leg, share)


def _value_chart(shown: _Shown, periods: Sequence[Period], currency: str) -> Chart:
    top = charts.nice_top(max(period.values[currency] for period in periods))

    def bar(period: Period) -> list[tuple[float, str, str, str]]:
        value = period.values[currency]
        title = f"{_period(shown, period)}: {shown_money(value, currency)} {currency}"
        return [(value, "value", title, shown.payments(period.at, period.end, currency=currency, state="COMMITTED"))]

    label = _("Value, %(currency)s") % {"currency": currency}
    return Chart(
        label, charts.bars(map(bar, periods), top=top), [], f"0–{shown_money(int(top), currency)} {currency}", []
    )


def _line_chart(
    label: str,
    periods: Sequence[Period],
    lines: Sequence[tuple[str, str, Callable[[Period], float | None]]],
    top_text: Callable[[float], str],
    top: float | None = None,
    bottom: float = 0.0,
) -> Chart:
    rows = [(tone, text, [read(period) for period in periods]) for tone, text, read in lines]
    top = top or charts.nice_top(max((value for *_tone, values in rows for value in values if value), default=0.0))
    paths = [charts.path(values, top=top, bottom=bottom, tone=tone, label=text) for tone, text, values in rows]
    return Chart(
        label, [], paths, top_text(top), [(tone, text) for tone, text, _values in rows] if len(rows) > 1 else []
    )


_FIGURES = ["payments", "succeeded", "failed", "successPercent", "currency", "value"]
_DURATIONS = [f"{leg}{name}Seconds" for leg in history.LEGS for name in ("P50", "P99")]


def _cells(figures: Figures) -> Iterator[list[Any]]:
    """Yields one row of cells for each currency. Every row has the same durations, which include the payments in all
    currencies."""
    spans = [None if each is None else round(each, 4) for _leg, *both in figures.durations for each in both]
    for currency, value in sorted(figures.values.items()) or [("", 0)]:
        yield [
            figures.ended,
            figures.succeeded,
            figures.failed,
            figures.success_percent,
            currency,
            money.format_amount(value),
            *spans,
        ]


def _tables(shown: _Shown) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
    """Yields the name, the headings and the rows of each table."""
    periods = history.series(shown.wish)
    rows = [[each.at.astimezone(shown.zone).isoformat(), *cells] for each in periods for cells in _cells(each)]
    yield "periods", ["periodStart", *_FIGURES, *_DURATIONS], rows
    lines = _lines(shown, history.total(periods), most=csv_export.MOST_ROWS)
    if shown.by == "reason":
        yield "reasons", ["reason", "failed"], [[shown.text(line.key), line.ended] for line in lines]
    else:
        divided = [[shown.text(line.key), *cells] for line in lines for cells in _cells(line)]
        yield shown.by, [shown.by, *_FIGURES, *_DURATIONS], divided


def export_csv(request: HttpRequest) -> Download | HttpResponse:
    """Returns the table with one row for each period. With `?table=lines`, returns the table with one row for each
    DFSP, pair, currency, use case or reason."""
    search = _search(request)
    if not search.is_valid():
        return no_file(request, reverse("history"))
    shown = _shown(request, search)
    name, headings, rows = list(_tables(shown))[request.GET.get("table") == "lines"]
    answer = csv_export.response(request, f"history-{name}.csv", headings, [rows])
    _record(request, shown)
    return answer


def export_xlsx(request: HttpRequest) -> Download | HttpResponse:
    """Returns a workbook with both tables."""
    search = _search(request)
    if not search.is_valid():
        return no_file(request, reverse("history"))
    shown = _shown(request, search)
    answer = spreadsheets.response(request, "history.xlsx", list(_tables(shown)))
    _record(request, shown)
    return answer


def _record(request: HttpRequest, shown: _Shown) -> None:
    record("history_exported", subject="history", actor=visitor_of(request).name, after=shown.query)
