"""A process's index of the listed names.

Building an index of 100,000 names takes a second. After a change, a separate thread builds a new index. While the
thread works, the process uses the earlier index. With each screened name, the hub stores the number of the last change
that the screening included. If a name was screened with an earlier index, a periodic task in `rules.lists.tasks`
screens the name again.
"""

import threading
from collections.abc import Iterator

import structlog
from django.db import DatabaseError, InterfaceError, connection

from hub.sql_execution import execute
from rules.lists import change_numbers
from rules.lists.name_index import ListedName, NameIndex

log = structlog.get_logger("rules")

_PAGE = 20_000
_NAMES = """
    SELECT e.id, e.folded, l.least_score, v.change FROM rules_lists_entry e
    JOIN rules_lists_partylist l ON l.id = e.party_list_id JOIN rules_lists_listversion v ON v.id = e.added_by_id
    WHERE e.key IS NULL AND e.removed_by_id IS NULL AND e.id > %s ORDER BY e.id LIMIT %s
"""

_lock = threading.Lock()
_index = NameIndex((), number=0)
_is_building = False


def current(number: int) -> NameIndex:
    """Returns the index. If the index does not contain this change yet, a thread builds a new index."""
    global _is_building
    if _index.number < number:
        with _lock:
            is_first, _is_building = not _is_building, True
        if is_first:
            threading.Thread(target=_build_apart, name="listed-names", daemon=True).start()
    return _index


def latest() -> NameIndex:
    """Returns an index with all listed names. Builds the index if necessary. Payments and periodic tasks call `current`
    instead, because they must not wait for the index."""
    global _index
    if _index.number != change_numbers.number_of(change_numbers.NAMES):
        _index = _built()
    return _index


def forget() -> None:
    """Empties the index. Only tests that replace the database use this function."""
    global _index
    _index = NameIndex((), number=0)


def _built() -> NameIndex:
    # The number is read before the names, so that the index contains this change.
    number = change_numbers.number_of(change_numbers.NAMES)
    return NameIndex(_listed(), number=number)


def _listed() -> Iterator[ListedName]:
    last = 0
    while rows := execute(_NAMES, [last, _PAGE]).fetchall():
        yield from (ListedName(*row) for row in rows)
        last = rows[-1][0]


def _build_apart() -> None:
    global _is_building
    try:
        latest()
    except (DatabaseError, InterfaceError) as error:
        log.warning("listed_names_can_not_be_read", error=str(error)[:200])
    finally:
        _is_building = False
        connection.close()
