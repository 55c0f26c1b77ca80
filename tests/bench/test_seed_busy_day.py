"""A hub that was filled for a measurement has the rows that the engine would have written."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from bench.seed_busy_day import Crowd, fill
from ledger import queries
from portal import history
from portal.history import recomputing
from portal.models import HistoryRow


@pytest.mark.django_db(transaction=True)
def test_stored_payments_are_as_if_they_had_been_made() -> None:
    fill(Crowd(transfers=600, hours=1, are_payments=True, with_lookups=True))
    out = StringIO()
    call_command("check_ledger", stdout=out)
    assert "ok" in out.getvalue().splitlines()[-1].lower()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT condition) FROM quotes_quote WHERE condition IS NOT NULL")
        assert cursor.fetchone() == (600, 600)
        cursor.execute("SELECT count(*) FROM outbox_delivery WHERE path LIKE '/parties/%' OR path LIKE '/quotes/%'")
        assert cursor.fetchone() == (2400,)
    history.fold()
    assert recomputing.compare()[1] == []
    use_cases = HistoryRow.objects.filter(source="transfer", grain="month", scope=history.USE_CASE)
    assert set(use_cases.values_list("use_case", flat=True)) == {"TRANSFER", "PAYMENT", "WITHDRAWAL"}
    lookups = HistoryRow.objects.filter(source="lookup", grain="month", scope=0)
    assert sum(row.ended for row in lookups) == 600
    everybody = list(queries.committed_transfers())
    some = list(queries.committed_transfers(between=["busy-01", "busy-02", "busy-03"]))
    assert some == [each for each in everybody if {each["payer"], each["payee"]} <= {"busy-01", "busy-02", "busy-03"}]
    assert 0 < len(some) < len(everybody)
