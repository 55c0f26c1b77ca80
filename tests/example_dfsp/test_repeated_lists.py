"""A list of payments that was paid before: it is not paid a second time, unless the office decides so."""

import asyncio
import re
import time
from pathlib import Path

import aiohttp
import pytest

from example_dfsp.payment_batches import IsRepeated
from example_dfsp.payment_lists import MOST_LINES, Line
from tests.example_dfsp.test_all_pages import GRACE, OFFICE, UPENDO, People, tell
from tests.example_dfsp.test_within_one_bank import change, sent

CLOSED = "255712002001"
LIST = f"id,to,amount,currency,note\nN-1,{GRACE},100,TZS,\nN-2,{UPENDO},200,TZS,\nN-3,{CLOSED},300,TZS,\n"


async def upload(found: People, text: str) -> str:
    """The page of a new list."""
    form = aiohttp.FormData({"reference": "no"})
    form.add_field("file", text.encode(), filename="november.csv", content_type="text/csv")
    status, _, headers = await found.ask(OFFICE, "POST", "/bulk", form)
    assert status == 303
    return str(headers["Location"])


async def pay(found: People, page: str, **form: str) -> str:
    """Begins to pay a list, and waits for its end. Returns its state."""
    await sent(found, OFFICE, f"{page}/pay", **form)
    for _ in range(1000):
        batch = found.bank.batches.get(page.rsplit("/", 1)[1])
        assert batch is not None
        if batch.state != "RUNNING":
            break
        await asyncio.sleep(0.02)
    return batch.state


async def text_of(found: People, page: str) -> str:
    _, text, _ = await found.ask(OFFICE, "GET", page)
    return text


def test_a_list_is_not_paid_twice_without_a_decision(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        first = await upload(found, LIST)
        assert "an earlier list" not in await text_of(found, first)
        assert await pay(found, first) == "ENDED"
        assert change(found, GRACE, UPENDO) == [100, 200]
        results = await text_of(found, f"{first}/results.csv")
        for again in (LIST, results):
            page = await upload(found, again)
            text = await text_of(found, page)
            assert "or under way: 2 of these payments." in text
            assert "Pay only the others: 300" in text
            assert len(re.findall("N-1</td>", text)) == 2  # in the earlier list, and in this list
            for form in ({}, {"repeats": ""}, {"repeats": "refuse"}):
                assert await pay(found, page, **form) == "CHECKED"
        assert change(found, GRACE, UPENDO) == [100, 200]

    tell(tmp_path, story)


@pytest.mark.parametrize(("choice", "lines", "paid"), [("leave out", 1, [100, 200]), ("pay again", 3, [200, 400])])
def test_the_office_decides_about_payments_that_were_made(
    choice: str, lines: int, paid: list[int], tmp_path: Path
) -> None:
    async def story(found: People) -> None:
        assert await pay(found, await upload(found, LIST)) == "ENDED"
        again = await upload(found, LIST)
        assert await pay(found, again, repeats=choice) == "ENDED"
        assert change(found, GRACE, UPENDO) == paid
        batch = found.bank.batches.get(again.rsplit("/", 1)[1])
        assert batch is not None
        assert batch.lines == len(found.bank.batches.results(batch.id)) == lines
        assert batch.total == sum(result.amount for result in found.bank.batches.results(batch.id))

    tell(tmp_path, story)


def test_of_two_uploads_in_two_windows_only_one_is_paid(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        pages = [await upload(found, LIST) for _ in range(2)]
        assert [await pay(found, page) for page in pages] == ["ENDED", "CHECKED"]
        assert change(found, GRACE, UPENDO) == [100, 200]

    tell(tmp_path, story)


def test_a_list_of_payments_that_are_all_made_has_nothing_else_to_pay(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        text = "".join(LIST.splitlines(keepends=True)[:3])
        assert await pay(found, await upload(found, text)) == "ENDED"
        again = await upload(found, text)
        assert "Pay only the others" not in await text_of(found, again)
        assert await pay(found, again, repeats="leave out") == "CHECKED"

    tell(tmp_path, story)


def test_what_differs_or_was_discarded_or_failed_is_no_repetition(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        discarded = await upload(found, LIST)
        await sent(found, OFFICE, f"{discarded}/withdraw")
        assert await pay(found, await upload(found, LIST)) == "ENDED"
        december = LIST.replace("N-1", "D-1").replace(
            ",200,", ",250,"
        )  # another id, another amount, and one that failed
        assert await pay(found, await upload(found, december)) == "ENDED"
        assert change(found, GRACE, UPENDO) == [200, 450]

    tell(tmp_path, story)


def test_ten_thousand_lines_are_compared_in_a_moment(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        lines = [Line(number, f"S{number}", "255655001001", 100) for number in range(2, MOST_LINES + 2)]
        batches, books = found.bank.batches, found.bank.books
        for name in ("a", "b", "c", "d"):
            batches.add(name, OFFICE, "benefit", "x.csv", "TZS", lines)
            if name != "d":
                books.run("UPDATE batch SET state = 'ENDED', begun_at = ? WHERE id = ?", time.time(), name)
        books.run_many(
            "INSERT INTO instruction (reference, kind, payer, payee_type, payee, amount, currency, note, asks_first,"
            " state, batch_id, line, created_at) VALUES (?, 'benefit', ?, 'MSISDN', '255655001001', 100, 'TZS', '', 0,"
            " iif(? = 'a' AND ? % 2, 'PAID', 'FAILED'), ?, ?, 0)",
            [
                (f"{name}{line.number}", OFFICE, name, line.number, name, line.number)
                for name in ("a", "b")
                for line in lines
            ],
        )
        batch = batches.get("d")
        assert batch is not None
        began = time.perf_counter()
        repeats = batches.repeats(batch)
        took = time.perf_counter() - began
        assert (len(repeats.lines), repeats.amount) == (MOST_LINES, MOST_LINES * 100)  # "c" was not begun with any line
        assert took < 2
        with pytest.raises(IsRepeated):
            batches.begin("d")
        books.run("UPDATE batch SET state = 'WITHDRAWN' WHERE id = 'c'")
        assert len(batches.repeats(batch).lines) == MOST_LINES / 2

    tell(tmp_path, story)
