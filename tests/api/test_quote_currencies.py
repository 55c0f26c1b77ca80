"""Who is asked for terms must hold an account in the currency: else the hub answers, as for a disabled participant."""

from typing import Any

import pytest

from ledger import accounts_and_funds
from ledger.models import Account
from tests import fx_world
from tests.api import fx_messages, iso_messages, messages
from tests.api.test_fx_agreement import fx
from tests.api.test_iso20022 import last_message, reason_of
from tests.api.test_send_only_receive_only import PASSED_ON, ask, said
from tests.api.test_transaction_requests import request_to_pay
from tests.world import World

pytestmark = pytest.mark.django_db(transaction=True)

NO_ACCOUNT = "3201"
KES = {"currency": "KES", "amount": "5"}


def disable(account: Account) -> None:
    accounts_and_funds.set_account_active(account, is_active=False, actor="test")


def item(quote: dict[str, Any], amount: dict[str, str]) -> dict[str, Any]:
    return quote | {"amount": amount}


def test_a_quote_goes_to_a_payee_with_an_account_in_the_currency(committed_world: World) -> None:
    assert ask("/quotes", messages.quote()) == PASSED_ON
    assert ask("/quotes", messages.quote(amount=KES)) == NO_ACCOUNT
    disable(committed_world.account("blue"))
    assert ask("/quotes", messages.quote()) == NO_ACCOUNT


def test_the_same_in_the_iso_20022_form(committed_world: World) -> None:
    disable(committed_world.account("blue"))
    answer = iso_messages.iso("POST", "/quotes", iso_messages.quote(), source="green", destination="blue")
    assert answer.status_code == 202
    assert (last_message().destination.name, reason_of(last_message())) == ("green", NO_ACCOUNT)


def test_a_bulk_quote_goes_where_each_currency_of_it_has_an_account(committed_world: World) -> None:
    body = messages.bulk_quote()
    assert ask("/bulkQuotes", body) == PASSED_ON
    first, second = messages.bulk_quote()["individualQuotes"]
    mixed = messages.bulk_quote(individualQuotes=[first, item(second, KES)])
    assert ask("/bulkQuotes", mixed) == NO_ACCOUNT


def test_a_request_to_pay_goes_to_a_payer_with_an_account_in_the_currency(committed_world: World) -> None:
    asked = {"source": "blue", "destination": "green"}
    assert ask("/transactionRequests", request_to_pay(), **asked) == PASSED_ON
    assert ask("/transactionRequests", request_to_pay(amount=KES), **asked) == NO_ACCOUNT


@pytest.mark.parametrize("currency", ["TZS", "KES"])
def test_an_fx_quote_goes_to_an_fxp_with_accounts_in_both_currencies(committed_world: World, currency: str) -> None:
    fx_world.open_scheme(committed_world)
    assert fx("POST", "/fxQuotes", fx_messages.fx_quote(), destination="fxp").status_code == 202
    assert said("green") == PASSED_ON
    disable(committed_world.account("fxp", currency=currency))
    assert fx("POST", "/fxQuotes", fx_messages.fx_quote(), destination="fxp").status_code == 202
    assert said("green") == NO_ACCOUNT


def test_a_payee_that_converts_is_asked_in_a_currency_that_its_fxp_holds(committed_world: World) -> None:
    fx_world.open_scheme(committed_world)
    disable(committed_world.account("blue"))  # it is left with the account that it is paid in
    rate = {"sourceAmount": {"currency": "TZS", "amount": "100"}, "targetAmount": KES}
    other = rate | {"targetAmount": {"currency": "UGX", "amount": "5"}}
    for more, answer in (
        ({}, NO_ACCOUNT),
        ({"converter": "PAYER", "currencyConversion": rate}, NO_ACCOUNT),
        ({"converter": "PAYEE"}, PASSED_ON),
        ({"converter": "PAYEE", "currencyConversion": rate}, PASSED_ON),
        ({"converter": "PAYEE", "currencyConversion": other}, NO_ACCOUNT),
    ):
        assert fx("POST", "/quotes", messages.quote(**more), destination="blue").status_code == 202
        assert said("green") == answer, more
