"""The statements on agreements that every payment runs: each kind has the same columns, and a few besides."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import orjson

from hub import outbox
from hub.database import execute
from hub.outbox.messages import Outgoing
from quotes.models import Agreement


@dataclass(frozen=True, slots=True)
class Letter:
    """A message about an agreement: who sent it, its bytes and headers, and the digest of its parsed content."""

    sender_id: int
    body: bytes
    headers: dict[str, str]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an agreement has come, and between whom: what decides about an answer to it."""

    state: str
    payer_id: int
    payer: str
    payee_id: int
    payee: str
    response_digest: bytes | None


def add(
    kind: type[Agreement],
    agreement_id: str,
    letter: Letter,
    *,
    payee_id: int,
    expires_at: datetime | None,
    columns: Mapping[str, Any],
    message: Outgoing,
) -> bool:
    """Stores a request and the message that passes it on, as one statement; False where the id was used before."""
    parameters = [
        agreement_id,
        letter.sender_id,
        payee_id,
        letter.body,
        orjson.dumps(letter.headers).decode(),
        letter.digest,
        expires_at,
        *columns.values(),
    ]
    return bool(outbox.append_about(_insert(kind, *columns), parameters, [message]))


def standing(kind: type[Agreement], agreement_id: str) -> Standing | None:
    """The agreement as it is now, without a lock."""
    row = execute(_select(kind), [agreement_id]).fetchone()
    return None if row is None else Standing(*row)


def settle(
    kind: type[Agreement],
    agreement_id: str,
    letter: Letter,
    *,
    seen: Standing,
    state: str,
    columns: Mapping[str, Any],
    message: Outgoing,
) -> bool:
    """Stores an answer and the message that passes it on, as one statement; False where the state has changed since it
    was seen. No state comes back, so who saw the same state saw the same agreement."""
    parameters = [
        state,
        letter.body,
        orjson.dumps(letter.headers).decode(),
        letter.digest,
        *columns.values(),
        agreement_id,
        seen.state,
    ]
    return bool(outbox.append_about(_update(kind, *columns), parameters, [message]))


# --- the texts: names of tables and columns are the models' ----------------------------------------------------------


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
