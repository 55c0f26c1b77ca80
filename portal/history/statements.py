# ruff: noqa: S608 (the statements consist of constants only)
"""The SQL of the history: how the hub counts the rows of each source, and how it adds up the counted rows."""

from dataclasses import dataclass

ALL, NOBODY = 0, -1
PAYER, PAYEE, USE_CASE = 1, 2, 4
UNKNOWN = "?"  # the use case of a payment without a quote
BUCKETS_PER_DOUBLING = 4
LAST_BUCKET = 127

_DURATION = f"""
    least({LAST_BUCKET}, floor({BUCKETS_PER_DOUBLING} * ln(greatest(1, 1000 * extract(epoch FROM {{}}))) / ln(2)))::int
"""


@dataclass(frozen=True, slots=True)
class Source:
    """A table whose rows the history counts. `facts` is the SQL that reads a slice of ended rows."""

    name: str
    table: str
    key: str
    arrived: str
    live: str  # the state of a row that has not ended
    facts: str


# The index quote_by_terms finds the quote of a transfer. A payee DFSP can use the same ILP condition for many quotes,
# so the SQL reads only one quote.
TRANSFERS = Source(
    name="transfer",
    table="ledger_transfer",
    key="transfer_id",
    arrived="received_at",
    live="RESERVED",
    facts=f"""
        SELECT date_trunc('hour', s.received_at, %(zone)s) AS at, s.payer_id,
               CASE WHEN h.transfer_id IS NULL THEN coalesce(s.payee_id, {NOBODY}) ELSE {NOBODY} END AS payee_id,
               coalesce(q.use_case, '{UNKNOWN}') AS use_case, s.currency,
               CASE s.state WHEN 'COMMITTED' THEN {_DURATION.format("s.completed_at - s.received_at")} END AS bucket,
               CASE s.state WHEN 'ABORTED' THEN s.error_code END AS reason,
               count(*) AS n, coalesce(sum(s.amount) FILTER (WHERE s.state = 'COMMITTED'), 0) AS value
        FROM slice s
        LEFT JOIN ledger_heldtransfer h ON h.transfer_id = s.transfer_id AND h.state <> 'RELEASED'
        LEFT JOIN LATERAL (
            SELECT portal_use_case(q.request) AS use_case FROM quotes_quote q
            WHERE q.payer_id = s.payer_id AND q.condition = s.condition AND q.packet_sha256 IS NOT NULL LIMIT 1
        ) q ON true
        GROUP BY 1, 2, 3, 4, 5, 6, 7
    """,
)
# A payer can refuse terms that the payee has given. In this case, the state of the quote is REJECTED, although the
# payee has answered.
QUOTES = Source(
    name="quote",
    table="quotes_quote",
    key="quote_id",
    arrived="created_at",
    live="PENDING",
    facts=f"""
        SELECT date_trunc('hour', s.created_at, %(zone)s) AS at, s.payer_id, s.payee_id,
               coalesce(portal_use_case(s.request), '{UNKNOWN}') AS use_case,
               coalesce(s.transfer_currency, '') AS currency,
               CASE WHEN s.is_answered THEN {_DURATION.format("s.answered_at - s.created_at")} END AS bucket,
               CASE WHEN NOT s.is_answered THEN s.state END AS reason, count(*) AS n, 0::numeric AS value
        FROM (SELECT *, state = 'ACCEPTED' OR (state = 'REJECTED' AND condition IS NOT NULL) AS is_answered
              FROM slice) s
        GROUP BY 1, 2, 3, 4, 5, 6, 7
    """,
)
TABLES = (TRANSFERS, QUOTES)
LOOKUP = "lookup"

_LOOKUP_FACTS = f"""
    SELECT date_trunc('hour', s.asked_at, %(zone)s) AS at, s.requester_id AS payer_id, s.owner_id AS payee_id,
           '{UNKNOWN}'::text AS use_case, '' AS currency,
           CASE WHEN s.is_answered THEN {_DURATION.format("s.ended_at - s.asked_at")} END AS bucket,
           CASE WHEN NOT s.is_answered THEN 'EXPIRED' END AS reason, count(*) AS n, 0::numeric AS value
    FROM slice s GROUP BY 1, 2, 3, 4, 5, 6, 7
"""

# GROUPING returns a number with one bit for each column. A bit is 1 if the row is a sum over all values of its column.
_ROWS = f"""
    counted AS (
        SELECT g.grain, date_trunc(g.grain, f.at, %(zone)s) AS at,
               7 - GROUPING(f.use_case, f.payee_id, f.payer_id) AS scope,
               coalesce(f.payer_id, {ALL}) AS payer_id, coalesce(f.payee_id, {ALL}) AS payee_id,
               coalesce(f.use_case, '') AS use_case, f.currency, f.bucket, f.reason,
               sum(f.n) AS n, sum(f.value) AS value
        FROM facts f CROSS JOIN (VALUES ('hour'), ('day'), ('week'), ('month')) AS g (grain)
        GROUP BY g.grain, 2, f.currency, f.bucket, f.reason, CUBE (f.use_case, f.payee_id, f.payer_id)),
    sums AS (
        SELECT grain, scope, at, payer_id, payee_id, use_case, currency, sum(n) AS ended,
               coalesce(sum(n) FILTER (WHERE reason IS NULL), 0) AS succeeded, sum(value) AS value,
               coalesce(jsonb_object_agg(bucket, n) FILTER (WHERE reason IS NULL), '{{}}') AS durations,
               coalesce(jsonb_object_agg(reason, n) FILTER (WHERE reason IS NOT NULL), '{{}}') AS reasons
        FROM counted GROUP BY 1, 2, 3, 4, 5, 6, 7)
"""
_KEY = "source, grain, scope, at, payer_id, payee_id, use_case, currency"
COLUMNS = f"{_KEY}, ended, succeeded, value, durations, reasons"


def _add(table: str) -> str:
    return f"""
        INSERT INTO {table} AS h ({COLUMNS})
        SELECT %(source)s, grain, scope, at, payer_id, payee_id, use_case, currency, ended, succeeded, value, durations,
               reasons
        FROM sums
        ON CONFLICT ({_KEY}) DO UPDATE
        SET ended = h.ended + excluded.ended, succeeded = h.succeeded + excluded.succeeded,
            value = h.value + excluded.value, durations = portal_counts_added(h.durations, excluded.durations),
            reasons = portal_counts_added(h.reasons, excluded.reasons)
    """


END_OF_SLICE = """
    SELECT coalesce(
        (SELECT {0.arrived} FROM {0.table} WHERE {0.arrived} > %(since)s AND {0.arrived} < %(horizon)s
         ORDER BY {0.arrived} OFFSET %(most)s - 1 LIMIT 1),
        (SELECT max({0.arrived}) FROM {0.table} WHERE {0.arrived} > %(since)s AND {0.arrived} < %(horizon)s))
"""


def count_slice(source: Source) -> str:
    """Returns the SQL that counts the rows which arrived after %(since)s, up to %(end)s.

    The rows that have not ended go to `HistoryOpen`.
    """
    return f"""
        WITH arrived AS (SELECT * FROM {source.table}
                         WHERE {source.arrived} > %(since)s AND {source.arrived} <= %(end)s),
        waiting AS (INSERT INTO portal_historyopen (source, row_id)
                    SELECT %(source)s, {source.key} FROM arrived WHERE state = '{source.live}'),
        slice AS (SELECT * FROM arrived WHERE state <> '{source.live}'),
        facts AS ({source.facts}), {_ROWS} {_add("portal_historyrow")}
    """


LOOKED_AT = """
    SELECT max(row_id), count(*)
    FROM (SELECT row_id FROM portal_historyopen WHERE source = %(source)s AND row_id > %(after)s
          ORDER BY row_id LIMIT %(most)s) looked_at
"""


def count_ended(source: Source) -> str:
    """Returns the SQL that counts the ended rows of `HistoryOpen` with ids between two given ids."""
    return f"""
        WITH slice AS (SELECT t.* FROM portal_historyopen o JOIN {source.table} t ON t.{source.key} = o.row_id
                       WHERE o.source = %(source)s AND o.row_id > %(after)s AND o.row_id <= %(last)s
                         AND t.state <> '{source.live}'),
        counted_now AS (DELETE FROM portal_historyopen o USING slice s
                        WHERE o.source = %(source)s AND o.row_id = s.{source.key}),
        facts AS ({source.facts}), {_ROWS} {_add("portal_historyrow")}
    """


COUNT_LOOKUPS = f"""
    WITH slice AS (DELETE FROM directory_endedlookup
                   WHERE id IN (SELECT id FROM directory_endedlookup ORDER BY id LIMIT %(most)s) RETURNING *),
    facts AS ({_LOOKUP_FACTS}), {_ROWS} {_add("portal_historyrow")}
"""

RECOMPUTED = "history_recomputed"
MAKE_RECOMPUTED = (
    f"DROP TABLE IF EXISTS {RECOMPUTED}",
    f"CREATE TEMPORARY TABLE {RECOMPUTED} ON COMMIT DROP AS SELECT {COLUMNS} FROM portal_historyrow LIMIT 0",
    f"CREATE UNIQUE INDEX ON {RECOMPUTED} ({_KEY})",
)


def recompute_slice(source: Source) -> str:
    """Returns the SQL that counts a slice again. The SQL leaves out the rows that still wait in `HistoryOpen`."""
    return f"""
        WITH slice AS (SELECT * FROM {source.table} t
                       WHERE {source.arrived} > %(since)s AND {source.arrived} <= %(end)s AND state <> '{source.live}'
                         AND NOT EXISTS (SELECT FROM portal_historyopen o
                                         WHERE o.source = %(source)s AND o.row_id = t.{source.key})),
        facts AS ({source.facts}), {_ROWS} {_add(RECOMPUTED)}
    """


# Lookups have no other record, so the stored hours are the source for days, weeks and months of lookups.
RECOMPUTE_LOOKUPS = f"""
    WITH hours AS (SELECT * FROM portal_historyrow
                   WHERE source = %(source)s AND grain = 'hour' AND scope = {PAYER + PAYEE + USE_CASE}),
    facts AS (
        SELECT at, payer_id, payee_id, use_case, currency, key::int AS bucket, NULL::text AS reason,
               (d.value)::bigint AS n, 0::numeric AS value
        FROM hours CROSS JOIN LATERAL jsonb_each_text(durations) d
        UNION ALL
        SELECT at, payer_id, payee_id, use_case, currency, NULL, key, (r.value)::bigint, 0::numeric
        FROM hours CROSS JOIN LATERAL jsonb_each_text(reasons) r),
    {_ROWS} {_add(RECOMPUTED)}
"""

# If a payer refuses a quote's terms, the time of the refusal replaces the time of the payee's answer. So for quotes,
# the statement compares only the number of durations. The statement compares use cases only in periods for which the
# hub still stores the texts of all quotes.
_COMPARED = f"""
    SELECT {_KEY}, ended, succeeded, value, reasons,
           CASE source WHEN 'quote' THEN to_jsonb(succeeded) ELSE durations END AS durations
    FROM {{}} WHERE source = %(source)s AND (scope < {USE_CASE} OR at >= %(known_since)s)
"""
DIFFERENCES = f"""
    SELECT {_KEY}, a.ended, b.ended, a.value, b.value
    FROM ({_COMPARED.format("portal_historyrow")}) a FULL JOIN ({_COMPARED.format(RECOMPUTED)}) b USING ({_KEY})
    WHERE (a.ended, a.succeeded, a.value, a.reasons, a.durations)
        IS DISTINCT FROM (b.ended, b.succeeded, b.value, b.reasons, b.durations)
    ORDER BY at DESC LIMIT %(most)s
"""
FORGET = "DELETE FROM portal_historyrow WHERE source = %(source)s"
REPLACE = f"INSERT INTO portal_historyrow ({COLUMNS}) SELECT {COLUMNS} FROM {RECOMPUTED}"
