"""The SQL statements that every lookup runs, and those for many registrations at once."""

from collections.abc import Sequence

from directory.aliases import Alias, Registration
from directory.models import Oracle
from hub import outbox
from hub.database import execute
from hub.outbox.messages import Outgoing

_ALIASES = "unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS a (type, identifier, sub_id, currency)"

# Sorted, because two batches with the same aliases in different orders could wait for each other.
_REGISTER = f"""
    INSERT INTO directory_partyidentifier (type, identifier, sub_id, currency, fsp_id)
    SELECT DISTINCT a.type, a.identifier, a.sub_id, a.currency, %s::bigint FROM {_ALIASES}
    WHERE NOT EXISTS (SELECT FROM directory_partyidentifier p
                      WHERE (p.type, p.identifier, p.sub_id, p.currency) = (a.type, a.identifier, a.sub_id, '')
                        AND p.fsp_id <> %s::bigint)
    ORDER BY a.type, a.identifier, a.sub_id, a.currency
    ON CONFLICT ON CONSTRAINT an_alias_belongs_to_one_dfsp_per_currency DO NOTHING
"""  # noqa: S608 (the statement is put together from constants)
_HELD_BY_OTHERS = f"""
    SELECT a.type, a.identifier, a.sub_id, a.currency FROM {_ALIASES}
    WHERE NOT EXISTS (SELECT FROM directory_partyidentifier p
                      WHERE (p.type, p.identifier, p.sub_id, p.currency)
                          = (a.type, a.identifier, a.sub_id, a.currency)
                        AND p.fsp_id = %s::bigint)
"""  # noqa: S608


def register(aliases: Sequence[Alias], *, fsp_id: int) -> None:
    """Adds the aliases that have no registration yet for their currency or for all currencies, by one statement."""
    execute(_REGISTER, [fsp_id, *_columns(aliases), fsp_id])


def held_by_others(aliases: Sequence[Alias], *, fsp_id: int) -> set[tuple[str, str, str, str]]:
    """Returns the aliases that another participant holds after `register`, as (type, key, sub-id, currency)."""
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

    A registration fits if it is for the alias's currency or for all currencies. Every one fits an alias without a
    currency.
    """
    parameters = [alias.type, alias.key, alias.sub_key, alias.currency, alias.currency]
    return [Registration(*row) for row in execute(_FOUND, parameters)]


_ORACLE = ("id", "type", "endpoint", "currency", "is_default")
_ORACLES = f"SELECT {', '.join(_ORACLE)} FROM directory_oracle WHERE type = %s ORDER BY id"  # noqa: S608 (a constant)


def oracles(alias_type: str) -> list[Oracle]:
    """Returns the registered oracles of a type, in the order in which they were added."""
    return [Oracle.from_db("default", _ORACLE, row) for row in execute(_ORACLES, [alias_type])]


# One statement writes both with the same time, because the sweep compares the times of the lookup and of its message.
_ASK = """
    changed AS (
        INSERT INTO directory_partylookup (requester_id, owner_id, subject, error_path, version, asked_at, answer_by)
        VALUES (%s, %s, %s, %s, %s, statement_timestamp(), statement_timestamp() + make_interval(secs => %s))
        ON CONFLICT ON CONSTRAINT one_lookup_waits_for_an_answer DO UPDATE
        SET error_path = excluded.error_path, version = excluded.version, asked_at = excluded.asked_at,
            answer_by = excluded.answer_by, ended_at = NULL, answers = 0
        RETURNING subject
    )"""


def ask(question: Outgoing, *, version: str, wait_s: int) -> None:
    """Adds a lookup and its message by one statement. A repeated lookup waits again."""
    parameters = [
        question.reply_to_id,
        question.destination_id,
        question.subject,
        question.error_path,
        version,
        wait_s,
    ]
    outbox.append_about(_ASK, parameters, [question])


# After its end, a lookup accepts late and repeated answers from the same DFSP. It does not if the requester has looked
# up the alias at another DFSP since. A sender's retries repeat an answer fewer than ten times, and ten answers fit into
# the requester's queue.
_ANSWER = """
    changed AS (
        UPDATE directory_partylookup l
        SET ended_at = coalesce(l.ended_at, statement_timestamp()), answers = l.answers + 1
        WHERE l.requester_id = %s AND l.subject = %s AND l.owner_id = %s AND l.answers < 10
          AND (l.ended_at IS NULL
               OR (l.ended_at > statement_timestamp() - make_interval(secs => %s)
                   AND NOT EXISTS (SELECT FROM directory_partylookup later
                                   WHERE later.requester_id = l.requester_id AND later.subject = l.subject
                                     AND later.owner_id <> l.owner_id AND later.asked_at > l.asked_at)))
        RETURNING l.subject
    )"""


def answer(reply: Outgoing, *, answerer_id: int, keep_s: int) -> bool:
    """Adds a reply and ends its lookup, by one statement. Returns False where there is no such lookup.

    The lookup must be from the reply's destination to this participant. It must wait for an answer, or have ended in
    the last `keep_s` seconds.
    """
    parameters = [reply.destination_id, reply.subject, answerer_id, keep_s]
    return bool(outbox.append_about(_ANSWER, parameters, [reply]))
