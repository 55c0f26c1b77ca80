"""The treasurer's figures: the used part of the limit, and the comparison of the hub's statement with the books."""

from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from example_dfsp.bank_application import Bank
from example_dfsp.books import Books
from example_dfsp.connector_calls import Answer
from example_dfsp.customers import Customer
from example_dfsp.instructions import Instruction
from example_dfsp.pages import treasury
from example_dfsp.pages.treasury import compare
from tests.example_dfsp.test_all_pages import People, tell

UNIT, ASHA = 10_000, "255712001001"
SINCE, UNTIL = 1_700_000_000.0, 1_700_003_600.0


def bank_with(folder: Path, begun: float, ended: float) -> Bank:
    """A bank with one payment that the hub's statement does not have."""
    bank = Bank("green", [Customer("green", ASHA, "Asha", 1000 * UNIT, "")], Books(folder / "books.sqlite3"), "")
    new = Instruction(
        reference="R", kind="transfer", payer=ASHA, payee_type="MSISDN", payee="1", amount=UNIT, currency="TZS"
    )
    bank.instructions.add(new)
    bank.instructions.send("R")
    bank.instructions.paid("R", "T", UNIT)
    bank.books.run("UPDATE instruction SET created_at = ?, ended_at = ?", begun, ended)
    return bank


@pytest.mark.parametrize(
    ("begun", "ended", "found"),
    [
        (SINCE + 600, SINCE + 610, ["NOT_AT_HUB"]),
        (SINCE - 10, SINCE + 600, []),  # the hub can have received it before the statement begins
        (SINCE + 60, SINCE + 70, []),
        (SINCE + 600, UNTIL - 60, []),  # confirmed long after it was begun
        (SINCE + 600, UNTIL + 600, []),
    ],
)
def test_only_a_payment_that_is_clearly_within_the_time_is_missing_at_the_hub(
    begun: float, ended: float, found: list[str], tmp_path: Path
) -> None:
    bank = bank_with(tmp_path, begun, ended)
    assert [line.kind for line in compare(bank, [], SINCE, UNTIL).differences] == found


def line(transfer_id: str, at: float) -> dict[str, str]:
    return {
        "transferId": transfer_id,
        "direction": "OUT",
        "state": "ABORTED",
        "amount": "1",
        "currency": "TZS",
        "payerFsp": "greenbank",
        "payeeFsp": "blue",
        "receivedDate": treasury._date(at),
    }


@pytest.mark.parametrize(("is_cut", "words"), [(True, "The hub and the books agree"), (False, "do not agree")])
def test_a_statement_that_is_cut_shows_no_later_payment_as_missing(
    is_cut: bool, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story(people: People) -> None:
        bank = people.bank
        now = treasury.time.time()
        bank.instructions.add(
            Instruction(
                reference="R", kind="transfer", payer=ASHA, payee_type="MSISDN", payee="1", amount=UNIT, currency="TZS"
            )
        )
        bank.instructions.send("R")
        bank.instructions.paid("R", "T", UNIT)
        bank.books.run("UPDATE instruction SET created_at = ?, ended_at = ?", now - 1800, now - 1790)

        async def call(method: str, path: str, body: object = None) -> Answer:
            lines = [line(f"A{number}", now - 3000) for number in range(20_000 if is_cut else 1)]
            return 200, {"transfers": lines, "next": "more" if is_cut else None}

        monkeypatch.setattr(bank.calls, "call", call)
        _, text, _ = await people.ask("treasurer", "GET", "/reconciliation?hours=1")
        assert words in text

    tell(tmp_path, story)


def test_reserved_money_is_counted_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub's position includes the reserved amounts."""

    async def story(people: People) -> None:
        async def call(method: str, path: str, body: object = None) -> Answer:
            if path != "/positions":
                return 200, {"transfers": []}
            amounts = {"position": "700", "reserved": "200", "netDebitCap": "1000", "cover": "2000"}
            found = amounts | {"currency": "TZS", "isActive": True, "limit": "1000", "free": "300"}
            return 200, {"positions": [found]}

        monkeypatch.setattr(people.bank.calls, "call", call)
        _, text, _ = await people.ask("treasurer", "GET", "/treasury")
        assert f'max="{1000 * UNIT}" value="{700 * UNIT}"' in text
        assert ">500\N{NO-BREAK SPACE}TZS<" in text  # owed, without the reserved amounts
        assert ">200\N{NO-BREAK SPACE}TZS<" in text

    tell(tmp_path, story)


def exchange(at: float) -> dict[str, str]:
    return {
        "role": "INITIATOR",
        "side": "PAYER",
        "sourceAmount": "20000",
        "sourceCurrency": "TZS",
        "targetAmount": "1020",
        "targetCurrency": "KES",
        "state": "COMMITTED",
        "receivedDate": treasury._date(at),
    }


def test_a_converted_payment_counts_as_the_money_that_the_bank_paid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The bank pays TZS to the FXP. The amount that arrives in KES is not the bank's money."""

    async def story(people: People) -> None:
        async def call(method: str, path: str, body: object = None) -> Answer:
            if path == "/positions":
                return 200, {"positions": []}
            at = treasury.time.time() - 30
            arrives = {"state": "COMMITTED", "amount": "1020", "currency": "KES", "isConverted": True}
            return 200, {"transfers": [line("T", at) | arrives], "conversions": [exchange(at)]}

        monkeypatch.setattr(people.bank.calls, "call", call)
        _, text, _ = await people.ask("treasurer", "GET", "/treasury")
        assert "Currency exchange" in text
        assert "\N{MINUS SIGN}20,000\N{NO-BREAK SPACE}TZS" in text
        assert "KES" not in text
        _, text, _ = await people.ask("treasurer", "GET", "/reconciliation")
        assert "<strong>20,000\N{NO-BREAK SPACE}TZS</strong>" in text

    tell(tmp_path, story)


def test_the_treasurer_sees_the_latest_transfers_of_a_busy_hour(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page of the hub's statement begins with the oldest lines, and has at most a thousand lines."""
    asked = []

    async def story(people: People) -> None:
        async def call(method: str, path: str, body: object = None) -> Answer:
            if path == "/positions":
                amounts = {"position": "1500", "reserved": "0", "limit": "5000", "cover": "9000"}
                return 200, {"positions": [{"currency": "TZS"} | amounts]}
            query = parse_qs(urlsplit(path).query)
            begin = datetime.fromisoformat(query["since"][0]).timestamp()
            asked.append(round(treasury.time.time() - begin))
            first = int(query.get("after", ["0"])[0])
            lines = [line(f"T{n}", begin + n / 100) | {"amount": str(n + 1)} for n in range(first, first + 1000)]
            return 200, {"transfers": lines, "next": "1000" if first == 0 else None}

        monkeypatch.setattr(people.bank.calls, "call", call)
        _, text, _ = await people.ask("treasurer", "GET", "/treasury")
        assert "2,000\N{NO-BREAK SPACE}TZS" in text
        assert "Used: 1,500\N{NO-BREAK SPACE}TZS of 5,000\N{NO-BREAK SPACE}TZS" in text
        assert asked == [60, 60]

    tell(tmp_path, story)


def test_test_money_stands_after_the_banks_own_currency(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def story(people: People) -> None:
        async def call(method: str, path: str, body: object = None) -> Answer:
            return 200, {"positions": [], "transfers": []}

        monkeypatch.setattr(people.bank.calls, "call", call)
        _, text, _ = await people.ask("treasurer", "GET", "/treasury")
        assert 0 < text.index("<h3>TZS") < text.index("<h3>XTS")

    tell(tmp_path, story)
