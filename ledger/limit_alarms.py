"""Alarms for positions near their limits. The hub logs an alarm about a position once, not at each check.

An alarm is due if no more than `alarmPercentage` of the limit is free. The limit of a position is defined in
`ledger.position_limit`. The cache stores which alarms were logged. If the cache is lost, the hub logs the same alarms
again.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from django.core.cache import cache
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from hub.sql_execution import execute
from hub.sweeps import isolating_batches
from ledger import position_limit

log = structlog.get_logger("ledger")

_CALM = 5  # an alarm ends when the free percentage is above the alarm percentage plus this number

_USES = f"""
    SELECT a.id, p.name, a.currency, {position_limit.POSITION}, a.net_debit_cap, {position_limit.COVER},
           a.alarm_percentage
    FROM ledger_account a
    JOIN participants_participant p ON p.id = a.participant_id AND p.is_active AND NOT p.is_hub
    JOIN ledger_account s ON {position_limit.S_COVERS_A}
    WHERE a.type = 'POSITION' AND a.is_active AND a.net_debit_cap IS NOT NULL
    ORDER BY p.name, a.currency
"""  # noqa: S608 (the rule's own words)


@dataclass(frozen=True, slots=True)
class Use:
    """A participant's limit in one currency, and the used amount of this limit. Both amounts are in ten-thousandths.
    Reserved amounts count as used."""

    account_id: int
    participant: str
    currency: str
    used: int
    limit: int
    alarm_percentage: int

    @property
    def percent(self) -> int:
        return percent_of(self.used, self.limit)

    @property
    def is_due(self) -> bool:
        return is_due(self.used, self.limit, self.alarm_percentage)

    @property
    def is_over(self) -> bool:
        return not is_due(self.used, self.limit, self.alarm_percentage + _CALM)


def percent_of(used: int, limit: int) -> int:
    """Returns the used percentage of the limit.

    The percentage can exceed 100 if the limit was lowered below the used amount.
    """
    if used <= 0:
        return 0
    return used * 100 // limit if limit > 0 else 100


def is_due(used: int, limit: int, alarm_percentage: int) -> bool:
    """Returns whether at most `alarm_percentage` of the limit is free.

    A position of zero or less causes no alarm.
    """
    return used > 0 and (limit - used) * 100 <= alarm_percentage * limit


def uses() -> list[Use]:
    """Returns the used part of each active participant's limits, in the order of names and currencies. The function
    runs only one SQL statement."""
    # Sums are numeric, because a single sum beyond 64 bits would otherwise make the whole statement fail.
    return [
        Use(account_id, participant, currency, int(used), position_limit.limit_of(cap, int(cover)), alarm_percentage)
        for account_id, participant, currency, used, cap, cover, alarm_percentage in execute(_USES)
    ]


def watch() -> None:
    """Logs each position that is near its limit now, but was not near its limit at the last check.

    Also logs each position that was near its limit, but is now clearly below the limit.
    """
    now = uses()
    said = cache.get_many([_key(use) for use in now])

    def look(use: Use) -> None:
        # Two checks can run at the same time. A check logs the alarm only if the check's `cache.add` succeeds.
        if use.is_due and _key(use) not in said and cache.add(_key(use), use.percent, timeout=None):
            log.warning("position_near_limit", **_facts(use))
        elif use.is_over and _key(use) in said and cache.delete(_key(use)):
            log.info("position_well_below_limit", **_facts(use))

    isolating_batches.one_by_one("position-alarms", {str(use.account_id): use for use in now}, look)


def show() -> Iterable[Metric]:
    """Returns the used part of each limit as Prometheus metrics."""
    whose = ["participant", "currency"]
    used = GaugeMetricFamily("kitovu_position_used_percent", "The part of the limit that a position uses", labels=whose)
    near = GaugeMetricFamily(
        "kitovu_position_near_limit", "1 if the free part of the limit is at most the alarm percentage", labels=whose
    )
    for use in uses():
        used.add_metric([use.participant, use.currency], use.percent)
        near.add_metric([use.participant, use.currency], use.is_due)
    return [used, near]


def _key(use: Use) -> str:
    return f"position-alarm:{use.account_id}"


def _facts(use: Use) -> dict[str, object]:
    return {
        "participant": use.participant,
        "currency": use.currency,
        "used_percent": use.percent,
        "alarm_percentage": use.alarm_percentage,
    }
