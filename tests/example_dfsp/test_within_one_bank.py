"""Payments between customers of one bank, by its pages: they need neither a connector nor a hub."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from example_dfsp import payments
from tests.example_dfsp.test_all_pages import AGENT, GRACE, SHOP, UPENDO, People, tell

UNIT = 10_000


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "PATIENCE_S", 0.3)


async def heading(found: People, who: str, path: str) -> str:
    _, text, _ = await found.ask(who, "GET", path)
    (heading,) = re.findall("<h1>(.*?)</h1>", text)
    return str(heading)


async def sent(found: People, who: str, path: str, **form: Any) -> str:
    """Where a form leads."""
    status, _, headers = await found.ask(who, "POST", path, form)
    assert status == 303, path
    return str(headers["Location"])


def change(found: People, *names: str) -> list[int]:
    """How much the balances differ from those that the customers began with."""
    assert found.bank.faults() == []
    assert found.bank.books.export()["sent"] == found.bank.books.export()["received"] == {}
    began = {customer.msisdn: customer.balance for customer in found.bank.customers.all}
    return [(found.bank.books.balance_of(name) - began.get(name, 0)) // UNIT for name in names]


def test_a_transfer_a_request_and_a_rejection(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        page = await sent(found, GRACE, "/send", number=UPENDO, amount="5000")
        assert await heading(found, GRACE, page) == "Is this right?"
        await sent(found, GRACE, f"{page}/confirm")
        assert await heading(found, GRACE, page) == "Paid"
        assert change(found, GRACE, UPENDO, "fees") == [-5050, 5000, 50]
        page = await sent(found, GRACE, "/request", number=UPENDO, amount="700")
        request_id = page.rsplit("/", 1)[1]
        payment = await sent(found, UPENDO, f"/asked/{request_id}/review")
        _, text, _ = await found.ask(UPENDO, "GET", payment)
        (code,) = re.findall(r"code is (\d{6})", text)
        for wrong in ("", "000000"):
            assert (await found.ask(UPENDO, "POST", f"{payment}/confirm", {"code": wrong}))[0] == 422
        await sent(found, UPENDO, f"{payment}/confirm", code=code)
        assert await heading(found, GRACE, page) == "Paid"
        assert change(found, GRACE, UPENDO) == [-4350, 4300]
        page = await sent(found, GRACE, "/request", number=UPENDO, amount="800")
        request_id = page.rsplit("/", 1)[1]
        await sent(found, UPENDO, f"/asked/{request_id}/reject")
        assert await heading(found, GRACE, page) == "Rejected"
        _, text, _ = await found.ask(GRACE, "GET", page)
        assert "800\N{NO-BREAK SPACE}TZS · Upendo Kimaro" in text
        assert change(found, GRACE, UPENDO) == [-4350, 4300]

    tell(tmp_path, story)


def test_three_wrong_codes_reject_a_request(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        page = await sent(found, GRACE, "/request", number=UPENDO, amount="700")
        payment = await sent(found, UPENDO, f"/asked/{page.rsplit('/', 1)[1]}/review")
        for _ in range(2):
            assert (await found.ask(UPENDO, "POST", f"{payment}/confirm", {"code": "000000"}))[0] == 422
        await sent(found, UPENDO, f"{payment}/confirm", code="000000")
        assert await heading(found, UPENDO, payment) == "Not paid"
        assert await heading(found, GRACE, page) == "Rejected"
        assert change(found, GRACE, UPENDO) == [0, 0]

    tell(tmp_path, story)


@pytest.mark.parametrize(("is_right", "change_of_agent", "end"), [(True, 2000, "Paid"), (False, 0, "Rejected")])
def test_a_cash_out_needs_the_code_that_the_customer_tells(
    is_right: bool, change_of_agent: int, end: str, tmp_path: Path
) -> None:
    async def story(found: People) -> None:
        page = await sent(found, AGENT, "/agent/cash-out", number=UPENDO, amount="2000")
        payment = await sent(found, UPENDO, f"/asked/{page.rsplit('/', 1)[1]}/review")
        await sent(found, UPENDO, f"{payment}/confirm")
        _, text, _ = await found.ask(UPENDO, "GET", payment)
        ((first, last),) = re.findall(r'class="secret">(\d{3}) (\d{3})', text)
        right = first + last
        assert change(found, "held") == [2050]
        await sent(found, AGENT, f"{page}/code", code=right if is_right else f"{(int(right) + 1) % 1_000_000:06}")
        for _ in range(40):
            if await heading(found, AGENT, page) == end:
                break
            await asyncio.sleep(0.1)
        assert change(found, AGENT, "held") == [change_of_agent, 0]
        _, history, _ = await found.ask(AGENT, "GET", "/history")
        assert ("Cash-out" in history) == is_right
        assert "Received" not in history

    tell(tmp_path, story)


def test_a_sale_by_code_and_its_refunds(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        sale = await sent(found, SHOP, "/till", amount="4500")
        _, text, _ = await found.ask(SHOP, "GET", sale)
        (code,) = re.findall(r'code-text">(.*?)<', text)
        payment = await sent(found, GRACE, "/scan", text=code)
        await sent(found, GRACE, f"{payment}/confirm")
        assert await heading(found, SHOP, sale) == "Paid"
        assert change(found, GRACE, SHOP, "fees") == [-4500, 4478, 22]
        (paid,) = found.bank.arrivals.find("a.scenario = 'PAYMENT'")
        page = f"/till/refund/{paid.transfer_id}"
        status, text, _ = await found.ask(SHOP, "POST", page, {"amount": "4500.01"})
        assert (status, "cannot be above the sale" in text) == (422, True)
        for amount in ("1000", "3500"):
            refund = await sent(found, SHOP, page, amount=amount)
            assert await heading(found, SHOP, refund) == "Is this right?"
            await sent(found, SHOP, f"{refund}/confirm")
            assert await heading(found, SHOP, refund) == "Paid"
        assert (await found.ask(SHOP, "POST", page, {"amount": "1"}))[0] == 422
        assert change(found, GRACE, SHOP) == [0, -22]
        refunds = found.bank.arrivals.find("a.scenario = 'REFUND'")
        assert [refund.note for refund in refunds] == ["", ""]  # a text in the shop's language is not the customer's
        _, receipt, _ = await found.ask(GRACE, "GET", f"/received/{refunds[0].transfer_id}")
        assert '<p class="quiet">Refund</p>' in receipt
        assert found.bank.instructions.find("state NOT IN ('PAID', 'FAILED')") == []

    tell(tmp_path, story)


@pytest.mark.parametrize("is_poor", [True, False])
def test_a_refund_that_was_too_high_is_made_with_a_smaller_amount(is_poor: bool, tmp_path: Path) -> None:
    async def story(found: People) -> None:
        sale = await sent(found, SHOP, "/till", amount="4500")
        _, text, _ = await found.ask(SHOP, "GET", sale)
        (code,) = re.findall(r'code-text">(.*?)<', text)
        payment = await sent(found, GRACE, "/scan", text=code)
        await sent(found, GRACE, f"{payment}/confirm")
        (paid,) = found.bank.arrivals.find("a.scenario = 'PAYMENT'")
        page, form = f"/till/refund/{paid.transfer_id}", {"amount": "4500" if is_poor else "4501"}
        if is_poor:
            found.bank.books.pay_out("rent", SHOP, found.bank.books.balance_of(SHOP) - 2000 * UNIT)
        form["reference"] = await reference_in(found, page)
        status, text, _ = await found.ask(SHOP, "POST", page, form)
        assert (status, "Enter a smaller amount." in text) == (422, True)
        (reference,) = re.findall('name="reference" value="(.*?)"', text)
        refund = await sent(found, SHOP, page, amount="1000", reference=reference)
        await sent(found, SHOP, f"{refund}/confirm")
        assert await heading(found, SHOP, refund) == "Paid"
        assert found.bank.instructions.find("state <> 'PAID'") == []

    tell(tmp_path, story)


def test_only_a_refund_whose_money_is_held_is_under_way(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        sale = await sent(found, SHOP, "/till", amount="4500")
        _, text, _ = await found.ask(SHOP, "GET", sale)
        (code,) = re.findall(r'code-text">(.*?)<', text)
        payment = await sent(found, GRACE, "/scan", text=code)
        await sent(found, GRACE, f"{payment}/confirm")
        (paid,) = found.bank.arrivals.find("a.scenario = 'PAYMENT'")
        page = f"/till/refund/{paid.transfer_id}"
        first, second, third = [await sent(found, SHOP, page, amount="4000") for _ in range(3)]
        await sent(found, SHOP, f"{third}/cancel")
        _, text, _ = await found.ask(SHOP, "GET", f"/received/{paid.transfer_id}")
        assert "/payments/" not in text
        await sent(found, SHOP, f"{first}/confirm")
        status, text, _ = await found.ask(SHOP, "POST", f"{second}/confirm")
        assert (status, "cannot be above the sale" in text) == (422, True)
        _, text, _ = await found.ask(SHOP, "GET", f"/received/{paid.transfer_id}")
        assert re.findall("/payments/[0-9a-f]+", text) == [first]
        assert "under way" not in text
        assert change(found, GRACE, "held") == [-500, 0]

    tell(tmp_path, story)


async def reference_in(found: People, page: str) -> str:
    _, text, _ = await found.ask(SHOP, "GET", page)
    (reference,) = re.findall('name="reference" value="(.*?)"', text)
    return str(reference)


def test_an_account_that_takes_nothing_costs_nothing(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        for number, amount in (("255712002001", "5000"), ("255712002003", "600000")):
            page = await sent(found, GRACE, "/send", number=number, amount=amount)
            assert await heading(found, GRACE, page) == "Not paid"
            _, text, _ = await found.ask(GRACE, "GET", page)
            assert "Fee of your bank" not in text
            assert "<dt>Total</dt>" not in text
        assert change(found, GRACE) == [0]

    tell(tmp_path, story)
