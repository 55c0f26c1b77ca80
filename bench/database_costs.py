"""Reads PostgreSQL's counters of SQL statements, database transactions and write-ahead log before and after a run."""

from dataclasses import dataclass, fields
from typing import Any

import psycopg

_COUNTERS = """
    SELECT (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),
           (SELECT wal_bytes FROM pg_stat_wal)::bigint,
           (SELECT coalesce(sum(fsyncs), 0) FROM pg_stat_io WHERE object = 'wal')::bigint
"""
# The first column excludes the SQL statements with which PostgreSQL checks foreign keys; the second column counts only
# these statements. Neither column counts the statements of this module.
_STATEMENTS = """
    SELECT coalesce(sum(calls) FILTER (WHERE query NOT LIKE 'SELECT 1 FROM ONLY %'), 0)::bigint,
           coalesce(sum(calls) FILTER (WHERE query LIKE 'SELECT 1 FROM ONLY %'), 0)::bigint
    FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat%'
"""
_DEAREST = """
    SELECT calls, rows, round(total_exec_time::numeric, 1)::float8, round(wal_bytes / 1024)::bigint,
           left(regexp_replace(query, '\\s+', ' ', 'g'), 120)
    FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat%' ORDER BY total_exec_time DESC LIMIT 20
"""


@dataclass(frozen=True)
class Counters:
    """PostgreSQL's counters, counted since the counters were last reset."""

    transactions: int
    wal_bytes: int
    wal_syncs: int
    statements: int | None  # None without pg_stat_statements
    foreign_key_checks: int | None

    def since(self, before: "Counters") -> dict[str, int]:
        """Subtracts earlier counters from these counters."""
        found = {}
        for each in fields(self):
            now, then = getattr(self, each.name), getattr(before, each.name)
            if now is not None and then is not None:
                found[each.name] = now - then
        return found


# Whoever locks a profile's row, the gate or the tick that adds payments, changes the row once.
_LOCKED = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'rules_profiles_profile'"
_HITS = "SELECT count(*) FROM rules_rulesets_decision WHERE hits <> '[]' AND gate = 'transfer'"


@dataclass(frozen=True)
class RuleWork:
    """The database work that the rules caused during the measurement."""

    rows_locked: int  # rows of profiles
    payments_hit: int  # transfers for which at least one rule fired

    def since(self, before: "RuleWork") -> "RuleWork":
        """Subtracts the work before the measurement."""
        return RuleWork(self.rows_locked - before.rows_locked, self.payments_hit - before.payments_hit)


class Database:
    """The bench's own connection to the database. The bench sends only a few SQL statements over this connection."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        row = self._connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'")
        preloaded = self._connection.execute("SHOW shared_preload_libraries").fetchone()
        self._has_statements = bool(row.fetchone()) and preloaded is not None and "pg_stat_statements" in preloaded[0]
        if self._has_statements:
            self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    def settings(self) -> dict[str, str]:
        """Returns the database settings that affect the figures."""
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
        rows = self._connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(names)])
        return dict(rows.fetchall())

    def counters(self) -> Counters:
        """Returns the present totals."""
        row = self._connection.execute(_COUNTERS).fetchone()
        assert row is not None
        statements = self._connection.execute(_STATEMENTS).fetchone() if self._has_statements else None
        return Counters(row[0], row[1], row[2], *(statements or (None, None)))

    def forget_statements(self) -> None:
        """Resets PostgreSQL's statistics of SQL statements."""
        if self._has_statements:
            self._connection.execute("SELECT pg_stat_statements_reset()")

    def dearest(self) -> list[dict[str, Any]]:
        """Returns the SQL statements that have taken the most time since `forget_statements` was called."""
        if not self._has_statements:
            return []
        names = ("calls", "rows", "ms", "wal_kb", "statement")
        return [dict(zip(names, row, strict=True)) for row in self._connection.execute(_DEAREST)]

    def rule_work(self) -> RuleWork:
        """Returns the database work that the rules have caused up to now."""
        locked = self._connection.execute(_LOCKED).fetchone()
        hit = self._connection.execute(_HITS).fetchone()
        assert locked is not None
        assert hit is not None
        return RuleWork(locked[0], hit[0])

    def close(self) -> None:
        self._connection.close()
