"""The SQL statements on agreements that every payment runs. All kinds have the same columns, and some of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import orjson

from hub import outbox
from hub.database import execute
from hub.outbox.messages import Outgoing, ReceivedMessage
from quotes.models import Agreement


@dataclass(slots=True)
class AgreementMessage(ReceivedMessage):
    """A message about an agreement, with its sender and the digest of its parsed content."""

    sender_id: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Side:
    """The payer or the payee of an agreement."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The present state and the parties of an agreement, which decide about an answer to it."""

    state: str
    payer: Side
    payee: Side
    response_digest: bytes | None


def add(
    kind: type[Agreement],
    agreement_id: str,
    request: AgreementMessage,
    *,
    payee_id: int,
    expires_at: datetime | None,
    columns: Mapping[str, Any],
    forwarded: Outgoing,
) -> bool:
    """Stores a request and forwards it, by one statement. Returns False where the id was used before."""
    parameters = [
        agreement_id,
        request.sender_id,
        payee_id,
        request.body,
        orjson.dumps(request.headers).decode(),
        request.digest,
        expires_at,
        *columns.values(),
    ]
    return bool(outbox.append_about(_insert(kind, *columns), parameters, [forwarded]))


def standing(kind: type[Agreement], agreement_id: str) -> Standing | None:
    """Returns the agreement in its present state, without a lock."""
    row = execute(_select(kind), [agreement_id]).fetchone()
    if row is None:
        return None
    state, payer_id, payer, payee_id, payee, response_digest = row
    return Standing(state, Side(payer_id, payer), Side(payee_id, payee), response_digest)


def settle(
    kind: type[Agreement],
    agreement_id: str,
    answer: AgreementMessage,
    *,
    seen: Standing,
    state: str,
    columns: Mapping[str, Any],
    forwarded: Outgoing,
) -> bool:
    """Stores an answer and forwards it, by one statement. Returns False where the state differs from `seen`.

    No agreement returns to an earlier state, so an equal state means that nothing else has changed either.
    """
    parameters = [
        state,
        answer.body,
        orjson.dumps(answer.headers).decode(),
        answer.digest,
        *columns.values(),
        agreement_id,
        seen.state,
    ]
    return bool(outbox.append_about(_update(kind, *columns), parameters, [forwarded]))


# --- the SQL: names of tables and columns come from the models -------------------------------------------------------


def table_and_key(kind: type[Agreement]) -> tuple[str, str]:
    key = kind._meta.pk
    assert key is not None
    assert key.column is not None
    return kind._meta.db_table, key.column


@cache
def _insert(kind: type[Agreement], *besides: str) -> str:
    table, key = table_and_key(kind)
    columns = [key, "payer_id", "payee_id", "request", "request_headers", "request_digest", "expires_at", *besides]
    return f"""
        changed AS (
            INSERT INTO {table} (state, {", ".join(columns)}) VALUES ('PENDING', {", ".join(["%s"] * len(columns))})
            ON CONFLICT ({key}) DO NOTHING RETURNING {key} AS subject
        )"""  # noqa: S608


@cache
def _select(kind: type[Agreement]) -> str:
    table, key = table_and_key(kind)
    return f"""
        SELECT a.state, a.payer_id, payer.name, a.payee_id, payee.name, a.response_digest
        FROM {table} a
        JOIN participants_participant payer ON payer.id = a.payer_id
        JOIN participants_participant payee ON payee.id = a.payee_id
        WHERE a.{key} = %s
    """  # noqa: S608


@cache
def _update(kind: type[Agreement], *besides: str) -> str:
    table, key = table_and_key(kind)
    columns = ["state", "response", "response_headers", "response_digest", *besides]
    return f"""
        changed AS (
            UPDATE {table} SET {", ".join(f"{column} = %s" for column in columns)}, answered_at = clock_timestamp()
            WHERE {key} = %s AND state = %s RETURNING {key} AS subject
        )"""  # noqa: S608
