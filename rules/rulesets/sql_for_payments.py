"""The SQL statements that the hub runs for payments, on the tables of versions and decisions."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import OperationalError
from psycopg.errors import LockNotAvailable

from fspiop.errors import ErrorCode, FspiopError
from hub.sql_execution import execute


@dataclass(frozen=True, slots=True)
class Active:
    """The version that is active at a moment, the latest exception, and whether any version was ever active.

    `expected` are the versions that can be active soon: the newest version, and the versions of the latest activations.
    """

    version: int | None
    variances: int
    was_ever: bool
    now: datetime
    is_any_switch_on: bool
    expected: Sequence[int]


# One SQL statement calls the SQL function. This function acquires the lock, and then reads. A migration defines the
# function.
_ACTIVE = "SELECT version, variances, was_ever, now, is_any_switch_on, expected FROM rules_active()"


def active() -> Active:
    """Returns the active version. Blocks activations until the end of the database transaction."""
    row = execute(_ACTIVE).fetchone()
    assert row is not None
    return Active(*row)


_EXCLUDE = "SELECT pg_advisory_xact_lock(%s)"


def exclude_groups() -> None:
    """Waits until the groups that have already read the active version have ended. Makes each later group wait until
    this database transaction ends.

    If a group holds the lock for longer than the time limit of an SQL statement, raises FspiopError 2005. After error
    2005, the caller must end the database transaction.
    """
    try:
        execute(_EXCLUDE, [RULES_LOCK])
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise FspiopError(ErrorCode.SERVER_BUSY, "a group of payments is taking too long; try again") from None


RULES_LOCK = 0x4B49_0003
"""Groups hold this advisory lock in shared mode. Changes of the active rules hold this lock in exclusive mode."""

_CONTENT = "SELECT content::text FROM rules_rulesets_rulesetversion WHERE number = %s"


def content(version: int) -> bytes:
    """Returns the JSON of a version."""
    row = execute(_CONTENT, [version]).fetchone()
    assert row is not None, f"there is no version {version} of the rules"
    return str(row[0]).encode()


_VARIANCES = """
    SELECT DISTINCT ON (rule, dfsp) rule, dfsp, until FROM rules_rulesets_variance
    WHERE id <= %s ORDER BY rule, dfsp, id DESC
"""


def variances(revision: int) -> dict[str, dict[str, datetime]]:
    """Returns the exceptions: for each rule, the exempt DFSPs and the end of each exception.

    Reads only exceptions whose ids are at most `revision`.
    """
    found: dict[str, dict[str, datetime]] = {}
    for rule, dfsp, until in execute(_VARIANCES, [revision]):
        found.setdefault(rule, {})[dfsp] = until
    return found


# Any DFSP can send any number of requests with one id. So the statement reads only one row, of the payer DFSP, by an
# index that has only refused quotes.
_REFUSED = """
    SELECT n.payer_dfsp, n.quote_id, d.code, d.facts
    FROM unnest(%s::text[], %s::text[]) AS n (payer_dfsp, quote_id)
    CROSS JOIN LATERAL (
        SELECT d.code, d.facts FROM rules_rulesets_decision d
        WHERE d.subject = n.quote_id AND d.payer_dfsp = n.payer_dfsp
          AND d.gate = 'quote' AND d.outcome = 'REFUSE' AND d.facts IS NOT NULL
        ORDER BY d.id DESC LIMIT 1
    ) d
"""


def refused_quotes(named: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, bytes]]:
    """For each payer DFSP and quote id whose quote the rules refused, returns the error code and the facts."""
    columns = [[payer for payer, _ in named], [quote_id for _, quote_id in named]]
    return {(payer, quote_id): (code, bytes(facts)) for payer, quote_id, code, facts in execute(_REFUSED, columns)}


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A row of `rules.rulesets.models.Decision`."""

    gate: str
    subject: str
    version: int | None
    outcome: str
    code: str | None
    hits: Any  # JSON
    is_sampled: bool
    facts_digest: bytes
    facts: bytes | None
    payer_dfsp: str
    payee_dfsp: str
    payer_key: int | None
    payee_key: int | None
    currency: str | None
    amount: int | None
    at: datetime


_ADD_DECISIONS = """
    INSERT INTO rules_rulesets_decision (
        gate, subject, version_id, outcome, code, hits, is_sampled, facts_digest, facts, payer_dfsp, payee_dfsp,
        payer_key, payee_key, currency, amount, at)
    SELECT gate, subject, version, outcome, code, hits::jsonb, is_sampled, facts_digest, facts, payer_dfsp, payee_dfsp,
           payer_key, payee_key, currency, amount, at
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::boolean[], %s::bytea[],
                %s::bytea[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[],
                %s::timestamptz[])
         AS d (gate, subject, version, outcome, code, hits, is_sampled, facts_digest, facts, payer_dfsp, payee_dfsp,
               payer_key, payee_key, currency, amount, at)
"""


def add_decisions(rows: Sequence[DecisionRow]) -> None:
    """Stores these decisions by one SQL statement."""
    columns: list[list[Any]] = [
        [row.gate for row in rows],
        [row.subject for row in rows],
        [row.version for row in rows],
        [row.outcome for row in rows],
        [row.code for row in rows],
        [json.dumps(row.hits) for row in rows],  # a sum can be too large for 64 bits
        [row.is_sampled for row in rows],
        [row.facts_digest for row in rows],
        [row.facts for row in rows],
        [row.payer_dfsp for row in rows],
        [row.payee_dfsp for row in rows],
        [row.payer_key for row in rows],
        [row.payee_key for row in rows],
        [row.currency for row in rows],
        [row.amount for row in rows],
        [row.at for row in rows],
    ]
    execute(_ADD_DECISIONS, columns)
