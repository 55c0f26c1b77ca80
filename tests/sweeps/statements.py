"""What PostgreSQL returns to this process in a test, whichever way it was asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

# The columns that hold what a participant wrote, as many megabytes as it may send, and its headers.
_BODIES = frozenset(
    {
        *("request", "response", "answer", "body"),
        *("request_headers", "response_headers", "answer_headers", "headers"),
    }
)
_BYTEA = 17
_SHORT = ("digest", "hash", "sha256")  # octets that are no message's


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement, and the columns that came back: name and type."""

    statement: str
    columns: list[tuple[str, int]]

    @property
    def reads_a_body(self) -> bool:
        return any(name in _BODIES or (kind == _BYTEA and not name.endswith(_SHORT)) for name, kind in self.columns)


@contextmanager
def all_statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Sent]]:
    """What is sent while this is open."""
    sent: list[Sent] = []
    original = psycopg.Cursor.execute

    def execute(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        result = original(self, query, *arguments, **named)
        sent.append(Sent(str(query), [(column.name, column.type_code) for column in self.description or ()]))
        return result

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", execute)
        yield sent


def reading_bodies(sent: list[Sent]) -> list[str]:
    """Those of these statements that bring the text of messages into this process."""
    return [each.statement for each in sent if each.reads_a_body]
