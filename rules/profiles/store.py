"""All SQL statements about profiles.

Each SQL statement takes lists as parameters. So the number of SQL statements is the same for any number of profiles.

The SQL statements acquire locks in the order that `ledger.store` defines. Profiles are locked after transfers and
conversions, and before accounts. Profiles are locked in ascending order of the keys. A database transaction deletes a
row of `UnfoldedCount` only under the lock of the row's profile. Each row therefore changes its profile only once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.sql_execution import execute
from hub.sweeps.store import not_skipped
from rules.profiles import events_and_buckets
from rules.profiles.counted_payments import COLUMNS, CountedPayment, Keys, Role
from rules.profiles.events_and_buckets import Profile

_READ = "SELECT key, ring FROM rules_profiles_profile WHERE key = ANY(%s::bigint[])"


def read(keys: Collection[int]) -> dict[int, Profile]:
    """Returns these profiles in their present state, without a lock.

    If a key has no profile, returns an empty profile for this key.
    """
    found = {key: events_and_buckets.from_bytes(stored) for key, stored in execute(_READ, [sorted(keys)])}
    return {key: found.get(key) or Profile() for key in keys}


_SAVE = """
    UPDATE rules_profiles_profile p
    SET ring = c.ring, counted = c.counted, sent = c.sent, received = c.received
    FROM unnest(%s::bigint[], %s::bytea[], %s::bigint[], %s::numeric[], %s::numeric[])
         AS c (key, ring, counted, sent, received)
    WHERE p.key = c.key
"""


def save(profiles: Mapping[int, Profile]) -> None:
    """Writes these profiles, which must be locked."""
    execute(_SAVE, _columns_of_profiles(profiles))


def _columns_of_profiles(profiles: Mapping[int, Profile]) -> list[list[Any]]:
    rows = sorted(profiles.items())
    return [
        [key for key, _ in rows],
        [events_and_buckets.to_bytes(profile) for _, profile in rows],
        [profile.counted for _, profile in rows],
        [profile.sent for _, profile in rows],
        [profile.received for _, profile in rows],
    ]


@dataclass(frozen=True, slots=True)
class Unfolded:
    """A payment that must still be added to a profile, or removed from a profile."""

    id: int
    key: int
    role: Role
    payment: CountedPayment
    is_removal: bool

    def apply_to(self, profile: Profile) -> None:
        """Applies this row to the profile with the key `key`."""
        if self.is_removal:
            self.payment.remove_from(profile, self.role)
        else:
            self.payment.add_to(profile, self.role)


PAYMENT = "c.transfer_id, c.served_by, c.is_refund, c.currency, c.amount, c.reserved_at, " + ", ".join(
    f"c.{name}" for name in COLUMNS.values()
)
"""The columns of a counted payment, for `payment_of`."""
_UNFOLDED = f"""
    SELECT u.id, u.key, u.role, u.is_removal, {PAYMENT}
    FROM rules_profiles_unfoldedcount u JOIN rules_profiles_countedtransfer c ON c.transfer_id = u.transfer_id
    WHERE u.key = ANY(%s::bigint[])
"""  # noqa: S608 (the columns above)


# A migration defines the function. Of its columns, those after `is_removal` are the columns of PAYMENT.
_LOCK = "SELECT * FROM rules_locked_profiles(%s::bigint[])"


def lock(keys: Collection[int]) -> tuple[dict[int, Profile], list[Unfolded]]:
    """Locks these profiles until the end of the database transaction. Creates the missing profiles.

    Returns the profiles. Also returns the waiting additions to these profiles and removals from these profiles, sorted
    by id.

    The SQL function first creates the missing profiles in the order of their keys, and then locks the profiles. So
    while a database transaction waits to create a profile, the transaction does not yet hold a lock that blocks another
    transaction of this kind.
    """
    profiles: dict[int, Profile] = {}
    waiting = []
    for key, ring, id, role, is_removal, *payment in execute(_LOCK, [sorted(keys)]):
        if id is None:
            profiles[key] = events_and_buckets.from_bytes(ring)
        else:
            waiting.append(Unfolded(id, key, Role(role), payment_of(payment), is_removal))
    waiting.sort(key=lambda each: each.id)
    return profiles, waiting


_IN_PROFILE: Mapping[Role, str] = {
    Role.PAYER: "c.payer_key = w.key",
    Role.PAYEE: "c.payee_key = w.key",
    Role.ALIAS: "c.payee_key = w.payee AND c.alias_key = w.key",
    Role.PAYER_DFSP: "c.payer_dfsp_key = w.key",
    Role.PAYEE_DFSP: "c.payee_dfsp_key = w.key",
    Role.PAIR: "c.payer_key = w.payer AND c.payee_key = w.payee AND c.pair_key = w.key",
}
"""The conditions that find the payments of a profile by an index. For each profile, PostgreSQL evaluates only the
condition of its role."""
_OF_ROLE = " UNION ALL ".join(
    f"""(SELECT c.* FROM rules_profiles_countedtransfer c
         WHERE w.role = {role:d} AND {condition} AND c.currency = w.currency AND c.reserved_at >= w.since
           AND NOT c.is_refund AND NOT c.ended
         ORDER BY c.reserved_at DESC LIMIT w.most)"""  # noqa: S608 (the conditions above)
    for role, condition in _IN_PROFILE.items()
)
# One statement reads the payments and the pending rows, so that both are from the same moment.
_LATEST = f"""
    SELECT NULL::bigint, w.key, w.role, false, {PAYMENT}
    FROM unnest(%s::bigint[], %s::smallint[], %s::text[], %s::timestamptz[], %s::integer[], %s::bigint[], %s::bigint[])
         AS w (key, role, currency, since, most, payer, payee)
    CROSS JOIN LATERAL ({_OF_ROLE}) c
    UNION ALL
    {_UNFOLDED}
"""  # noqa: S608 (the columns above)


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest payments of a profile whose subject has this role: payments in one currency, without refunds.

    `payer` and `payee` are parties of one of these payments. PostgreSQL finds the payments of an alias or a pair by the
    keys of these parties.
    """

    key: int
    role: Role
    currency: str
    since: datetime
    most: int
    payer: int | None
    payee: int | None


def latest(wanted: Sequence[Latest]) -> tuple[list[tuple[int, Role, CountedPayment]], list[Unfolded]]:
    """Returns these latest payments with the keys of their profiles and their roles. Also returns all waiting additions
    to these profiles and removals from these profiles, sorted by id.

    A payment can be among the latest payments and among the waiting additions. The profiles must be locked.
    """
    columns: list[list[Any]] = [
        [each.key for each in wanted],
        [int(each.role) for each in wanted],
        [each.currency for each in wanted],
        [each.since for each in wanted],
        [each.most for each in wanted],
        [each.payer for each in wanted],
        [each.payee for each in wanted],
    ]
    payments, waiting = [], []
    for id, key, role, is_removal, *columns_of_payment in execute(
        _LATEST, [*columns, sorted({each.key for each in wanted})]
    ):
        payment = payment_of(columns_of_payment)
        if id is None:
            payments.append((key, Role(role), payment))
        else:
            waiting.append(Unfolded(id, key, Role(role), payment, is_removal))
    waiting.sort(key=lambda each: each.id)
    return payments, waiting


def payment_of(row: Sequence[Any]) -> CountedPayment:
    """Creates a payment from the values of these columns."""
    transfer_id, served_by, is_refund, currency, amount, reserved_at, *keys = row
    return CountedPayment(transfer_id, Keys(*keys), served_by, is_refund, currency, amount, reserved_at)


_DELETE_UNFOLDED = "DELETE FROM rules_profiles_unfoldedcount WHERE id = ANY(%s::bigint[])"


def delete_unfolded(ids: Collection[int]) -> None:
    """Deletes these rows after their profiles have changed."""
    execute(_DELETE_UNFOLDED, [sorted(ids)])


_DELETE_REMOVALS = """
    DELETE FROM rules_profiles_unfoldedcount u
    USING unnest(%s::bigint[], %s::text[], %s::smallint[]) AS d (key, transfer_id, role)
    WHERE u.key = d.key AND u.transfer_id = d.transfer_id AND u.role = d.role AND u.is_removal
"""


def delete_removals(removed: Sequence[tuple[int, str, Role]]) -> None:
    """When a transfer is aborted, the database adds rows that later change profiles. Deletes these rows for these
    transfers and profiles.

    The caller has already changed these profiles.
    """
    execute(
        _DELETE_REMOVALS,
        [[key for key, _, _ in removed], [id for _, id, _ in removed], [int(role) for _, _, role in removed]],
    )


_ADD_UNFOLDED = """
    INSERT INTO rules_profiles_unfoldedcount (key, role, transfer_id, is_removal)
    SELECT key, role, transfer_id, false FROM unnest(%s::bigint[], %s::smallint[], %s::text[])
         AS u (key, role, transfer_id)
"""


def add_unfolded(rows: Sequence[tuple[int, Role, str]]) -> None:
    """For each payment that a profile must count later, inserts a row with the key, the role and the transfer."""
    execute(_ADD_UNFOLDED, [[key for key, _, _ in rows], [int(role) for _, role, _ in rows], [id for *_, id in rows]])


_KEYS = ", ".join(COLUMNS.values())
_ADD_COUNTED = f"""
    INSERT INTO rules_profiles_countedtransfer (transfer_id, {_KEYS}, served_by, is_refund, currency, amount,
                                                reserved_at, transaction_id, ended)
    SELECT c.*, false
    FROM unnest(%s::text[], {", ".join(["%s::bigint[]"] * len(COLUMNS))}, %s::bigint[], %s::boolean[], %s::text[],
                %s::bigint[], %s::timestamptz[], %s::text[]) AS c
"""  # noqa: S608 (the columns above)


_ADD_COUNTED_AND_SAVE = f"WITH added AS ({_ADD_COUNTED}) {_SAVE}"


def add_counted(payments: Iterable[CountedPayment], profiles: Mapping[int, Profile] | None = None) -> None:
    """Stores payments as counted payments. Also writes these profiles, which must be locked, in the same SQL
    statement.
    """
    rows = sorted(payments, key=lambda payment: payment.transfer_id)
    keys = zip(*(payment.keys.in_order() for payment in rows), strict=True)
    columns: list[list[Any]] = [
        [payment.transfer_id for payment in rows],
        *(list(each) for each in keys),
        [payment.served_by for payment in rows],
        [payment.is_refund for payment in rows],
        [payment.currency for payment in rows],
        [payment.amount for payment in rows],
        [payment.reserved_at for payment in rows],
        [payment.transaction_id for payment in rows],
    ]
    if profiles:
        execute(_ADD_COUNTED_AND_SAVE, [*columns, *_columns_of_profiles(profiles)])
    else:
        execute(_ADD_COUNTED, columns)


_COUNTED = f"""
    SELECT {PAYMENT} FROM rules_profiles_countedtransfer c
    WHERE c.transfer_id = ANY(%s::text[]) AND NOT c.ended
"""  # noqa: S608 (the columns above)


def counted(transfer_ids: Collection[str]) -> dict[str, CountedPayment]:
    """Returns those of these transfers that the hub has counted."""
    return {row[0]: payment_of(row) for row in execute(_COUNTED, [sorted(transfer_ids)])}


_WAITING = f"""
    SELECT key FROM (SELECT id, key FROM rules_profiles_unfoldedcount u
                     WHERE {not_skipped("profiles", "key")} ORDER BY id LIMIT %s) oldest
    GROUP BY key ORDER BY min(id) LIMIT %s
"""  # noqa: S608 (the constants above)


def waiting(most_rows: int, most: int) -> list[int]:
    """Returns the profiles that have waiting rows, except skipped profiles. The profile that has waited longest comes
    first."""
    return [row[0] for row in execute(_WAITING, [most_rows, most])]
