"""What the money path sends to PostgreSQL: it goes past what Django counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hub.outbox import store as outbox
from ledger import store
from ledger.bulk import store as bulks
from ledger.fx import store as conversions
from quotes import terms_match


@contextmanager
def statements_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement of the ledger, the outbox and the quotes while this is open."""
    statements: list[str] = []
    with monkeypatch.context() as patched:
        for module in (store, bulks, conversions, outbox, terms_match):
            original = module.execute

            def execute(statement: str, parameters: Any = (), original: Any = original) -> Any:
                statements.append(statement)
                return original(statement, parameters)

            patched.setattr(module, "execute", execute)
        yield statements
