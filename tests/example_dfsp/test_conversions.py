"""Payments between customers with accounts in two currencies, by the pages of two banks."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from example_dfsp import emv_codes, payments
from example_dfsp.customers import read_customers
from example_dfsp.pages.wallet import code_of
from tests.example_dfsp.test_all_pages import GRACE, SHOP, People
from tests.example_dfsp.test_within_one_bank import UNIT, heading, sent
from tests.example_dfsp.two_banks import two_banks

WANJIKU, EMPLOYER = "254722001001", "255712005001"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "PATIENCE_S", 0.5)


def tell(folder: Path, story: Callable[[People, People], Awaitable[None]]) -> None:
    async def run() -> None:
        async with two_banks(folder, read_customers()) as (green, blue):
            await story(green, blue)
            assert [found.bank.faults() for found in (green, blue)] == [[], []]

    asyncio.run(run())


def gained(found: People, who: str) -> int:
    """What a balance has more than at the beginning, in whole units."""
    customer = found.bank.customers.get(who)
    assert customer is not None
    return (found.bank.books.balance_of(who) - customer.balance) // UNIT


def test_a_sale_that_was_converted_is_refunded_at_a_rate_that_the_shop_sees(tmp_path: Path) -> None:
    """Before, the refund failed, and its page said that nobody converts the currency."""

    async def story(green: People, blue: People) -> None:
        shop = green.bank.customers.get(SHOP)
        assert shop is not None
        payment = await sent(blue, WANJIKU, "/scan", text=emv_codes.written(code_of(shop)), amount="100")
        await sent(blue, WANJIKU, f"{payment}/confirm")
        assert await heading(blue, WANJIKU, payment) == "Paid"
        assert (gained(blue, WANJIKU), gained(green, SHOP)) == (-100, 1_891)  # 1,900 TZS, of which the bank keeps 9
        (sale,) = green.bank.arrivals.find("1")
        refund = await sent(green, SHOP, f"/till/refund/{sale.transfer_id}", amount="1000")
        _, page, _ = await green.ask(SHOP, "GET", refund)
        shown = page.replace("\xa0", " ")
        assert "51 KES" in shown
        assert "1 KES = 19.60 TZS" in shown
        assert gained(green, SHOP) == 1_891  # nothing is paid before the shop has seen the rate
        await sent(green, SHOP, f"{refund}/confirm")
        assert await heading(green, SHOP, refund) == "Paid"
        assert (gained(blue, WANJIKU), gained(green, SHOP)) == (-49, 891)
        (back,) = blue.bank.arrivals.find("1")
        assert (back.scenario, back.refund_of) == ("REFUND", sale.transaction_id)

    tell(tmp_path, story)


def test_the_results_of_a_list_show_what_each_recipient_gets(tmp_path: Path) -> None:
    async def story(green: People, blue: People) -> None:
        form = aiohttp.FormData({"reference": "no"})
        text = f"id,to,amount,currency\nS1,{WANJIKU},20000,TZS\nS2,{GRACE},300,TZS\n"
        form.add_field("file", text.encode(), filename="november-2026.csv", content_type="text/csv")
        _, _, headers = await green.ask(EMPLOYER, "POST", "/bulk", form)
        page = headers["Location"]
        await sent(green, EMPLOYER, f"{page}/pay")
        for _ in range(100):
            _, text, _ = await green.ask(EMPLOYER, "GET", page)
            if "Done" in text:
                break
            await asyncio.sleep(0.05)
        assert "1,020 KES" in text.replace("\xa0", " ")
        assert (gained(green, EMPLOYER), gained(blue, WANJIKU)) == (-20_300, 1_020)
        _, results, headers = await green.ask(EMPLOYER, "GET", f"{page}/results.csv")
        assert [line.split(",")[-2:] for line in results.splitlines()[1:]] == [["1020", "KES"], ["300", "TZS"]]
        assert headers["Content-Disposition"] == 'attachment; filename="november-2026.results.csv"'

    tell(tmp_path, story)
