"""A window with 100,000 commits closes without anybody noticing (I14): commits wait for milliseconds."""

import threading
import time

from django.db import connection

from ledger.models import SettlementWindow
from settlement import services
from settlement.models import ContentTotal
from tests.concurrency.together import together
from tests.world import World, amount, fulfil, prepare, run

COMMITS = 100_000
MOST_WAIT_S = 1.0

_FILL = """
    INSERT INTO ledger_entry (kind, transfer_id, debit_account_id, credit_account_id, currency, amount, window_id)
    SELECT 'TRANSFER', 'filled-' || n, (ARRAY[%s, %s])[1 + n %% 2], (ARRAY[%s, %s])[1 + n %% 2], 'TZS', 1,
           (SELECT id FROM ledger_settlementwindow WHERE state = 'OPEN')
    FROM generate_series(1, %s) n
"""


def test_closing_a_window_of_100_000_commits_holds_up_no_payment(committed_world: World) -> None:
    green, blue, red = (committed_world.account(name).pk for name in ("green", "blue", "red"))
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(_FILL, [green, blue, blue, red, COMMITS])
        cursor.execute("ANALYZE ledger_entry")
    window = SettlementWindow.objects.get().pk
    warm, closed = threading.Event(), threading.Event()

    def pay() -> float:
        longest, payments = 0.0, 0
        while not closed.is_set():
            began = time.monotonic()
            p = prepare(committed_world, "red", "blue", 1)
            run(p)
            run(fulfil(committed_world, "blue", p.transfer_id))
            if warm.is_set():
                longest = max(longest, time.monotonic() - began)
            payments += 1
            if payments == 5:
                warm.set()
        return longest

    def close() -> float:
        assert warm.wait(60)
        began = time.monotonic()
        try:
            services.close_window(reason="test", actor="test", window_id=window)
        finally:
            closed.set()
        return time.monotonic() - began

    longest, took = together([pay, close])
    assert isinstance(longest, float)
    assert isinstance(took, float)
    assert longest < MOST_WAIT_S
    assert SettlementWindow.objects.get(pk=window).totalled_at is not None
    (total,) = ContentTotal.objects.filter(account_id=green).values_list("debits", flat=True)
    assert total == COMMITS // 2
    assert committed_world.position("red") > -amount(COMMITS)
