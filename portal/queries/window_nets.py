"""What each participant owes or is owed for a window's commits.

Of a closed window it was added up once. Of the open one each process remembers what it has added up, and adds what came
since: a look costs the last minutes' commits, not the day's.
"""

from collections.abc import Iterable, Mapping

from django.core.cache import caches
from django.db.models import Sum

from hub.database import execute
from ledger.models import SettlementWindow
from ledger.queries import NetPosition
from settlement import store
from settlement.models import ContentTotal

_KEPT_S = 3600
_Sums = Mapping[tuple[str, str], tuple[int, int]]  # by participant and currency: sent and received

# Between two ids the primary key is walked; the window's index where all of it is asked for.
_BETWEEN = """
    SELECT p.name, a.currency, sum(legs.sent), sum(legs.received)
    FROM (SELECT account_id, sum(sent) AS sent, sum(received) AS received
          FROM (SELECT debit_account_id, credit_account_id, sum(amount) AS amount FROM ledger_entry
                WHERE window_id = %s AND id > %s AND id <= %s GROUP BY 1, 2) pairs
          CROSS JOIN LATERAL (VALUES (debit_account_id, amount, 0), (credit_account_id, 0, amount))
                             AS leg (account_id, sent, received)
          GROUP BY 1) legs
    JOIN ledger_account a ON a.id = legs.account_id
    JOIN participants_participant p ON p.id = a.participant_id
    GROUP BY 1, 2
"""
_LAST = 2**63 - 1


def of_window(window: SettlementWindow, *, participant: str = "") -> list[NetPosition]:
    """By currency and name, of all or of one participant; of all they come to zero in each currency."""
    sums = _added_up(window) if window.totalled_at else _so_far(window.pk)
    found = [NetPosition(name, currency, *both) for (name, currency), both in sums.items()]
    return sorted(
        (net for net in found if participant in ("", net.participant)), key=lambda net: (net.currency, net.participant)
    )


def _added_up(window: SettlementWindow) -> _Sums:
    rows = (
        ContentTotal.objects.filter(content__window=window)
        .order_by()
        .values_list("account__participant__name", "account__currency")
        .annotate(sent=Sum("debits"), received=Sum("credits"))
    )
    return {(name, currency): (int(sent), int(received)) for name, currency, sent, received in rows}


def _so_far(window_id: int) -> _Sums:
    key = f"portal:nets:{window_id}"
    base_id, base = caches["process"].get(key) or (0, {})
    seen = max(base_id, store.surely_seen())
    if seen > base_id:
        base = _plus(base, _between(window_id, base_id, seen))
        caches["process"].set(key, (seen, base), timeout=_KEPT_S)
    return _plus(base, _between(window_id, seen, _LAST))


def _between(window_id: int, after: int, up_to: int) -> Iterable[tuple[str, str, int, int]]:
    rows = execute(_BETWEEN, [window_id, after, up_to])
    return [(name, currency, int(sent), int(received)) for name, currency, sent, received in rows]


def _plus(sums: _Sums, rows: Iterable[tuple[str, str, int, int]]) -> _Sums:
    found = dict(sums)
    for name, currency, sent, received in rows:
        before = found.get((name, currency), (0, 0))
        found[name, currency] = (before[0] + sent, before[1] + received)
    return found
