"""What a payee's answers come to, right, wrong, early, late or again; and what GET tells of transfers and of funds."""

import json
import uuid
from typing import Any

import pytest

from hub.outbox.models import Message
from ledger.models import Transfer
from tests.api import messages
from tests.api.caller import admin, description_of, dfsp, error_of
from tests.api.test_operator_apis import account_id, funds
from tests.api.test_payment import last_message
from tests.keys import OTHER_FULFILMENT
from tests.world import World, amount


def prepared(**changes: Any) -> str:
    """The path of a transfer of 100 from green that blue is to answer."""
    body = messages.transfer(**changes)
    assert dfsp("POST", "/transfers", body, destination="blue").status_code == 202
    return f"/transfers/{body['transferId']}"


def answered(path: str, body: Any, *, version: str = "1.1", destination: str | None = "green") -> list[Message]:
    """Blue answers 200; returns what was said because of it."""
    before = Message.objects.count()
    assert dfsp("PUT", path, body, source="blue", destination=destination, version=version).status_code == 200
    return list(Message.objects.select_related("destination").order_by("id")[before:])


def said(found: list[Message]) -> list[tuple[str, str, str, str]]:
    """Each message as (to, method, the path's end, what it tells)."""
    return [
        (message.destination.name, message.method, message.path.rpartition("/")[2][:5], tells(message))
        for message in found
    ]


def tells(message: Message) -> str:
    body = json.loads(message.body)
    told: str = body["errorInformation"]["errorCode"] if "errorInformation" in body else body["transferState"]
    return told


def state(path: str) -> str:
    return Transfer.objects.get(pk=path.rpartition("/")[2]).state


@pytest.mark.parametrize(("seconds", "words"), [(3, "future"), (-301, "old")])
def test_a_moment_of_completion_that_can_not_be_is_refused_at_once(
    committed_world: World, seconds: float, words: str
) -> None:
    path = prepared()
    count = Message.objects.count()
    body = messages.fulfilment(completedTimestamp=messages.moment(seconds))
    refused = dfsp("PUT", path, body, source="blue", destination="green")
    assert error_of(refused) == (400, "3100")
    assert description_of(refused).startswith("Generic validation error - completedTimestamp: ")
    assert words in description_of(refused)
    assert (state(path), Message.objects.count()) == ("RESERVED", count)


@pytest.mark.parametrize("text", ["yesterday", "", "2026-01-01T00:00:00Z", "2026-02-30T00:00:00.000Z"])
def test_a_moment_of_completion_that_is_no_date_is_refused_at_once(committed_world: World, text: str) -> None:
    path = prepared()
    refused = dfsp("PUT", path, messages.fulfilment(completedTimestamp=text), source="blue", destination="green")
    assert error_of(refused) == (400, "3100")
    assert "completedTimestamp" in description_of(refused)
    assert state(path) == "RESERVED"


@pytest.mark.parametrize("told", ["ABORTED", "RECEIVED"])
def test_a_put_that_is_no_answer_is_taken_and_nothing_happens(committed_world: World, told: str) -> None:
    path = prepared()
    assert answered(path, {"transferState": told}) == []
    assert state(path) == "RESERVED"


@pytest.mark.parametrize("fulfilment", [OTHER_FULFILMENT, None])
def test_a_wrong_or_missing_fulfilment_aborts_and_both_are_told_3100(
    committed_world: World, fulfilment: str | None
) -> None:
    path = prepared()
    body = {name: value for name, value in messages.fulfilment(fulfilment=fulfilment).items() if value is not None}
    found = answered(path, body)
    assert said(found) == [("green", "PUT", "error", "3100"), ("blue", "PUT", "error", "3100")]
    descriptions = {json.loads(message.body)["errorInformation"]["errorDescription"] for message in found}
    assert descriptions == {"Generic validation error - invalid fulfilment"}
    assert committed_world.position("green") == 0


def test_a_payee_that_answered_reserved_wrongly_is_told_aborted_by_patch(committed_world: World) -> None:
    path = prepared()
    body = messages.fulfilment(transferState="RESERVED", fulfilment=OTHER_FULFILMENT)
    found = answered(path, body)
    assert [entry[:2] for entry in said(found)] == [("green", "PUT"), ("blue", "PATCH")]
    assert [tells(message) for message in found] == ["3100", "ABORTED"]
    assert committed_world.position("green") == 0


def test_an_answer_that_names_another_payer_aborts_with_3100(committed_world: World) -> None:
    path = prepared()
    found = answered(path, messages.fulfilment(), destination="red")
    assert said(found) == [("green", "PUT", "error", "3100"), ("blue", "PUT", "error", "3100")]
    assert state(path) == "ABORTED"


def test_a_reserved_of_version_1_0_is_left_to_its_expiry(committed_world: World) -> None:
    path = prepared()
    assert answered(path, messages.fulfilment(transferState="RESERVED"), version="1.0") == []
    assert state(path) == "RESERVED"


def test_the_same_answer_again_is_told_the_end_and_another_is_refused(committed_world: World) -> None:
    path = prepared()
    body = messages.fulfilment()
    assert said(answered(path, body))[0][:2] == ("green", "PUT")
    again = answered(path, body)
    assert [(m.destination.name, m.method, m.path, tells(m)) for m in again] == [("blue", "PUT", path, "COMMITTED")]
    assert again[0].signed_by_hub
    changed = answered(path, body | {"fulfilment": OTHER_FULFILMENT})
    assert said(changed) == [("blue", "PUT", "error", "3106")]
    assert (state(path), committed_world.position("green")) == ("COMMITTED", amount(100))


def test_the_same_prepare_after_the_end_is_told_the_end_and_another_is_refused(committed_world: World) -> None:
    body = messages.transfer()
    path = f"/transfers/{body['transferId']}"
    dfsp("POST", "/transfers", body, destination="blue")
    told = messages.fulfilment()
    answered(path, told)
    dfsp("POST", "/transfers", body, destination="blue")
    message = last_message()
    assert (message.destination.name, message.method, message.path) == ("green", "PUT", path)
    assert json.loads(message.body)["fulfilment"] == told["fulfilment"]
    assert "transferId" not in json.loads(message.body)
    dfsp("POST", "/transfers", body | {"amount": {"currency": "TZS", "amount": "1"}}, destination="blue")
    assert said([last_message()]) == [("green", "PUT", "error", "3106")]


def test_get_of_an_aborted_transfer_says_why(committed_world: World) -> None:
    path = prepared()
    answered(path, messages.fulfilment(fulfilment=OTHER_FULFILMENT))
    dfsp("GET", path)
    body = json.loads(last_message().body)
    assert body["transferState"] == "ABORTED"
    assert body["extensionList"]["extension"] == [
        {"key": "cause", "value": "3100: Generic validation error - invalid fulfilment"}
    ]


def test_get_of_funds_in_and_out_tells_their_owner_their_state(committed_world: World) -> None:
    path = f"/participants/green/accounts/{account_id('green', 'SETTLEMENT')}"
    paid_in, paid_out, kept = (str(uuid.uuid4()) for _ in range(3))

    def told(transfer_id: str, source: str = "green") -> tuple[str, str, str]:
        assert dfsp("GET", f"/transfers/{transfer_id}", source=source).status_code == 202
        message = last_message()
        assert (message.destination.name, message.headers["fspiop-source"], message.signed_by_hub) == (
            source,
            "Hub",
            True,
        )
        return message.method, message.path, tells(message)

    assert admin("POST", path, funds("recordFundsIn", "5", paid_in)).status_code == 202
    assert told(paid_in) == ("PUT", f"/transfers/{paid_in}", "COMMITTED")
    for transfer_id in (paid_out, kept):
        assert admin("POST", path, funds("recordFundsOutPrepareReserve", "2", transfer_id)).status_code == 202
        assert told(transfer_id)[2] == "RESERVED"
    for transfer_id, action in ((paid_out, "recordFundsOutCommit"), (kept, "recordFundsOutAbort")):
        end = {"action": action, "reason": "test"}
        assert admin("PUT", f"{path}/transfers/{transfer_id}", end).status_code == 202
    assert (told(paid_out)[2], told(kept)[2]) == ("COMMITTED", "ABORTED")
    assert told(paid_in, source="blue") == ("PUT", f"/transfers/{paid_in}/error", "3000")
