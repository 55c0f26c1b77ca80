"""Compares profiles with the counted transfers, payment by payment. Rebuilds profiles from the transfers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection, transaction

from hub.sql_execution import execute
from rules.profiles import events_and_buckets, store
from rules.profiles.counted_payments import BY_ROLE, CountedPayment, Role
from rules.profiles.events_and_buckets import Profile
from rules.profiles.store import PAYMENT, payment_of

_AT_ONCE = 500
_CHUNK = 2_000

_PAYMENTS = f"""
    SELECT r.key, r.role, {PAYMENT.replace("c.amount", "t.amount").replace("c.currency", "t.currency")}
    FROM rules_profiles_countedtransfer c JOIN ledger_transfer t ON t.transfer_id = c.transfer_id
    CROSS JOIN LATERAL ({BY_ROLE}) AS r (role, key, receives)
    WHERE r.key IS NOT NULL AND t.state <> 'ABORTED'
"""  # noqa: S608 (the columns)
_ALL_PAYMENTS = _PAYMENTS + " ORDER BY r.key"
_ALL_PROFILES = "SELECT key, ring, counted, sent, received FROM rules_profiles_profile ORDER BY key"
_ALL_WAITING = f"""
    SELECT u.key, u.id, u.role, u.is_removal, {PAYMENT}
    FROM rules_profiles_unfoldedcount u JOIN rules_profiles_countedtransfer c ON c.transfer_id = u.transfer_id
    ORDER BY u.key, u.id
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Difference:
    """A profile that differs from the stored transfers."""

    key: int
    text: str


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of a comparison of profiles with transfers."""

    profiles: int
    payments: int
    differences: list[Difference]


def compare() -> Compared:
    """Compares all profiles with all transfers in one snapshot of the database. The hub can process payments during the
    comparison."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        return compare_now()


def compare_now() -> Compared:
    """In the caller's database transaction, compares all profiles with all transfers."""
    profiles = payments = 0
    differences: list[Difference] = []
    for key, rows, waiting, stored in _by_key():
        profiles += bool(stored)
        payments += len(rows)
        differences += [Difference(key, text) for text in _differences(rows, waiting, stored)]
    return Compared(profiles, payments, differences)


def _differences(rows: Sequence[Any], waiting: Sequence[Any], stored: Sequence[Any]) -> Iterator[str]:
    profile = Profile()
    if stored:
        _key, octets, *totals = stored[0]
        profile = events_and_buckets.from_bytes(octets)
        if [profile.counted, profile.sent, profile.received] != [int(total) for total in totals]:
            yield "its totals differ from the sums of its payments"
    for _key, _id, role, is_removal, *payment in waiting:
        event = payment_of(payment).event(Role(role))
        if not is_removal:
            profile.add(event)
        elif not profile.remove(event):
            yield "a pending row removes a payment that the profile does not contain"
    yield from events_and_buckets.differences(
        profile, (payment_of(payment).event(Role(role)) for _key, role, *payment in rows)
    )


def _by_key() -> Iterator[tuple[int, list[Any], list[Any], list[Any]]]:
    """For each key, yields three lists of rows: the payments, the pending additions and removals, and the profile."""
    streams = [groupby(_stream(name, sql), key=itemgetter(0)) for name, sql in _STREAMS.items()]
    heads = [next(stream, None) for stream in streams]
    while any(heads):
        key = min(head[0] for head in heads if head)
        found: list[list[Any]] = []
        for number, head in enumerate(heads):
            if head and head[0] == key:
                found.append(list(head[1]))
                heads[number] = next(streams[number], None)
            else:
                found.append([])
        yield key, found[0], found[1], found[2]


_STREAMS = {"payments": _ALL_PAYMENTS, "waiting": _ALL_WAITING, "profiles": _ALL_PROFILES}


def _stream(name: str, sql: str) -> Iterator[Sequence[Any]]:
    """Yields the rows of an SQL statement. Reads a fixed number of rows at a time, so the memory use is bounded."""
    with connection.cursor() as cursor:
        cursor.execute(f"DECLARE profile_{name} NO SCROLL CURSOR FOR {sql}")
        rows: Sequence[Any] = range(_CHUNK)
        while len(rows) == _CHUNK:
            cursor.execute(f"FETCH {_CHUNK} FROM profile_{name}")
            rows = cursor.fetchall()
            yield from rows
        cursor.execute(f"CLOSE profile_{name}")


def rebuild() -> int:
    """Rebuilds the profiles that differ from the transfers. Returns the number of rebuilt profiles.

    The hub can process payments during the rebuild.
    """
    with transaction.atomic(durable=True):
        execute(_END_ABORTED)
    keys = sorted({difference.key for difference in compare().differences})
    for start in range(0, len(keys), _AT_ONCE):
        with transaction.atomic(durable=True):
            execute("SET LOCAL statement_timeout = 0")
            rebuild_these(keys[start : start + _AT_ONCE])
    return len(keys)


# Repairs the counts of transfers that were aborted while the trigger of the transfers' table did not run.
_END_ABORTED = """
    UPDATE rules_profiles_countedtransfer c SET ended = true FROM ledger_transfer t
    WHERE t.transfer_id = c.transfer_id AND t.state = 'ABORTED' AND NOT c.ended
"""
# One statement reads the payments and the pending rows, so that both are from the same moment. The hub ends a counted
# payment and adds the payment's pending row in one database transaction.
_ANEW = f"""
    SELECT NULL::bigint AS id, each.* FROM ({_PAYMENTS} AND r.key = ANY(%s::bigint[])) each
    UNION ALL
    SELECT u.id, u.key, u.role, {PAYMENT}
    FROM rules_profiles_unfoldedcount u JOIN rules_profiles_countedtransfer c ON c.transfer_id = u.transfer_id
    WHERE u.key = ANY(%s::bigint[])
"""  # noqa: S608


def rebuild_these(keys: list[int]) -> None:
    """In the caller's database transaction, rebuilds the profiles with these keys."""
    store.lock(keys)
    payments: list[tuple[CountedPayment, int, Role]] = []
    obsolete = []
    for id, key, role, *columns in execute(_ANEW, [keys, keys]):
        if id is not None:
            obsolete.append(id)
        else:
            payments.append((payment_of(columns), key, Role(role)))
    profiles = {key: Profile() for key in keys}
    for payment, key, role in sorted(payments, key=lambda each: (each[0].reserved_at, each[0].transfer_id)):
        payment.add_to(profiles[key], role)
    store.save(profiles)
    store.delete_unfolded(obsolete)
