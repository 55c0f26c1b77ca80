"""Raises alerts, assigns alerts to people, adds notes, and closes alerts.

`raise_alerts` only inserts rows. Two payments can cause reports about the same party. These payments do not wait for
each other. Within two seconds, a periodic task (`merge`) adds each row to the alert about the row's party.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from fspiop import strictjson
from hub.audit import record
from hub.sql_execution import execute
from hub.sweeps.store import not_skipped
from rules.alerts.models import Alert, Note
from rules.change_refused import NotChanged
from rules.party_keys import dfsp_key

RULE = "RULE"
SKIPPED = "SKIPPED"  # the hub could not make a check, because a fact was missing
NAME_MATCH = "NAME_MATCH"
MARKER = "MARKER"
APPEAL = "APPEAL"

MOST_KEPT = 200
"""The largest number of reports that the hub keeps for one alert. The alert counts all reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A report about a party. If no party is known, the report is about the DFSP in `dfsp`."""

    kind: str
    party: int | None = None
    dfsp: str = ""
    rule: str = ""
    rules_version: int | None = None
    gate: str = ""
    subject: str = ""
    payer_dfsp: str = ""
    payee_dfsp: str = ""
    amount: int | None = None
    currency: str = ""
    details: Mapping[str, Any] | None = None
    caused_by: str = ""
    """The DFSP whose message caused the report. The default is the payer DFSP."""

    @property
    def key(self) -> int:
        return self.party if self.party is not None else dfsp_key(self.dfsp)


_INSERT = """
    INSERT INTO rules_alerts_sightingrow
        (key, dfsp, caused_by, kind, rule, rules_version, gate, subject, payer_dfsp, payee_dfsp, amount, currency,
         details, at)
    SELECT n.*, clock_timestamp() FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::jsonb[]) AS n
"""


def raise_alerts(sightings: Iterable[Sighting]) -> None:
    """Inserts these reports by one SQL statement. If the caller has a database transaction, the SQL statement runs in
    this database transaction."""
    rows = [
        (
            each.key,
            each.dfsp if each.party is None else "",
            each.caused_by or each.payer_dfsp,
            each.kind,
            each.rule[:64],
            each.rules_version,
            each.gate,
            each.subject[:128],
            each.payer_dfsp,
            each.payee_dfsp,
            each.amount,
            each.currency,
            None if each.details is None else _json(each.details),
        )
        for each in sightings
    ]
    if rows:
        execute(_INSERT, [*map(list, zip(*rows, strict=True))])


def _json(details: Mapping[str, Any]) -> str:
    # a sender's text can contain a NUL character, which PostgreSQL cannot store
    return strictjson.canonical(dict(details)).decode().replace("\\u0000", "\ufffd")


# --- the periodic task
# ---------------------------------------------------------------------------------------------------------

BATCH = "alerts"
_WAITING = f"""
    SELECT DISTINCT key FROM rules_alerts_sightingrow r WHERE r.alert_id IS NULL AND {not_skipped(BATCH, "r.key")}
    ORDER BY key LIMIT %s
"""  # noqa: S608 (our own words)
_MOST_OF_A_PARTY = 2_000  # a batch takes at most this number of reports about one party
_TAKEN = """
    SELECT r.id, r.key, r.dfsp, r.caused_by FROM unnest(%s::bigint[]) AS k (key) CROSS JOIN LATERAL (
        SELECT id, key, dfsp, caused_by FROM rules_alerts_sightingrow WHERE alert_id IS NULL AND key = k.key
        ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) r
"""
_MERGE = """
    INSERT INTO rules_alerts_alert AS a
        (key, dfsp, caused_by, state, first_at, last_at, count, kept, outcome, closed_by)
    SELECT key, dfsp, caused_by, 'OPEN', clock_timestamp(), clock_timestamp(), count, 0, '', ''
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[]) AS n (key, dfsp, caused_by, count) ORDER BY key
    ON CONFLICT (key) WHERE state = 'OPEN' DO UPDATE SET count = a.count + EXCLUDED.count, last_at = EXCLUDED.last_at
    RETURNING key, id, kept
"""
_KEEP = """
    WITH kept (id, alert) AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[])),
    counted AS (
        UPDATE rules_alerts_alert a SET kept = a.kept + k.count
        FROM (SELECT alert, count(*) FROM kept GROUP BY alert) k WHERE a.id = k.alert
    )
    UPDATE rules_alerts_sightingrow r SET alert_id = kept.alert FROM kept WHERE r.id = kept.id
"""
_DROP = "DELETE FROM rules_alerts_sightingrow WHERE id = ANY(%s::bigint[])"


def waiting(most: int) -> list[str]:
    """Returns the keys of the parties with new reports. A new report belongs to no alert yet."""
    return [str(key) for (key,) in execute(_WAITING, [most])]


@transaction.atomic
def merge(keys: Collection[str]) -> int:
    """For each of these parties, adds the new reports to the open alert about the party. Returns the number of added
    reports."""
    taken = execute(_TAKEN, [[int(key) for key in keys], _MOST_OF_A_PARTY]).fetchall()
    if not taken:
        return 0
    counts = Counter(key for _id, key, _dfsp, _by in taken)
    first = {key: (dfsp, by) for _id, key, dfsp, by in reversed(taken)}
    dfsps, causes = [first[key][0] for key in counts], [first[key][1] for key in counts]
    merged = execute(_MERGE, [list(counts), dfsps, causes, list(counts.values())]).fetchall()
    alerts = {key: alert for key, alert, _kept in merged}
    room = defaultdict(int, {key: MOST_KEPT - kept for key, _alert, kept in merged})
    kept: list[tuple[int, int]] = []
    dropped: list[tuple[int, int]] = []
    for row_id, key, _dfsp, _by in taken:
        room[key] -= 1
        (kept if room[key] >= 0 else dropped).append((row_id, alerts[key]))
    execute(_KEEP, [[row_id for row_id, _alert in kept], [alert for _row_id, alert in kept]])
    if dropped:
        execute(_DROP, [[row_id for row_id, _alert in dropped]])
    return len(taken)


# --- people -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def assign(alert_id: int, *, to: User | None, actor: str) -> Alert:
    """Assigns an open alert to a person, or removes the assignment."""
    alert = _lock_open(alert_id)
    before = alert.assigned_to.get_username() if alert.assigned_to is not None else None
    alert.assigned_to = to
    alert.save(update_fields=["assigned_to"])
    after = to.get_username() if to is not None else None
    record("alert_assigned", subject=str(alert), actor=actor, before=before, after=after)
    return alert


@transaction.atomic
def add_note(alert_id: int, *, text: str, actor: str) -> Note:
    """Adds a note to an open or closed alert."""
    text = text.strip().replace("\0", "\ufffd")
    if not 0 < len(text) <= 4000:
        raise NotChanged(_("A note must have 1 to 4000 characters."))
    if not Alert.objects.filter(pk=alert_id).exists():
        raise NotChanged(_("This alert does not exist."))
    return Note.objects.create(alert_id=alert_id, author=actor, text=text)


@transaction.atomic
def close(alert_id: int, *, outcome: str, actor: str) -> Alert:
    """Closes an alert and stores its outcome. A later report about the party opens another alert."""
    if outcome not in Alert.Outcome.values:
        raise NotChanged(f"the outcome must be one of {', '.join(Alert.Outcome.values)}")
    alert = _lock_open(alert_id)
    alert.state, alert.outcome, alert.closed_at, alert.closed_by = Alert.State.CLOSED, outcome, Now(), actor
    alert.save(update_fields=["state", "outcome", "closed_at", "closed_by"])
    record("alert_closed", subject=str(alert), actor=actor, after={"outcome": outcome, "sightings": alert.count})
    return alert


def _lock_open(alert_id: int) -> Alert:
    found = Alert.objects.select_for_update(no_key=True, of=("self",)).select_related("assigned_to")
    alert = found.filter(pk=alert_id).first()
    if alert is None:
        raise NotChanged(_("This alert does not exist."))
    if alert.state != Alert.State.OPEN:
        raise NotChanged(_("This alert is closed."))
    return alert
