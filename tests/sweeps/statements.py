"""Every statement that reaches PostgreSQL in a test, whichever way it goes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

# The columns that hold what a participant wrote, as many megabytes as it may send, and its headers.
_BODIES = "request|response|answer|body|request_headers|response_headers|answer_headers|headers"
# One header of them may be read.
_READS_A_BODY = re.compile(rf"\b({_BODIES})\b(?!\"?\s*->>)", re.IGNORECASE)


@contextmanager
def all_statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is sent while this is open."""
    sent: list[str] = []
    original = psycopg.Cursor.execute

    def execute(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        sent.append(str(query))
        return original(self, query, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", execute)
        yield sent


def reading_bodies(statements: list[str]) -> list[str]:
    """Those of these statements that bring the text of messages into this process."""
    return [statement for statement in statements if _READS_A_BODY.search(_answer_of(statement))]


def _answer_of(statement: str) -> str:
    """The part of a statement that says what comes back, without the texts in it."""
    statement = re.sub("'[^']*'", "''", statement)
    if re.match(r"\s*(INSERT|UPDATE|DELETE)\b", statement, re.IGNORECASE):
        return statement[statement.upper().rfind("RETURNING") :] if "RETURNING" in statement.upper() else ""
    return statement
