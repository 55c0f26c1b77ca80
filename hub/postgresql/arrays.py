"""Writes a list as an array literal of PostgreSQL, by a few operations on the whole text. The library psycopg would
call a function for each element. These calls took a quarter of the Python time of the ledger's engine. The SQL
statement must cast the literal to its type (`%s::text[]`).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

_NULL = "NULL"


def literal(values: Sequence[Any]) -> str:
    """Returns the array literal of a list. All elements must have the same type, or be None."""
    kind = next((type(value) for value in values if value is not None), None)
    if kind is None:
        return "{" + ",".join([_NULL] * len(values)) + "}"
    write = _WRITERS.get(kind)
    if write is None:
        write = _text if issubclass(kind, str) else _plain
    if None not in values:
        return write(values)
    # A list with None is written element by element, because NULL is written without quotation marks.
    known = iter(write([value])[1:-1] for value in values if value is not None)
    return "{" + ",".join(_NULL if value is None else next(known) for value in values) + "}"


def _text(values: Sequence[str]) -> str:
    # A text for PostgreSQL cannot contain a NUL. So a NUL can separate the elements until it is replaced by quotation
    # marks and a comma.
    joined = "\0".join(values)
    if joined.count("\0") != len(values) - 1:
        raise ValueError("a text has a NUL character")
    return '{"' + joined.replace("\\", "\\\\").replace('"', '\\"').replace("\0", '","') + '"}'


def _octets(values: Sequence[bytes]) -> str:
    return '{"\\\\x' + '","\\\\x'.join([value.hex() for value in values]) + '"}'


def _plain(values: Sequence[Any]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def _moments(values: Sequence[datetime]) -> str:
    return '{"' + '","'.join([value.isoformat() for value in values]) + '"}'


_WRITERS: dict[type, Callable[[Sequence[Any]], str]] = {
    str: _text,
    bytes: _octets,
    int: _plain,
    float: _plain,
    bool: _plain,
    datetime: _moments,
}
