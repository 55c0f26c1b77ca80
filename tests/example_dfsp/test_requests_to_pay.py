"""Requests to pay after a restart of the bank: each of them is continued, however many there are."""

import asyncio
import time
from pathlib import Path

import pytest

from example_dfsp.bank_application import Bank
from example_dfsp.books import Books
from example_dfsp.customers import Customer
from example_dfsp.requests_to_pay import RequestMade

ASHA, JUMA, ELSEWHERE = "255712001001", "255712001002", "255655001001"
MANY = 250


def bank_in(folder: Path) -> Bank:
    customers = [Customer("green", number, number, 1_000_000, "") for number in (ASHA, JUMA)]
    return Bank("green", customers, Books(folder / "books.sqlite3"), "http://127.0.0.1:9")


def test_all_open_requests_are_continued(tmp_path: Path) -> None:
    """Before, it was two hundred, and the requests between the bank's own customers were among them."""

    async def run() -> None:
        bank, now = bank_in(tmp_path), time.time()
        made = [(f"own {number}", JUMA, "green", now) for number in range(MANY)]
        made += [(f"other {number}", ELSEWHERE, "blue" if number % 2 else None, now) for number in range(MANY)]
        bank.books.run_many(
            "INSERT INTO request_made (home_id, kind, payee, payer, amount, currency, note, state, payer_fsp,"
            f" created_at) VALUES (?, 'transfer', '{ASHA}', ?, 1, 'TZS', '', 'ASKED', ?, ?)",
            made,
        )
        bank.books.run_many(
            "INSERT INTO request_received (request_id, kind, payer, payee_type, payee, payee_fsp, amount, currency,"
            f" note, approval_code, state, created_at) VALUES (?, 'transfer', '{ASHA}', 'MSISDN', '1', 'blue', 1,"
            " 'TZS', '', '1', 'REJECTING', 0)",
            [(str(number),) for number in range(MANY)],
        )
        continued: list[str] = []

        async def note(request_id: str) -> None:
            continued.append(request_id)

        bank.requests._follow = bank.requests._send_rejection = note  # type: ignore[method-assign]
        bank.requests.resume()
        await asyncio.sleep(0)
        assert len(continued) == 2 * MANY
        assert [found for found in continued if found.startswith("own")] == []
        assert bank.requests.open_of(ASHA) == 2 * MANY

    asyncio.run(run())


def test_a_request_to_a_customer_of_the_bank_reaches_the_customer_or_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a bank that stopped in between left a request that nobody could answer."""

    async def run() -> None:
        bank = bank_in(tmp_path)
        request = RequestMade(home_id="Q", kind="transfer", payee=ASHA, payer=JUMA, amount=10_000, currency="TZS")
        with monkeypatch.context() as stopped:

            def stop(*_: object) -> None:
                raise KeyboardInterrupt

            stopped.setattr(bank.requests, "take", stop)
            with pytest.raises(KeyboardInterrupt):
                bank.requests._add(request)
        assert bank.requests.made("Q") is None
        assert (await bank.requests.make(request)).state == "ASKED"
        assert [found.request_id for found in bank.requests.unanswered(JUMA)] == ["Q"]

    asyncio.run(run())
