"""The SQL statements that every lookup needs, and the SQL statements that read or write many registrations at a
time."""

from collections.abc import Collection, Sequence
from typing import Any

from directory.aliases import Alias, Registration
from directory.lookup_commands import LookupKey, RegisteredOracle
from directory.models import Oracle
from hub.outbox.messages import Outgoing
from hub.participants.participant_checks import Party
from hub.sql_execution import execute

_ALIASES = "unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS a (type, identifier, sub_id, currency)"

# The aliases are sorted, because two batches could wait for each other if they contained the same aliases in different
# orders.
_REGISTER = f"""
    INSERT INTO directory_partyidentifier (type, identifier, sub_id, currency, fsp_id)
    SELECT DISTINCT a.type, a.identifier, a.sub_id, a.currency, %s::bigint FROM {_ALIASES}
    WHERE NOT EXISTS (SELECT FROM directory_partyidentifier p
                      WHERE (p.type, p.identifier, p.sub_id, p.currency) = (a.type, a.identifier, a.sub_id, '')
                        AND p.fsp_id <> %s::bigint)
    ORDER BY a.type, a.identifier, a.sub_id, a.currency
    ON CONFLICT ON CONSTRAINT an_alias_belongs_to_one_dfsp_per_currency DO NOTHING
"""  # noqa: S608 (the statement is put together from constants)
# With the condition `p.fsp_id = %s`, PostgreSQL could read all aliases of the DFSP by the index on `fsp_id`.
_HELD_BY_OTHERS = f"""
    SELECT a.type, a.identifier, a.sub_id, a.currency FROM {_ALIASES}
    LEFT JOIN directory_partyidentifier p
           ON (p.type, p.identifier, p.sub_id, p.currency) = (a.type, a.identifier, a.sub_id, a.currency)
    WHERE p.fsp_id IS DISTINCT FROM %s::bigint
"""  # noqa: S608


def register(aliases: Sequence[Alias], *, fsp_id: int) -> None:
    """Adds aliases with one SQL statement. Leaves out an alias that is already registered for its currency or for all
    currencies."""
    execute(_REGISTER, [fsp_id, *_columns(aliases), fsp_id])


def held_by_others(aliases: Sequence[Alias], *, fsp_id: int) -> set[tuple[str, str, str, str]]:
    """Call this function after `register`. Returns the aliases that another participant has registered, as (type, key,
    sub-id, currency)."""
    return {tuple(row) for row in execute(_HELD_BY_OTHERS, [*_columns(aliases), fsp_id]).fetchall()}


def _columns(aliases: Sequence[Alias]) -> list[list[str]]:
    return [
        [alias.type for alias in aliases],
        [alias.key for alias in aliases],
        [alias.sub_key for alias in aliases],
        [alias.currency for alias in aliases],
    ]


_FOUND = """
    SELECT fsp.name, p.currency, p.sub_id
    FROM directory_partyidentifier p JOIN participants_participant fsp ON fsp.id = p.fsp_id
    WHERE p.type = %s AND p.identifier = %s AND p.sub_id = %s AND (%s = '' OR p.currency IN ('', %s))
    ORDER BY p.id
"""


def registrations(alias: Alias) -> list[Registration]:
    """Returns the registrations of this alias, the oldest first.

    A registration fits an alias if the registration has the alias's currency or no currency. Every registration fits an
    alias without a currency.
    """
    parameters = [alias.type, alias.key, alias.sub_key, alias.currency, alias.currency]
    return [Registration(*row) for row in execute(_FOUND, parameters)]


_ORACLE = ("id", "type", "endpoint", "currency", "is_default")
_ORACLES = f"SELECT {', '.join(_ORACLE)} FROM directory_oracle WHERE type = %s ORDER BY id"  # noqa: S608 (a constant)


def oracles(alias_type: str) -> list[Oracle]:
    """Returns the registered oracles of a type, in the order in which they were added."""
    return [Oracle.from_db("default", _ORACLE, row) for row in execute(_ORACLES, [alias_type])]


# --- lookups: each statement takes any number of lookups
# ----------------------------------------------------------------

_ORACLES_OF = "SELECT type, currency, is_default FROM directory_oracle WHERE type = ANY(%s::text[])"


def oracles_of(alias_types: Collection[str]) -> dict[str, list[RegisteredOracle]]:
    """Returns the registered oracles of these types, by type."""
    found: dict[str, list[RegisteredOracle]] = {}
    for alias_type, currency, is_default in execute(_ORACLES_OF, [sorted(alias_types)]):
        found.setdefault(alias_type, []).append(RegisteredOracle(currency, is_default))
    return found


# OFFSET 0 prevents a plan in which PostgreSQL begins with the DFSPs and reads all registrations of each DFSP.
_REGISTERED = """
    SELECT a.number, p.id, p.currency, p.sub_id, fsp.id, fsp.name, fsp.may_send, fsp.may_receive,
           fsp.is_active AND NOT fsp.is_hub, fsp.tested_by_id
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
         WITH ORDINALITY AS a (type, identifier, sub_id, currency, number)
    CROSS JOIN LATERAL (
        SELECT r.id, r.fsp_id, r.currency, r.sub_id FROM directory_partyidentifier r
        WHERE r.type = a.type AND r.identifier = a.identifier AND r.sub_id = a.sub_id
          AND (a.currency = '' OR r.currency IN ('', a.currency))
        OFFSET 0
    ) p
    JOIN participants_participant fsp ON fsp.id = p.fsp_id
"""


def registered(aliases: Collection[Alias]) -> tuple[dict[Alias, list[Registration]], dict[str, Party]]:
    """Returns the registrations of these aliases, the oldest first. Also returns the active participants that have
    these registrations."""
    asked = list(aliases)
    found: dict[Alias, list[Registration]] = {}
    owners: dict[str, Party] = {}
    rows = sorted(tuple(row) for row in execute(_REGISTERED, _columns(asked)))
    for number, _, currency, sub_id, fsp_id, name, may_send, may_receive, is_active, tested_by in rows:
        found.setdefault(asked[number - 1], []).append(Registration(name, currency, sub_id))
        if is_active:
            owners[name] = Party(fsp_id, name, may_send, may_receive, (), tested_by)
    return found, owners


# A later SQL statement of this database transaction adds the lookups' messages. The periodic task assumes: if a message
# is older than a lookup, the message belongs to an earlier lookup.
_ASK = """
    INSERT INTO directory_partylookup (requester_id, owner_id, subject, error_path, version, asked_at, answer_by)
    SELECT a.requester, a.owner, a.subject, a.error_path, a.version, statement_timestamp(),
           statement_timestamp() + make_interval(secs => %s)
    FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[])
         AS a (requester, owner, subject, error_path, version)
    ON CONFLICT ON CONSTRAINT one_lookup_waits_for_an_answer DO UPDATE
    SET error_path = excluded.error_path, version = excluded.version, asked_at = excluded.asked_at,
        answer_by = excluded.answer_by, ended_at = NULL, answers = 0
"""


def ask(lookups: Sequence[tuple[Outgoing, str]], *, wait_s: int) -> None:
    """Adds these lookups. Each lookup is a pair: the forwarded request, and the API version of the answer.

    If a requester repeats a lookup, the waiting time begins again.

    Two database transactions cannot deadlock, because each of them adds the rows in the order of the keys.
    """
    ordered = sorted(lookups, key=lambda each: (each[0].subject, each[0].reply_to_id, each[0].destination_id))
    columns: list[list[Any]] = [
        [message.reply_to_id for message, _ in ordered],
        [message.destination_id for message, _ in ordered],
        [message.subject for message, _ in ordered],
        [message.error_path for message, _ in ordered],
        [version for _, version in ordered],
    ]
    execute(_ASK, [wait_s, *columns])


# After a lookup's end, the hub still accepts late and repeated answers from the same DFSP. If the requester has looked
# up the alias at another DFSP meanwhile, the hub accepts no late answer. A DFSP sends the same answer fewer than ten
# times, even if the DFSP retries. The requester's queue has room for ten answers.
_END = """
    UPDATE directory_partylookup l
    SET ended_at = coalesce(l.ended_at, statement_timestamp()), answers = l.answers + 1
    FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS a (requester, subject, owner)
    WHERE l.requester_id = a.requester AND l.subject = a.subject AND l.owner_id = a.owner AND l.answers < 10
      AND (l.ended_at IS NULL
           OR (l.ended_at > statement_timestamp() - make_interval(secs => %s)
               AND NOT EXISTS (SELECT FROM directory_partylookup later
                               WHERE later.requester_id = l.requester_id AND later.subject = l.subject
                                 AND later.owner_id <> l.owner_id AND later.asked_at > l.asked_at)))
    RETURNING l.requester_id, l.subject, l.owner_id
"""


def end(answered: Collection[LookupKey], *, keep_s: int) -> set[LookupKey]:
    """Ends these lookups. Returns the lookups for which the hub still accepts an answer. These lookups wait for an
    answer, or ended in the last `keep_s` seconds.
    """
    ordered = sorted(answered, key=lambda each: (each[1], each[0], each[2]))
    columns: list[list[Any]] = [[each[number] for each in ordered] for number in range(3)]
    return {(row[0], row[1], row[2]) for row in execute(_END, [*columns, keep_s])}
