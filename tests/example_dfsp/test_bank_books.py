"""The bank's books: the database itself keeps every rule, and the check finds each rule that is broken."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from example_dfsp.arrivals import Arrivals, arrival_of
from example_dfsp.books import Books, Conflict, Incoming, Outgoing, Overdrawn
from example_dfsp.cash_entries import Counter, CounterEntry
from example_dfsp.instructions import AboveThePayment, Instruction, Instructions
from tests.example_dfsp.cases import each

ASHA, SHOP, WANJIKU = "255712001001", "255712003001", "254722001001"
UNIT = 10_000


@pytest.fixture
def books(tmp_path: Path) -> Books:
    found = Books(tmp_path / "books.sqlite3")
    for customer in (ASHA, SHOP):
        found.open_account(customer, 1000 * UNIT)
    found.open_account(WANJIKU, 500 * UNIT, "KES")
    return found


@pytest.fixture
def instructions(books: Books) -> Instructions:
    Arrivals(books)
    return Instructions(books)


def one(reference: str = "R", **changes: object) -> Instruction:
    values = {"kind": "transfer", "payer": ASHA, "payee_type": "MSISDN", "payee": "255655001001", "amount": 100 * UNIT}
    return Instruction(**{"reference": reference, "currency": "TZS", **values, **changes})  # type: ignore[arg-type]


def sold(books: Books, amount: int = 100) -> str:
    told = {"amount": str(amount), "payeeFspFeeAmount": "1", "currency": "TZS", "transactionType": "PAYMENT"}
    Arrivals(books).credit(arrival_of("SALE", SHOP, told))
    return "SALE"


# --- what fails as a whole --------------------------------------------------------------------------------------------


@each(
    "statements",
    {
        # SQLite checks a deferred foreign key only at the end, so the commit fails and the transaction stays open.
        "the commit fails": (
            "PRAGMA defer_foreign_keys = ON",
            f"INSERT INTO posting VALUES (99, 'x', 'y', '{ASHA}', 'nobody', 1)",
        ),
        # As with a full disk, SQLite can end the whole transaction itself.
        "the database has rolled back": (
            f"UPDATE account SET balance = 1 WHERE name = '{ASHA}'",
            f"INSERT OR ROLLBACK INTO account (name) VALUES ('{SHOP}')",
        ),
    },
)
def test_after_a_transaction_that_failed_nothing_is_posted_and_the_books_stay_open(
    statements: tuple[str, str], books: Books
) -> None:
    def fail() -> None:
        with books.transaction():
            for statement in statements:
                books.run(statement)

    with pytest.raises(sqlite3.IntegrityError):
        fail()
    assert books.balance_of(ASHA) == 1000 * UNIT
    books.pay_in("C", ASHA, UNIT)
    assert books.balance_of(ASHA) == 1001 * UNIT
    assert books.faults() == []


# --- what the database refuses ----------------------------------------------------------------------------------------


@each(
    "statement",
    {
        "a changed posting": "UPDATE posting SET amount = 1",
        "a deleted posting": "DELETE FROM posting",
        "a posting between two currencies": f"INSERT INTO posting VALUES (99, 'x', 'y', '{ASHA}', '{WANJIKU}', 1)",
        "a posting of nothing": f"INSERT INTO posting VALUES (99, 'x', 'y', '{ASHA}', '{SHOP}', 0)",
        "a posting twice": f"INSERT INTO posting VALUES (99, 'R', 'hold', '{ASHA}', '{SHOP}', 1)",
        "an overdrawn customer": f"INSERT INTO posting VALUES (99, 'x', 'y', '{ASHA}', '{SHOP}', 99999999)",
        "a balance below 0": f"UPDATE account SET balance = -1 WHERE name = '{ASHA}'",
        "a payment that ends again": "UPDATE payment SET state = 'COMMITTED' WHERE reference = 'ENDED'",
        "a transfer that ends again": "UPDATE incoming SET state = 'COMMITTED' WHERE transfer_id = 'GONE'",
        "an instruction that ends again": "UPDATE instruction SET state = 'SENT' WHERE reference = 'ENDED'",
        "an instruction that holds nothing": "UPDATE instruction SET state = 'SENT' WHERE reference = 'NEW'",
    },
)
def test_the_database_refuses(statement: str, books: Books, instructions: Instructions) -> None:
    books.hold("R", Outgoing(ASHA, "255655001001", 10 * UNIT, "TZS", ""))
    instructions.add(one("ENDED"))
    instructions.send("ENDED")
    instructions.failed("ENDED", "T", "5104", "")
    instructions.add(one("NEW"))
    books.forget("GONE")
    with pytest.raises(sqlite3.IntegrityError):
        books.run(statement)
    assert books.faults() == []
    assert instructions.faults() == []


# --- each fault that the database cannot refuse is found --------------------------------------------------------------


@each(
    "statement",
    {
        "a balance was changed": f"UPDATE account SET balance = balance + 1 WHERE name = '{ASHA}'",
        "held money was lost": "UPDATE account SET balance = 0 WHERE name = 'held'",
        "a payment was changed": "UPDATE payment SET amount = 1 WHERE reference = 'R'",
    },
)
def test_the_check_finds(statement: str, books: Books) -> None:
    books.hold("R", Outgoing(ASHA, "255655001001", 10 * UNIT, "TZS", ""))
    assert books.faults() == []
    books.run(statement)
    assert books.faults() != []


def test_the_check_finds_a_payment_that_the_books_do_not_have(books: Books, instructions: Instructions) -> None:
    instructions.add(one())
    instructions.send("R")
    books.refund("R", None, "5104")
    assert instructions.faults() == ["payment R is SENT, and the books have ABORTED"]


# --- payments ---------------------------------------------------------------------------------------------------------


def test_a_fee_stays_with_the_bank_and_nothing_else_does(books: Books, instructions: Instructions) -> None:
    instructions.add(one(bank_fee=5 * UNIT, total=105 * UNIT))
    instructions.send("R")
    assert books.balance_of("held") == 105 * UNIT
    for _ in range(2):
        instructions.paid("R", "T", 100 * UNIT)
    assert [books.balance_of(name) // UNIT for name in (ASHA, "held", "scheme", "fees")] == [895, 0, 100, 5]
    assert books.faults() == []


def test_a_failed_payment_costs_nothing(books: Books, instructions: Instructions) -> None:
    instructions.add(one(bank_fee=5 * UNIT, total=105 * UNIT))
    instructions.send("R")
    for _ in range(2):
        instructions.failed("R", "T", "5104", "closed")
    assert books.balance_of(ASHA) == 1000 * UNIT
    assert instructions.paid("R", "T", 100 * UNIT).state == "FAILED"  # the end is final
    assert books.balance_of(ASHA) == 1000 * UNIT


def test_only_the_scheme_ends_a_payment_that_was_sent(books: Books, instructions: Instructions) -> None:
    """A click on Cancel that comes just after the one on Confirm must not give the money back."""
    instructions.add(one())
    instructions.send("R")
    assert instructions.refused("R", "4100", "").state == "SENT"
    assert books.balance_of("held") == 100 * UNIT
    instructions.add(one("Q"))
    assert instructions.refused("Q", "4100", "").state == "FAILED"
    assert instructions.send("Q").state == "FAILED"
    assert books.balance_of(ASHA) == 900 * UNIT


def test_what_cannot_be_held_is_not_sent(books: Books, instructions: Instructions) -> None:
    instructions.add(one(amount=1000 * UNIT, bank_fee=UNIT))
    with pytest.raises(Overdrawn):
        instructions.send("R")
    assert instructions.get("R").state == "NEW"  # type: ignore[union-attr]
    assert books.balance_of(ASHA) == 1000 * UNIT


@each(
    "changes",
    {
        "payee": {"payee": "255655001002"},
        "amount": {"amount": 1},
        "kind": {"kind": "salary"},
        "payer": {"payer": SHOP},
        "note": {"note": "x"},
        "request": {"request_id": "Q"},
    },
)
def test_a_reference_stands_for_one_payment(changes: dict[str, object], instructions: Instructions) -> None:
    instructions.add(one())
    assert instructions.add(one()).reference == "R"
    with pytest.raises(Conflict):
        instructions.add(one(**changes))


def test_a_request_to_pay_is_paid_once(books: Books, instructions: Instructions) -> None:
    for reference in ("A", "B"):
        instructions.add(one(reference, request_id="Q"))
    instructions.send("A")
    with pytest.raises(Conflict):
        instructions.send("B")
    assert books.balance_of("held") == 100 * UNIT
    instructions.failed("A", "T", "3303", "")
    assert instructions.send("B").state == "SENT"


def test_refunds_are_never_above_the_sale(books: Books, instructions: Instructions) -> None:
    sale = sold(books)
    for reference, amount in (("A", 60), ("B", 60), ("C", 40), ("D", 1)):
        instructions.add(one(reference, kind="refund", payer=SHOP, payee=ASHA, amount=amount * UNIT, refund_of=sale))
    instructions.send("A")
    with pytest.raises(AboveThePayment):
        instructions.send("B")
    instructions.send("C")
    with pytest.raises(AboveThePayment):
        instructions.send("D")
    instructions.failed("A", "T", "5104", "")
    assert instructions.send("B").state == "SENT"
    assert books.faults() == []


def test_cash_is_posted_once(books: Books) -> None:
    counter = Counter(books)
    entry = CounterEntry("C", ASHA, 50 * UNIT, "TZS", "", "Anna", 0.0)
    for _ in range(2):
        counter.post(entry)
    assert books.balance_of(ASHA) == 1050 * UNIT
    with pytest.raises(Conflict):
        counter.post(CounterEntry("C", ASHA, 60 * UNIT, "TZS", "", "Anna", 0.0))
    with pytest.raises(Overdrawn):
        counter.post(CounterEntry("D", ASHA, -1051 * UNIT, "TZS", "", "Anna", 0.0))
    assert counter.get("D") is None
    assert books.faults() == []


def test_each_currency_is_in_balance_on_its_own(books: Books) -> None:
    books.credit(Incoming("I", WANJIKU, 100 * UNIT, 2 * UNIT))
    assert books.balance_of(WANJIKU) == 598 * UNIT
    assert books.balance_of("scheme KES") == -100 * UNIT
    assert books.balance_of("fees KES") == 2 * UNIT
    assert books.faults() == []


# --- kill -9 ----------------------------------------------------------------------------------------------------------


_MOST_STATEMENTS = 9  # of one step


class Killed(BaseException):
    """The process ended here."""


def _steps(books: Books, instructions: Instructions) -> list[Callable[[], object]]:
    return [
        lambda: instructions.add(one(bank_fee=5 * UNIT, total=105 * UNIT)),
        lambda: instructions.offer("R", {"transfer_id": "T", "total": 105 * UNIT}),
        lambda: instructions.send("R"),
        lambda: instructions.paid("R", "T", 100 * UNIT),
    ]


def test_a_step_that_is_killed_before_its_commit_has_not_happened(tmp_path: Path) -> None:
    """Each step is one transaction: whatever statement is the last one, the books are whole."""
    for step in range(4):
        for statement in range(1, _MOST_STATEMENTS):
            path = tmp_path / f"{step}-{statement}.sqlite3"
            books = Books(path)
            books.open_account(ASHA, 1000 * UNIT)
            Arrivals(books)
            instructions = Instructions(books)
            steps = _steps(books, instructions)
            for done in steps[:step]:
                done()
            left = [statement]

            def count(_: str, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] == 0:
                    raise Killed

            before = (books.export()["balances"], instructions.get("R"))
            real, books._db = books._db, _Counting(books._db, count)  # type: ignore[assignment]
            with suppress(Killed):
                steps[step]()
            real.close()
            after = Books(path)
            again = Instructions(after)
            assert after.faults() == []
            assert again.faults() == []
            if left[0] <= 0:
                assert (after.export()["balances"], again.get("R")) == before
            for remaining in _steps(after, again)[step:]:
                remaining()
            assert after.balance_of(ASHA) == 895 * UNIT
            after._db.close()


class _Counting:
    """A connection that calls `count` before each statement that changes something."""

    def __init__(self, real: sqlite3.Connection, count: Callable[[str], None]) -> None:
        self._real, self._count = real, count

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        if statement.split()[0] in ("INSERT", "UPDATE", "COMMIT"):
            self._count(statement)
        return self._real.execute(statement, *values)  # type: ignore[arg-type]

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction
