"""The application's role of the database, by the statements of docs/operators.md: it makes payments, and rewrites no
history."""

import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import ProgrammingError, connection, transaction

from ledger.commands_and_outcomes import Aborted, Committed, Reserved
from tests.world import World, fulfil, prepare, reject, run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators.md"


def statements() -> str:
    """The indented block of the section about the role."""
    section = PAGE.read_text().split("\n## Database role\n")[1].split("\n## ")[0]
    return textwrap.dedent("\n".join(line for line in section.splitlines() if line.startswith("    ")))


@pytest.fixture
def role(world: World) -> Iterator[str]:
    """All that follows is done by the application's role. Both end with the test's transaction."""
    name = f"kitovu_app_{uuid.uuid4().hex[:8]}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {name}")
        cursor.execute(statements().replace("kitovu_app", name))
        cursor.execute("CREATE TABLE of_a_later_version (id bigint GENERATED ALWAYS AS IDENTITY, body text)")
        cursor.execute(f"SET ROLE {name}")
        yield name
        cursor.execute("RESET ROLE")


@pytest.mark.usefixtures("role")
def test_the_application_makes_payments_and_uses_tables_of_later_versions(world: World) -> None:
    paid, refused = prepare(world, "green", "blue", 100), prepare(world, "green", "blue", 50)
    assert all(isinstance(run(each), Reserved) for each in (paid, refused))
    assert isinstance(run(fulfil(world, "blue", paid.transfer_id)), Committed)
    assert isinstance(run(reject(world, "blue", refused.transfer_id)), Aborted)
    assert world.breaks() == []
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO of_a_later_version (body) VALUES ('x')")
        cursor.execute("DELETE FROM of_a_later_version")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entry SET amount = amount",
        "DELETE FROM ledger_entry",
        "DELETE FROM ledger_transferevent",
        "UPDATE audit_entry SET actor = actor",
        "UPDATE outbox_delivery SET status = status",
        "DELETE FROM settlement_payment",
        "TRUNCATE ledger_transfer",
        "DROP TABLE of_a_later_version",
    ],
)
@pytest.mark.usefixtures("role")
def test_the_application_rewrites_no_history(statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), transaction.atomic():
        connection.cursor().execute(statement)
