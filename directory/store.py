"""The statements on registrations of the hub's own oracle that take many at once."""

from collections.abc import Sequence

from directory.aliases import Alias
from hub.database import execute

_ALIASES = "unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS a (type, identifier, sub_id, currency)"

# In one order, or two batches with the same aliases in another order would wait for each other.
_REGISTER = f"""
    INSERT INTO directory_partyidentifier (type, identifier, sub_id, currency, fsp_id)
    SELECT DISTINCT a.type, a.identifier, a.sub_id, a.currency, %s::bigint FROM {_ALIASES}
    ORDER BY a.type, a.identifier, a.sub_id, a.currency
    ON CONFLICT ON CONSTRAINT an_alias_belongs_to_one_dfsp_per_currency DO NOTHING
"""  # noqa: S608 (the statement is put together from constants)
_HELD_BY_OTHERS = f"""
    SELECT a.type, a.identifier, a.sub_id, a.currency
    FROM {_ALIASES} JOIN directory_partyidentifier p USING (type, identifier, sub_id, currency)
    WHERE p.fsp_id <> %s::bigint
"""  # noqa: S608


def register(aliases: Sequence[Alias], *, fsp_id: int) -> None:
    """Adds those that nobody has registered yet, by one statement."""
    execute(_REGISTER, [fsp_id, *_columns(aliases)])


def held_by_others(aliases: Sequence[Alias], *, fsp_id: int) -> set[tuple[str, str, str, str]]:
    """Which of these another participant registered, as (type, key, sub-id, currency)."""
    return {tuple(row) for row in execute(_HELD_BY_OTHERS, [*_columns(aliases), fsp_id]).fetchall()}


def _columns(aliases: Sequence[Alias]) -> list[list[str]]:
    return [
        [alias.type for alias in aliases],
        [alias.key for alias in aliases],
        [alias.sub_id for alias in aliases],
        [alias.currency for alias in aliases],
    ]
