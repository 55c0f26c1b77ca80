"""Requests to pay. This bank's customers make such requests, and receive such requests from other banks' customers.

A shop or an agent asks the payer for a one-time code. The payer's bank shows the code to the payer, and the payer gives
the code to the shop. The shop's bank sends the entered code to the payer's bank. The payer's bank compares the entered
code with the code that it showed to the payer. If the code is wrong, the request ends.
"""

import asyncio
import secrets
import time
from collections.abc import Coroutine
from dataclasses import asdict, dataclass, fields
from typing import Any

import structlog

from example_dfsp.books import NO_LIMIT, Books
from example_dfsp.connector_calls import ConnectorCalls, code_of, is_refusal, text_of
from example_dfsp.customers import Customer, Customers
from kitovu_connector import format_amount

log = structlog.get_logger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS request_made (
    home_id TEXT PRIMARY KEY, kind TEXT NOT NULL, payee TEXT NOT NULL REFERENCES account, payer TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, note TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'NEW', payer_name TEXT, payer_fsp TEXT, entered_code TEXT,
    error_code TEXT, error_text TEXT, transfer_id TEXT UNIQUE, created_at REAL NOT NULL, ended_at REAL,
    CHECK (state IN ('NEW', 'ASKED', 'REJECTED', 'FAILED', 'PAID'))
) STRICT;
CREATE INDEX IF NOT EXISTS request_made_by ON request_made (payee, created_at);
CREATE TABLE IF NOT EXISTS request_received (
    request_id TEXT PRIMARY KEY, kind TEXT NOT NULL, payer TEXT NOT NULL REFERENCES account, payee_type TEXT NOT NULL,
    payee TEXT NOT NULL, payee_name TEXT, payee_fsp TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL, note TEXT NOT NULL, code TEXT, approval_code TEXT NOT NULL,
    wrong_tries INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'OPEN', created_at REAL NOT NULL,
    CHECK (state IN ('OPEN', 'REJECTING', 'REJECTED'))
) STRICT;
CREATE INDEX IF NOT EXISTS request_received_by ON request_received (payer, created_at);
CREATE INDEX IF NOT EXISTS request_received_at ON request_received (created_at);
CREATE TRIGGER IF NOT EXISTS only_open_requests_are_paid BEFORE UPDATE OF state ON instruction
WHEN NEW.state = 'SENT' AND OLD.state <> 'SENT'
    AND EXISTS (SELECT 1 FROM request_received WHERE request_id = NEW.request_id AND state <> 'OPEN')
BEGIN SELECT RAISE(ABORT, 'the request to pay was rejected'); END;
"""
_SCENARIOS = {"transfer": "TRANSFER", "merchant": "PAYMENT", "cash_out": "WITHDRAWAL"}
_KINDS = {scenario: kind for kind, scenario in _SCENARIOS.items()}
_ASK_WITHIN_S = 60.0
_PATIENCE_S = 5.0
_LONGEST_PAUSE_S = 5.0
_MOST_SHOWN = 200
FIXED_CODE = "123456"
"""The one-time code of every customer with the manner "approves". Scripts enter this code."""
OPEN_FOR_S = 24 * 3600.0
"""The time in which a customer can approve a request."""
MOST_WRONG_CODES = 3
"""After this number of wrong approval codes, the customer can no longer pay the request."""


class RequestRefused(Exception):
    """Raised if this bank does not accept a request. `code` is an error code of the API."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMade:
    """A request that a customer of this bank makes."""

    home_id: str
    kind: str
    payee: str
    payer: str
    amount: int
    currency: str
    note: str = ""
    state: str = "NEW"
    payer_name: str | None = None
    payer_fsp: str | None = None
    entered_code: str | None = None
    error_code: str | None = None
    error_text: str | None = None
    transfer_id: str | None = None
    created_at: float = 0.0
    ended_at: float | None = None

    @property
    def needs_code(self) -> bool:
        """Whether the payer gives this customer a one-time code."""
        return self.kind != "transfer"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReceived:
    """A request to a customer of this bank.

    The customer approves the request with a one-time code that the bank sends to the customer.

    Each request of a shop or an agent has a new code. The payer gives this code to the shop or the agent.
    """

    request_id: str
    kind: str
    payer: str
    payee_type: str
    payee: str
    payee_name: str | None
    payee_fsp: str
    amount: int
    currency: str
    note: str
    code: str | None
    approval_code: str
    state: str
    created_at: float

    @property
    def is_open(self) -> bool:
        """Whether the customer can still approve or reject the request."""
        return self.state == "OPEN" and time.time() < self.created_at + OPEN_FOR_S


_MADE = tuple(field.name for field in fields(RequestMade))
_RECEIVED = tuple(field.name for field in fields(RequestReceived))


class RequestsToPay:
    """The tables of the requests that this bank's customers make or receive, in the database file of the books."""

    def __init__(self, name: str, customers: Customers, books: Books, calls: ConnectorCalls) -> None:
        self._name, self._customers, self._books, self._calls = name, customers, books, calls
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        books.define(_SCHEMA)

    def resume(self) -> None:
        """Continues with every request that was perhaps not sent. Runs when the bank starts."""
        self._loop = asyncio.get_running_loop()
        condition = "state IN ('NEW', 'ASKED') AND created_at > ? AND coalesce(payer_fsp, '') <> ?"
        for made in self.find_made(condition, time.time() - OPEN_FOR_S, self._name):
            self._start(self._follow(made.home_id))
        for received in self.find_received("state = 'REJECTING'"):
            self._start(self._send_rejection(received.request_id))

    async def close(self) -> None:
        """Stops all tasks. No step is lost, because the tables record every step."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- made by customers of this bank -------------------------------------------------------------------------------

    async def make(self, new: RequestMade) -> RequestMade:
        """Sends a request to the payer's bank.

        Returns the request when the payer's bank has answered, or after some seconds at the latest.
        """
        found = await asyncio.to_thread(self._add, new)
        if found.state == "NEW":
            self._start(self._follow(new.home_id))
            until = time.monotonic() + _PATIENCE_S
            while found.state == "NEW" and time.monotonic() < until:
                await asyncio.sleep(0.1)
                found = self.made(new.home_id) or found
        return found

    def _add(self, new: RequestMade) -> RequestMade:
        """Stores a request. A repeated call stores nothing more. If the payer is a customer of this bank, the same
        database transaction also gives the request to the payer."""
        values = asdict(new) | {"created_at": time.time()}
        with self._books.transaction():
            is_new = self._books.run(
                f"INSERT OR IGNORE INTO request_made ({', '.join(_MADE)}) VALUES ({', '.join('?' * len(_MADE))})",
                *(values[name] for name in _MADE),
            )
            found = self.made(new.home_id)
            assert found is not None
            payer = self._customers.get(found.payer)
            if not is_new or payer is None:
                return found
            self._ask_own(found, payer)
            return self.made(new.home_id) or found

    def made(self, home_id: str) -> RequestMade | None:
        """Returns the request that a customer of this bank made with the bank's own id `home_id`, or None."""
        found = self.find_made("home_id = ?", home_id)
        return found[0] if found else None

    def find_made(self, condition: str, *values: object, limit: int = NO_LIMIT) -> list[RequestMade]:
        """From the requests that customers of this bank made, returns those that meet the condition. The condition is
        SQL text that never contains the input of a user.
        """
        query = f"SELECT {', '.join(_MADE)} FROM request_made WHERE {condition} LIMIT {limit}"
        return [RequestMade(**dict(zip(_MADE, row, strict=True))) for row in self._books.rows(query, *values)]

    def open_of(self, payee: str) -> int:
        """Returns the number of this customer's own requests that still wait for an answer."""
        row = self._books.row(
            "SELECT count(*) FROM request_made WHERE payee = ? AND state IN ('NEW', 'ASKED') AND created_at > ?",
            payee,
            time.time() - OPEN_FOR_S,
        )
        assert row is not None
        return int(row[0])

    def _ask_own(self, made: RequestMade, payer: Customer) -> None:
        """Stores a request in which both the payee and the payer are customers of this bank. Such a request has only
        one id: the bank's own id.
        """
        payee = self._customers.get(made.payee)
        assert payee is not None
        told = {
            "transactionRequestId": made.home_id,
            "to": {"idType": "MSISDN", "idValue": payee.msisdn, "displayName": payee.name, "fspId": self._name},
            "currency": made.currency,
            "transactionType": _SCENARIOS[made.kind],
            "note": made.note,
            "authenticationType": "OTP" if made.needs_code else None,
        }
        state, code, text = "ASKED", None, None
        try:
            self.take(told, payer, made.amount)
        except RequestRefused as error:
            state, code, text = "FAILED", error.code, error.text
        self._books.run(
            "UPDATE request_made SET state = ?, payer_name = ?, payer_fsp = ?, error_code = ?, error_text = ?"
            " WHERE home_id = ?",
            *(state, payer.name, self._name, code, text, made.home_id),
        )

    def _is_own(self, request_id: str) -> bool:
        found = self.received(request_id)
        return found is not None and found.payee_fsp == self._name

    async def enter_code(self, home_id: str, code: str) -> bool:
        """Sends the connector the one-time code that the payer gave to the shop. Returns False if the connector did not
        accept the code."""
        if not self._is_own(home_id):
            status, _ = await self._calls.call("POST", f"/requests/{home_id}/otp", {"otp": code})
            if not 200 <= status < 300:
                return False
        await asyncio.to_thread(
            self._books.run, "UPDATE request_made SET entered_code = ? WHERE home_id = ?", code, home_id
        )
        return True

    def paid(self, home_id: str, transfer_id: str) -> None:
        """Records that a transfer pays a request. The caller credits the customer in the same database transaction."""
        self._books.run(
            "UPDATE request_made SET state = 'PAID', transfer_id = ?, ended_at = ?"
            " WHERE home_id = ? AND state <> 'PAID'",
            transfer_id,
            time.time(),
            home_id,
        )

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_loop(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task. Threads and the event loop can call this function."""
        assert self._loop is not None, "the bank has not started"
        self._loop.call_soon_threadsafe(self._start, work)

    async def _follow(self, home_id: str) -> None:
        """Sends a request again and again until the payer's bank has answered. Then waits for the payer's later answer.

        After an unexpected error, such as a full disk or an odd response, the bank tries again.
        """
        pause = 0.5
        while True:
            try:
                if await self._is_answered(home_id):
                    return
            except Exception:
                log.exception("request_step_failed", request=home_id)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)

    async def _is_answered(self, home_id: str) -> bool:
        """Sends a request, or reads the state of a sent request. Returns whether the answer is final."""
        found = self.made(home_id)
        if found is None or found.state not in ("NEW", "ASKED"):
            return True
        if time.time() > found.created_at + OPEN_FOR_S:
            return True
        if found.state == "NEW":
            status, said = await self._calls.call("POST", "/requests", self._body(found))
        else:
            status, said = await self._calls.call("GET", f"/requests/{home_id}")
        await self._note(found, status, said)
        return False

    async def _note(self, found: RequestMade, status: int, said: dict[str, Any]) -> None:
        """Records the connector's report about a request."""
        state, code, text = found.state, None, None
        if status in (200, 202):
            code, text = said.get("errorCode"), said.get("errorDescription")
            if said.get("state") == "FAILED":
                state = "FAILED"
            elif said.get("answer") is not None:
                state = "REJECTED" if said["answer"] == "REJECTED" else "ASKED"
        elif is_refusal(status):
            state, code, text = "FAILED", code_of(said), text_of(said)
        if state == "NEW" and time.time() > found.created_at + _ASK_WITHIN_S:
            state, code = "FAILED", "2004"
        if state == found.state:
            return
        await asyncio.to_thread(
            self._books.run,
            "UPDATE request_made SET state = ?, payer_name = ?, payer_fsp = ?, error_code = ?, error_text = ?,"
            " ended_at = ? WHERE home_id = ? AND state IN ('NEW', 'ASKED')",
            state,
            said.get("payerName"),
            said.get("payerFsp"),
            code,
            (text or "")[:300],
            None if state == "ASKED" else time.time(),
            found.home_id,
        )

    def _body(self, found: RequestMade) -> dict[str, Any]:
        payee = self._customers.get(found.payee)
        assert payee is not None
        return {
            "homeRequestId": found.home_id,
            "from": {"idType": "MSISDN", "idValue": found.payer},
            "to": {"idType": "MSISDN", "idValue": payee.msisdn, "displayName": payee.name},
            "amountType": "SEND",
            "currency": found.currency,
            "amount": format_amount(found.amount),
            "transactionType": _SCENARIOS[found.kind],
            "initiatorType": payee.initiator,
            "note": found.note or None,
            "otp": found.needs_code,
        }

    # --- received by customers of this bank ---------------------------------------------------------------------------

    def take(self, told: dict[str, Any], payer: Customer | None, amount: int) -> None:
        """Stores a request that another bank has sent. Raises RequestRefused. A repeated request changes nothing."""
        if payer is None:
            raise RequestRefused("3204", "no such customer")
        if told["currency"] != payer.currency:
            raise RequestRefused("4103", f"the customer's account is in {payer.currency}")
        kind = _KINDS.get(told["transactionType"])
        if kind is None:
            raise RequestRefused("4102", "requests are for transfers, payments and withdrawals")
        payee = told["to"]
        needs_code = told.get("authenticationType") == "OTP"
        values = {
            "request_id": told["transactionRequestId"],
            "kind": kind,
            "payer": payer.msisdn,
            "payee_type": payee["idType"],
            "payee": payee["idValue"],
            "payee_name": payee.get("displayName"),
            "payee_fsp": payee["fspId"],
            "amount": amount,
            "currency": told["currency"],
            "note": told.get("note") or "",
            "code": (FIXED_CODE if payer.manner == "approves" else _new_code()) if needs_code else None,
            "approval_code": _new_code(),
            "state": "OPEN",
            "created_at": time.time(),
        }
        self._books.run(
            f"INSERT OR IGNORE INTO request_received ({', '.join(_RECEIVED)})"
            f" VALUES ({', '.join('?' * len(_RECEIVED))})",
            *(values[name] for name in _RECEIVED),
        )

    def received(self, request_id: str) -> RequestReceived | None:
        """Returns the received request with this id, or None."""
        found = self.find_received("request_id = ?", request_id)
        return found[0] if found else None

    def find_received(self, condition: str, *values: object, limit: int = NO_LIMIT) -> list[RequestReceived]:
        """Returns the received requests that meet the condition. The condition is SQL text that never contains the
        input of a user."""
        query = f"SELECT {', '.join(_RECEIVED)} FROM request_received WHERE {condition} LIMIT {limit}"
        return [RequestReceived(**dict(zip(_RECEIVED, row, strict=True))) for row in self._books.rows(query, *values)]

    def reject(self, request_id: str) -> None:
        """Ends a received request without a payment, and notifies the payee's bank."""
        with self._books.transaction():
            changed = self._books.run(
                "UPDATE request_received SET state = 'REJECTING' WHERE request_id = ? AND state = 'OPEN'", request_id
            )
            if changed and self._is_own(request_id):
                self._books.run("UPDATE request_received SET state = 'REJECTED' WHERE request_id = ?", request_id)
                self._books.run(
                    "UPDATE request_made SET state = 'REJECTED', ended_at = ? WHERE home_id = ? AND state = 'ASKED'",
                    time.time(),
                    request_id,
                )
                return
        if changed:
            self._on_loop(self._send_rejection(request_id))

    async def _send_rejection(self, request_id: str) -> None:
        pause = 0.5
        while True:
            try:
                status, _ = await self._calls.call("POST", f"/receivedRequests/{request_id}/reject")
                if status < 500:
                    rejected = "UPDATE request_received SET state = 'REJECTED' WHERE request_id = ?"
                    await asyncio.to_thread(self._books.run, rejected, request_id)
                    return
            except Exception:
                log.exception("rejection_step_failed", request=request_id)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def try_approval(self, request_id: str, code: str) -> int:
        """Returns 0 if the code is correct. If the code is wrong, returns the number of wrong codes that the customer
        has entered until now.

        After MOST_WRONG_CODES wrong codes, the bank refuses every further code for this request.
        """
        with self._books.transaction():
            row = self._books.row(
                "SELECT approval_code, wrong_tries FROM request_received WHERE request_id = ?", request_id
            )
            assert row is not None
            wanted, tries = str(row[0]), int(row[1])
            if tries >= MOST_WRONG_CODES:
                return tries
            if secrets.compare_digest(wanted.encode(), code.encode()):
                return 0
            self._books.run("UPDATE request_received SET wrong_tries = ? WHERE request_id = ?", tries + 1, request_id)
            return tries + 1

    def unanswered(self, payer: str) -> list[RequestReceived]:
        """Returns the requests that a customer has received and that no payment has answered yet, the latest first."""
        return self.find_received(
            "payer = ? AND created_at > ? AND state = 'OPEN' AND NOT EXISTS (SELECT 1 FROM instruction i WHERE"
            " i.request_id = request_received.request_id AND i.state IN ('SENT', 'PAID'))"
            " ORDER BY created_at DESC",
            payer,
            time.time() - OPEN_FOR_S,
            limit=_MOST_SHOWN,
        )

    def code_of(self, request_id: str) -> str | None:
        """Returns the one-time code of a received request, or None if the request has no code."""
        found = self.received(request_id)
        return None if found is None else found.code


def _new_code() -> str:
    return f"{secrets.randbelow(1_000_000):06}"
