"""Computes the net amount of each participant for a window's commits.

For each closed window, the database stores the totals. For the open window, each process keeps the computed totals in
memory, and then adds only later commits. So a query reads only the commits of the last few minutes, and not the commits
of a whole day.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.core.cache import caches
from django.db.models import Sum

from ledger.models import SettlementWindow
from settlement import window_totals_and_commits
from settlement.models import ContentTotal
from settlement.netting import Total

_KEPT_S = 3600
_LAST = 2**63 - 1
_Sums = Mapping[tuple[str, str], tuple[int, int]]  # the sent and the received amounts, by participant and currency


@dataclass(frozen=True, slots=True)
class NetPosition:
    """One participant's net amount from the commits of a window. If the net amount is above 0, the participant owes
    this amount.

    If the net amount is below 0, the scheme owes the participant.
    """

    participant: str
    currency: str
    sent: int
    received: int

    @property
    def net(self) -> int:
        return self.sent - self.received


def of_window(window: SettlementWindow, *, participant: str = "") -> list[NetPosition]:
    """Returns the net positions of one participant or of all participants, sorted by currency and participant name.

    In each currency, the net positions of all participants add up to zero.
    """
    return of_windows([window], participant=participant)[window.pk]


def of_windows(windows: Iterable[SettlementWindow], *, participant: str = "") -> dict[int, list[NetPosition]]:
    """Returns the net positions for each window. One SQL statement reads all closed windows that have totals."""
    windows = list(windows)
    added_up = _added_up([window.pk for window in windows if window.totalled_at], participant)
    return {
        window.pk: _nets(added_up[window.pk] if window.totalled_at else _so_far(window.pk), participant)
        for window in windows
    }


def _nets(sums: _Sums, participant: str) -> list[NetPosition]:
    found = [NetPosition(name, currency, *both) for (name, currency), both in sums.items()]
    return sorted(
        (net for net in found if participant in ("", net.participant)), key=lambda net: (net.currency, net.participant)
    )


def _added_up(window_ids: list[int], participant: str) -> Mapping[int, _Sums]:
    totals = ContentTotal.objects.filter(content__window__in=window_ids)
    if participant:
        totals = totals.filter(account__participant__name=participant)
    rows = (
        totals.order_by()
        .values_list("content__window_id", "account__participant__name", "account__currency")
        .annotate(sent=Sum("debits"), received=Sum("credits"))
    )
    found: dict[int, dict[tuple[str, str], tuple[int, int]]] = defaultdict(dict)
    for window_id, name, currency, sent, received in rows:
        found[window_id][name, currency] = (int(sent), int(received))
    return found


def _so_far(window_id: int) -> _Sums:
    key = f"settlement:nets:{window_id}"
    base_id, base = caches["process"].get(key) or (0, {})
    seen = max(base_id, window_totals_and_commits.surely_seen())
    if seen > base_id:
        base = _plus(base, window_totals_and_commits.totals_between(window_id, after=base_id, up_to=seen))
        caches["process"].set(key, (seen, base), timeout=_KEPT_S)
    return _plus(base, window_totals_and_commits.totals_between(window_id, after=seen, up_to=_LAST))


def _plus(sums: _Sums, totals: Iterable[tuple[str, Total]]) -> _Sums:
    found = dict(sums)
    for name, total in totals:
        sent, received = found.get((name, total.currency), (0, 0))
        found[name, total.currency] = (sent + total.debits, received + total.credits)
    return found
