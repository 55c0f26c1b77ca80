"""A request to pay that was rejected, has expired, or had too many wrong codes is never paid."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from example_dfsp import payments
from example_dfsp.instructions import Instruction
from example_dfsp.requests_to_pay import MOST_WRONG_CODES, OPEN_FOR_S
from tests.example_dfsp.cases import each
from tests.example_dfsp.test_all_pages import GRACE, UPENDO, People, tell
from tests.example_dfsp.test_within_one_bank import change, heading, sent

WRONG = {"code": "not it"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payments, "PATIENCE_S", 0.3)


async def asked(found: People) -> tuple[str, str]:
    """The id and the approval code of a new request from Grace to Upendo."""
    request_id = (await sent(found, GRACE, "/request", number=UPENDO, amount="700")).rsplit("/", 1)[1]
    received = found.bank.requests.received(request_id)
    assert received is not None
    return request_id, received.approval_code


async def reject(found: People, request_id: str) -> None:
    await sent(found, UPENDO, f"/asked/{request_id}/reject")


async def expire(found: People, request_id: str) -> None:
    found.bank.books.run(
        "UPDATE request_received SET created_at = created_at - ? WHERE request_id = ?", OPEN_FOR_S, request_id
    )


async def guess(found: People, request_id: str) -> None:
    page = await sent(found, UPENDO, f"/asked/{request_id}/review")
    for _ in range(MOST_WRONG_CODES):
        await found.ask(UPENDO, "POST", f"{page}/confirm", WRONG)


@each("end", {"rejected": reject, "expired": expire, "three wrong codes": guess})
def test_an_ended_request_is_not_reviewed_again(end: Callable[[People, str], Awaitable[None]], tmp_path: Path) -> None:
    async def story(found: People) -> None:
        request_id, _ = await asked(found)
        await end(found, request_id)
        before = found.bank.instructions.find("1")
        status, text, _ = await found.ask(UPENDO, "POST", f"/asked/{request_id}/review")
        assert (status, "was rejected or has expired" in text) == (422, True)
        _, text, _ = await found.ask(UPENDO, "GET", f"/asked/{request_id}")
        assert "/review" not in text
        assert found.bank.instructions.find("1") == before
        assert change(found, GRACE, UPENDO) == [0, 0]

    tell(tmp_path, story)


def test_a_reviewed_request_that_expires_is_not_confirmed(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        request_id, code = await asked(found)
        page = await sent(found, UPENDO, f"/asked/{request_id}/review")
        await expire(found, request_id)
        status, text, _ = await found.ask(UPENDO, "POST", f"{page}/confirm", {"code": code})
        assert (status, "was rejected or has expired" in text) == (422, True)
        assert change(found, GRACE, UPENDO) == [0, 0]

    tell(tmp_path, story)


def test_the_code_is_compared_before_the_terms_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The terms can become known between the comparison and the payment."""

    async def story(found: People) -> None:
        request_id, _ = await asked(found)
        offer = found.bank.payments._own.offer
        monkeypatch.setattr(found.bank.payments._own, "offer", lambda payment: None)
        page = await sent(found, UPENDO, f"/asked/{request_id}/review")
        reference = page.rsplit("/", 1)[1]
        confirm = found.bank.payments.confirm

        async def confirm_later(reference: str) -> object:
            payment = await found.bank.payments.get(reference)
            assert payment is not None
            await asyncio.to_thread(offer, payment)
            return await confirm(reference)

        monkeypatch.setattr(found.bank.payments, "confirm", confirm_later)
        assert (await found.ask(UPENDO, "POST", f"{page}/confirm", WRONG))[0] == 422
        payment = found.bank.instructions.get(reference)
        assert payment is not None
        assert payment.state == "NEW"
        assert change(found, GRACE, UPENDO, "held") == [0, 0, 0]

    tell(tmp_path, story)


@pytest.mark.parametrize("is_paid", [True, False])
def test_a_second_page_of_the_same_request_pays_nothing(is_paid: bool, tmp_path: Path) -> None:
    async def story(found: People) -> None:
        request_id, code = await asked(found)
        received = found.bank.requests.received(request_id)
        assert received is not None
        both = [found.bank.approvals.payment_for(received) for _ in range(2)]  # as two pages at the same moment
        for payment in both:
            assert (await found.bank.payments.ask(payment)).state == "OFFERED"
        first, second = (f"/payments/{payment.reference}" for payment in both)
        if is_paid:
            await sent(found, UPENDO, f"{first}/confirm", code=code)
        else:
            found.bank.requests.reject(request_id)
        status, text, _ = await found.ask(UPENDO, "POST", f"{second}/confirm", {"code": code})
        words = "was paid or rejected before" if is_paid else "was rejected or has expired"
        assert (status, words in text) == (422, True)
        assert await heading(found, UPENDO, second) == "Is this right?"
        assert change(found, GRACE) == [700 if is_paid else 0]

    tell(tmp_path, story)


def test_the_books_hold_no_money_for_a_rejected_request(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        request_id, _ = await asked(found)
        received = found.bank.requests.received(request_id)
        assert received is not None
        offered = await found.bank.payments.ask(found.bank.approvals.payment_for(received))
        found.bank.requests.reject(request_id)
        with pytest.raises(payments.Conflict, match="rejected"):
            await found.bank.payments.confirm(offered.reference)
        assert change(found, UPENDO, "held") == [0, 0]

    tell(tmp_path, story)


def test_no_code_is_correct_after_three_wrong_ones(tmp_path: Path) -> None:
    async def story(found: People) -> None:
        request_id, code = await asked(found)
        tries = [found.bank.requests.try_approval(request_id, wrong) for wrong in ("1", "2", "3", code)]
        assert tries == [1, 2, 3, 3]

    tell(tmp_path, story)


def test_a_request_that_another_page_pays_is_not_rejected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def story(found: People) -> None:
        request_id, _ = await asked(found)
        received = found.bank.requests.received(request_id)
        assert received is not None
        both = [found.bank.approvals.payment_for(received) for _ in range(2)]
        for payment in both:
            await found.bank.payments.ask(payment)
        decline = found.bank.payments.decline

        async def decline_and_pay_the_other(reference: str) -> Instruction:
            declined = await decline(reference)
            (other,) = {payment.reference for payment in both} - {reference}
            await found.bank.payments.confirm(other)
            return declined

        monkeypatch.setattr(found.bank.payments, "decline", decline_and_pay_the_other)
        await reject(found, request_id)
        after = found.bank.requests.received(request_id)
        assert after is not None
        assert after.state == "OPEN"
        assert change(found, GRACE) == [700]

    tell(tmp_path, story)
