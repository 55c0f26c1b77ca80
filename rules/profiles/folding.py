"""Adds payments to profiles in a periodic batch, profile by profile.

The batch adds the payments that no gate has added to a profile.
"""

from django.db import transaction

from hub import sql_execution
from hub.sweeps import isolating_batches
from rules.profiles import store

BATCH = "profiles"
_MOST_ROWS = 5_000  # a batch reads this many waiting rows to choose the profiles that the batch changes
_MOST_PROFILES = 1_000


def fold() -> int:
    """Adds each waiting row to the row's profile. Returns the number of changed profiles.

    Two processes can run this function at the same time.
    """
    return isolating_batches.in_groups(BATCH, find=_find, work=_fold, most=_MOST_PROFILES)


def _find(limit: int) -> list[str]:
    return [str(key) for key in store.waiting(_MOST_ROWS, limit)]


def _fold(keys: list[str]) -> int:
    with transaction.atomic(durable=True):
        return fold_profiles([int(key) for key in keys])


def fold_profiles(keys: list[int]) -> int:
    """Changes these profiles inside the caller's database transaction. Returns how many of these profiles had waiting
    rows."""
    # On each connection, PostgreSQL keeps the plans of the SQL function that locks the profiles. A plan from a time
    # when the tables were nearly empty would later read whole tables, and payments would wait for the locks.
    sql_execution.use_keys()
    profiles, rows = store.lock(keys)
    for row in rows:
        row.apply_to(profiles[row.key])
    changed = {key: profile for key, profile in profiles.items() if profile.is_changed}
    if changed:
        store.save(changed)
    if rows:
        store.delete_unfolded([row.id for row in rows])
    return len({row.key for row in rows})
