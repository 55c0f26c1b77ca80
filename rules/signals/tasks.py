"""Celery's periodic task that deletes old entries of the log of accesses."""

from celery import shared_task

from hub.sql_execution import execute

KEPT_DAYS = 400
_MOST_AT_ONCE = 20_000
_DELETE = """
    DELETE FROM rules_signals_signalaccess WHERE id IN (
        SELECT id FROM rules_signals_signalaccess WHERE at < clock_timestamp() - make_interval(days => %s)
        ORDER BY at LIMIT %s)
"""


@shared_task(name="rules.signals.tasks.tidy", ignore_result=True)
def tidy() -> int:
    """Deletes accesses that are older than 400 days. Returns the number of deleted accesses."""
    return execute(_DELETE, [KEPT_DAYS, _MOST_AT_ONCE]).rowcount
