"""The sessions of people who are signed in. The demo has no passwords: a person picks a name on the sign-in page."""

import hashlib
import secrets
import time
from dataclasses import dataclass

from example_dfsp.books import Books
from example_dfsp.customers import Customer, Customers

_SCHEMA = """
CREATE TABLE IF NOT EXISTS session (
    token_hash TEXT PRIMARY KEY, who TEXT NOT NULL, ends_at REAL NOT NULL
) STRICT;
"""
_LASTS_S = 12 * 3600.0
STAFF = {"teller": "Anna Mollel", "treasurer": "Joseph Shayo"}


@dataclass(frozen=True, slots=True)
class Who:
    """The person who is signed in: a customer, or one of the bank's staff."""

    id: str
    name: str
    role: str  # a kind of customer, or a key of STAFF
    customer: Customer | None = None


class Sessions:
    """The sessions, in the database file of the books, so that people stay signed in after a restart of the bank."""

    def __init__(self, books: Books, customers: Customers) -> None:
        self._books, self._customers = books, customers
        books.define(_SCHEMA)

    def begin(self, who_id: str) -> str | None:
        """Returns the token of a new session, or None if there is no such person."""
        if self._who(who_id) is None:
            return None
        token = secrets.token_urlsafe(32)
        now = time.time()
        with self._books.transaction():
            self._books.run("DELETE FROM session WHERE ends_at < ?", now)
            self._books.run("INSERT INTO session VALUES (?, ?, ?)", _hash(token), who_id, now + _LASTS_S)
        return token

    def who(self, token: str | None) -> Who | None:
        """Returns the person with this token, or None."""
        if not token:
            return None
        found = self._books.row(
            "SELECT who FROM session WHERE token_hash = ? AND ends_at > ?", _hash(token), time.time()
        )
        return None if found is None else self._who(found[0])

    def end(self, token: str | None) -> None:
        """Signs the browser out."""
        if token:
            self._books.run("DELETE FROM session WHERE token_hash = ?", _hash(token))

    def _who(self, who_id: str) -> Who | None:
        if who_id in STAFF:
            return Who(who_id, STAFF[who_id], who_id)
        customer = self._customers.get(who_id)
        return None if customer is None else Who(who_id, customer.name, customer.kind, customer)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()  # a cookie can have any octets
