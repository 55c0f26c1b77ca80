"""A14: texts that look like an amount to some reader. Wherever an amount stands, they are refused and nothing moves."""

import copy
from typing import Any

import pytest

from hub.outbox.models import Message
from ledger.models import Transfer
from tests.api import messages
from tests.api.caller import admin, dfsp, error_of
from tests.api.test_operator_apis import account_id, funds
from tests.api.test_transaction_requests import request_to_pay
from tests.world import World

NO_AMOUNTS: list[Any] = [
    *("1e3", "1E3", "1_000", "1,000", "+5", "-5", "-0", " 10", "10 ", "10\n", "\t10", "00010", "0010.5", "1.", ".5"),
    *("1.10", "1.0", "1.00001", "0.00001", "1" + "0" * 18, "9" * 19, "0x10", "1/2", "ten", "", "NaN", "Infinity"),
    *("\u0661\u0660", "\uff11\uff10", "\u00b2", "1\u00a0000", "1\u200b0", "\u2212" + "1"),
    *(10, 10.5, True, None, [], ["10"], {}, {"amount": "10"}),
]
TOO_LARGE_FOR_ANY_LEDGER = ["1" + "0" * 14, "9" * 18]


def spoilt(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    body = copy.deepcopy(body)
    at = body
    *way, last = path.split(".")
    for step in way:
        at = at.setdefault(step, {"currency": "TZS"})
    at[last] = value
    return body


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/transfers", messages.transfer(), "amount.amount"),
        ("POST", "/quotes", messages.quote(), "amount.amount"),
        ("POST", "/quotes", messages.quote(), "fees.amount"),
        ("PUT", "/quotes/" + messages.quote()["quoteId"], messages.terms(), "transferAmount.amount"),
        ("PUT", "/quotes/" + messages.quote()["quoteId"], messages.terms(), "payeeFspFee.amount"),
        ("POST", "/transactionRequests", request_to_pay(), "amount.amount"),
    ],
    # Each process that collects makes ids of its own; a test's name has none of them.
    ids=["transfer", "quote", "fees", "terms", "payee-fee", "request-to-pay"],
)
def test_a14_what_is_no_amount_is_refused_and_named(
    world: World, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    for value in NO_AMOUNTS:
        refused = dfsp(method, path, spoilt(body, field, value), destination="blue")
        status, code = error_of(refused)
        assert status == 400, value
        assert code in ("3100", "3101"), value
        assert field in refused.content.decode(), value
    assert not Message.objects.exists()
    assert not Transfer.objects.exists()


def test_a14_an_amount_that_no_ledger_holds_or_of_nothing_is_refused(world: World) -> None:
    for text in [*TOO_LARGE_FOR_ANY_LEDGER, "0"]:
        body = messages.transfer(amount={"currency": "TZS", "amount": text})
        assert error_of(dfsp("POST", "/transfers", body, destination="blue")) == (400, "3100")
    for currency in ("ZZZ", "tzs", "TZ", "TZS ", "", "\u0422ZS", 834, None):
        body = messages.transfer(amount={"currency": currency, "amount": "1"})
        assert error_of(dfsp("POST", "/transfers", body, destination="blue"))[0] == 400
    assert not Transfer.objects.exists()


def test_a14_funds_of_no_amount_are_refused(world: World) -> None:
    path = f"/participants/green/accounts/{account_id('green', 'SETTLEMENT')}"
    before = world.account("green", "SETTLEMENT").posted_credits
    taken_by_this_api = {10, 10.5, "1.", "1.10", "1.0"}  # it takes numbers, and texts with zeros at the end
    for value in [*NO_AMOUNTS, *TOO_LARGE_FOR_ANY_LEDGER, "0"]:
        if type(value) is not bool and not isinstance(value, list | dict) and value in taken_by_this_api:
            continue
        body = funds("recordFundsIn", value, messages.transfer()["transferId"])
        assert error_of(admin("POST", path, body))[0] == 400, value
    assert world.account("green", "SETTLEMENT").posted_credits == before
