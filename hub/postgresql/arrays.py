"""Writes a list as PostgreSQL's array literal. A few operations work on the whole text instead of on each element.

The library psycopg chooses and calls a dumper for each element. These calls for each element took a quarter of the
ledger engine's Python time. The statement must cast the literal to its type (`%s::text[]`).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

_NULL = "NULL"


def literal(values: Sequence[Any]) -> str:
    """Returns the array literal of a list whose elements have one type. Returns None for any other list."""
    kind = next((type(value) for value in values if value is not None), None)
    if kind is None:
        return "{" + ",".join([_NULL] * len(values)) + "}"
    write = _WRITERS.get(kind)
    if write is None:
        write = _text if issubclass(kind, str) else _plain
    if None not in values:
        return write(values)
    # All other elements are written together. Only NULL has no quotes.
    known = iter(write([value])[1:-1] for value in values if value is not None)
    return "{" + ",".join(_NULL if value is None else next(known) for value in values) + "}"


def _text(values: Sequence[str]) -> str:
    # PostgreSQL's texts cannot have a NUL, so a NUL marks the ends of elements until the quotes are in place.
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
