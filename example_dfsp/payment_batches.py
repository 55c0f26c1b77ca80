"""Stores batches of payments, such as salaries. Pays several lines of a batch at a time, and reports the progress.

Each line is a separate instruction. So the bank pays each line once or not at all, even if other lines fail or the
bank's process crashes.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import structlog

from example_dfsp.books import Books, Overdrawn
from example_dfsp.instructions import Instruction, Instructions, Kind
from example_dfsp.payment_lists import Line
from example_dfsp.payments import Payments

log = structlog.get_logger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL REFERENCES account, kind TEXT NOT NULL, file_name TEXT NOT NULL,
    currency TEXT NOT NULL, total INTEGER NOT NULL CHECK (total > 0), lines INTEGER NOT NULL CHECK (lines > 0),
    state TEXT NOT NULL DEFAULT 'CHECKED', made_at REAL NOT NULL, begun_at REAL, ended_at REAL,
    CHECK (state IN ('CHECKED', 'RUNNING', 'ENDED', 'WITHDRAWN'))
) STRICT;
CREATE TABLE IF NOT EXISTS batch_line (
    batch_id TEXT NOT NULL REFERENCES batch, line INTEGER NOT NULL, own_id TEXT NOT NULL, payee TEXT NOT NULL,
    name TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0), note TEXT NOT NULL,
    PRIMARY KEY (batch_id, line), UNIQUE (batch_id, own_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS batch_line_repeats ON batch_line (own_id, payee, amount);
"""
# the lines of a batch that another begun batch of the same owner has paid, or is going to pay
_REPEATED = """
SELECT l.line, l.amount, max(b.begun_at) FROM batch_line l
CROSS JOIN batch_line e ON (e.own_id, e.payee, e.amount) = (l.own_id, l.payee, l.amount) AND e.batch_id <> l.batch_id
CROSS JOIN batch b ON b.id = e.batch_id AND (b.owner, b.currency) = (?, ?) AND b.state IN ('RUNNING', 'ENDED')
LEFT JOIN instruction i ON (i.batch_id, i.line) = (e.batch_id, e.line)
WHERE l.batch_id = ? AND coalesce(i.state, 'NEW') <> 'FAILED' GROUP BY l.line
"""
AT_ONCE = 12  # the most lines that the bank pays at the same time for one owner, in all batches together
LOW_BALANCE = "4200"
Choice = Literal["refuse", "leave out", "pay again"]
_NAMESPACE = uuid.UUID("d9b2cf0c-7a5e-4a55-9d63-31ee6c0e0f34")
_COLUMNS = "id, owner, kind, file_name, currency, total, lines, state, made_at, begun_at, ended_at"


@dataclass(frozen=True, slots=True)
class Batch:
    """A file of payments. `state` is CHECKED until the owner starts the payments."""

    id: str
    owner: str
    kind: Kind
    file_name: str
    currency: str
    total: int
    lines: int
    state: str
    made_at: float
    begun_at: float | None
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The numbers of paid, failed and open lines of a batch, and the total amount of the paid lines."""

    paid: int
    failed: int
    sent: int
    paid_amount: int

    @property
    def done(self) -> int:
        """The number of lines whose payment has ended."""
        return self.paid + self.failed


@dataclass(frozen=True, slots=True)
class Repeats:
    """The lines of a batch that repeat payments of the owner's earlier batches. `begun_at` is the time at which the
    bank began the latest of these batches."""

    lines: frozenset[int] = frozenset()
    amount: int = 0
    begun_at: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A line of a batch, and the outcome of its payment. `state` is None before the payment has begun."""

    line: int
    own_id: str
    payee: str
    name: str
    payee_name: str | None
    amount: int
    note: str
    state: str | None
    transfer_id: str | None
    error_code: str | None
    error_text: str | None
    receive_amount: int | None
    receive_currency: str | None


class IsRepeated(Exception):
    """Raised if a batch repeats earlier payments, and the owner has not decided what to do with these lines."""


class Batches:
    """The tables of batches and lines in the database file of the books, and the tasks that pay open lines."""

    def __init__(self, books: Books, instructions: Instructions, payments: Payments) -> None:
        self._books, self._instructions, self._payments = books, instructions, payments
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._places: dict[str, asyncio.Semaphore] = {}
        books.define(_SCHEMA)

    def resume(self) -> None:
        """Continues with every interrupted batch. Runs when the bank starts."""
        for found in self.find("state = 'RUNNING'"):
            self._start(found.id)

    async def close(self) -> None:
        """Stops all tasks. No step is lost, because the tables record every step."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def add(self, batch_id: str, owner: str, kind: Kind, file_name: str, currency: str, lines: Sequence[Line]) -> None:
        """Stores a batch. A repeated call stores nothing more. The bank does not yet make any payment of the batch."""
        with self._books.transaction():
            total = sum(line.amount for line in lines)
            is_new = self._books.run(
                "INSERT OR IGNORE INTO batch (id, owner, kind, file_name, currency, total, lines, made_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *(batch_id, owner, kind, file_name[:120], currency, total, len(lines), time.time()),
            )
            if is_new:
                self._books.run_many(
                    "INSERT INTO batch_line VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(batch_id, line.number, line.id, line.to, line.name, line.amount, line.note) for line in lines],
                )

    def get(self, batch_id: str) -> Batch | None:
        """Returns the batch with this id, or None."""
        found = self.find("id = ?", batch_id)
        return found[0] if found else None

    def find(self, condition: str, *values: object) -> list[Batch]:
        """Returns the batches that meet the condition. The condition is SQL text that never contains the input of a
        user."""
        return [Batch(*row) for row in self._books.rows(f"SELECT {_COLUMNS} FROM batch WHERE {condition}", *values)]

    def progress(self, batch_id: str) -> Progress:
        """Returns the progress of a batch."""
        counts = {
            state: (count, amount)
            for state, count, amount in self._books.rows(
                "SELECT state, count(*), sum(amount) FROM instruction WHERE batch_id = ? GROUP BY state", batch_id
            )
        }
        paid, amount = counts.get("PAID", (0, 0))
        return Progress(paid, counts.get("FAILED", (0, 0))[0], counts.get("SENT", (0, 0))[0], amount)

    def results(self, batch_id: str) -> list[Result]:
        """Returns the result of each line."""
        rows = self._books.rows(
            "SELECT l.line, l.own_id, l.payee, l.name, i.payee_name, l.amount, l.note, i.state, i.transfer_id,"
            " i.error_code, i.error_text, i.receive_amount, i.receive_currency FROM batch_line l"
            " LEFT JOIN instruction i USING (batch_id, line) WHERE l.batch_id = ? ORDER BY l.line",
            batch_id,
        )
        return [Result(*row) for row in rows]

    def repeats(self, batch: Batch) -> Repeats:
        """Returns the lines whose payments have the same id, payee and amount as a payment of an earlier batch. Lines
        that the bank could not pay in the earlier batch do not count."""
        rows = self._books.rows(_REPEATED, batch.owner, batch.currency, batch.id)
        if not rows:
            return Repeats()
        lines, amounts, times = zip(*rows, strict=True)
        return Repeats(frozenset(lines), sum(amounts), max(times))

    def begin(self, batch_id: str, choice: Choice = "refuse") -> None:
        """Begins to pay a batch. If the bank is already paying the batch, a second call does nothing.

        `choice` is the owner's decision about the lines that repeat earlier payments. Raises IsRepeated if there are
        such lines and the choice is "refuse", or if no other lines are left. Raises Overdrawn if the owner's balance is
        too low. After an error, the bank has not begun to pay.
        """
        with self._books.transaction():
            found = self.get(batch_id)
            if found is None or found.state != "CHECKED":
                return
            repeated = Repeats() if choice == "pay again" else self.repeats(found)
            if repeated.lines and (choice == "refuse" or len(repeated.lines) == found.lines):
                raise IsRepeated
            if found.total - repeated.amount > self._books.balance_of(found.owner):
                raise Overdrawn(found.owner)
            self._books.run_many(
                "DELETE FROM batch_line WHERE batch_id = ? AND line = ?", [(batch_id, line) for line in repeated.lines]
            )
            self._books.run(
                "UPDATE batch SET state = 'RUNNING', begun_at = ?, total = total - ?, lines = lines - ? WHERE id = ?",
                *(time.time(), repeated.amount, len(repeated.lines), batch_id),
            )
        self._start(batch_id)

    def withdraw(self, batch_id: str) -> None:
        """Withdraws a batch if the bank has not begun to pay the batch."""
        self._books.run("UPDATE batch SET state = 'WITHDRAWN' WHERE id = ? AND state = 'CHECKED'", batch_id)

    def _start(self, batch_id: str) -> None:
        found = self.get(batch_id)
        if found is None or found.state != "RUNNING" or batch_id in self._tasks:
            return
        task = asyncio.create_task(self._run(found))
        self._tasks[batch_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(batch_id, None))

    async def _run(self, batch: Batch) -> None:
        while True:
            try:
                if await self._is_paid(batch):
                    return
            except Exception:
                log.exception("batch_step_failed", batch=batch.id)
            await asyncio.sleep(1)

    async def _is_paid(self, batch: Batch) -> bool:
        """Pays all lines whose payment has not begun. Returns whether all payments of the batch have ended."""
        left = await asyncio.to_thread(
            self._books.rows,
            "SELECT l.line, l.payee, l.amount, l.note FROM batch_line l LEFT JOIN instruction i USING (batch_id, line)"
            " WHERE l.batch_id = ? AND coalesce(i.state, 'NEW') = 'NEW' ORDER BY l.line",
            batch.id,
        )
        waiting = iter(left)
        places = self._places.setdefault(batch.owner, asyncio.Semaphore(AT_ONCE))

        async def work() -> None:
            for line, payee, amount, note in waiting:
                async with places:
                    await self._pay(batch, line, payee, amount, note)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        if self.progress(batch.id).done < batch.lines:
            return False
        await asyncio.to_thread(
            self._books.run, "UPDATE batch SET state = 'ENDED', ended_at = ? WHERE id = ?", time.time(), batch.id
        )
        return True

    async def _pay(self, batch: Batch, line: int, payee: str, amount: int, note: str) -> None:
        reference = uuid.uuid5(_NAMESPACE, f"{batch.id}/{line}").hex
        new = Instruction(
            reference=reference,
            kind=batch.kind,
            payer=batch.owner,
            payee_type="MSISDN",
            payee=payee,
            amount=amount,
            currency=batch.currency,
            note=note,
            asks_first=False,
            batch_id=batch.id,
            line=line,
        )
        try:
            await self._payments.pay(new)
        except Overdrawn:
            await asyncio.to_thread(self._instructions.add_refused, new, LOW_BALANCE, "the payer's balance is too low")
        except Exception:  # a failed line must not stop the other lines; the bank tries this line again later
            log.exception("line_stopped", batch=batch.id, line=line)
