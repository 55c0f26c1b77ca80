"""Bulk transfers through the API: who is told what, what each item comes to, and what resends and strangers get."""

import json
import uuid
from typing import Any

import pytest
from django.db import connection

from hub.outbox.models import Message
from hub.participants.models import Participant
from ledger import accounts_and_funds, invariants, tasks
from ledger.bulk.models import BulkTransfer
from ledger.models import Entry, Transfer
from tests.api import messages
from tests.api.caller import description_of, dfsp, error_of
from tests.keys import FULFILMENT, OTHER_FULFILMENT
from tests.outbox.messages import deliver_all
from tests.world import World, amount


def about(body: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """What waits in the outbox about a bulk, in order: (destination, method, path, kind)."""
    rows = Message.objects.filter(subject=body["bulkTransferId"]).order_by("id")
    return list(rows.values_list("destination__name", "method", "path", "kind"))


def last(destination: str) -> Message:
    return Message.objects.filter(destination__name=destination).latest("created_at", "id")


def told(destination: str) -> dict[str, Any]:
    """The body of the last message to a DFSP."""
    found: dict[str, Any] = json.loads(last(destination).body)
    return found


def results(destination: str) -> dict[str, str]:
    """What a DFSP was told last of each item: its fulfilment, an error code, or nothing yet."""
    return {
        result["transferId"]: result.get("fulfilment") or result.get("errorInformation", {}).get("errorCode", "")
        for result in told(destination)["individualTransferResults"]
    }


def ids(body: dict[str, Any]) -> list[str]:
    return [item["transferId"] for item in body["individualTransfers"]]


def post(body: dict[str, Any] | bytes, **more: Any) -> None:
    assert dfsp("POST", "/bulkTransfers", body, **more).status_code == 202


def answer(body: dict[str, Any], sent: Any, *, source: str = "blue", destination: str = "green", **more: Any) -> None:
    path = f"/bulkTransfers/{body['bulkTransferId']}"
    assert dfsp("PUT", path, sent, source=source, destination=destination, **more).status_code == 200


def path_of(body: dict[str, Any]) -> str:
    return f"/bulkTransfers/{body['bulkTransferId']}"


def states(body: dict[str, Any]) -> list[str]:
    found = dict(Transfer.objects.filter(bulk_id=body["bulkTransferId"]).values_list("transfer_id", "state"))
    return [found.get(transfer_id, "-") for transfer_id in ids(body)]


@pytest.fixture(autouse=True)
def _books(committed_world: World) -> Any:
    """Every story ends with sound books."""
    yield
    assert [found.invariant.name for found in invariants.find_breaks()] == []


@pytest.mark.parametrize("version", ["1.0", "1.1", "2.0"])
def test_every_item_commits_and_both_sides_hear_of_it(committed_world: World, version: str) -> None:
    body = messages.bulk_transfer("1", "2.5")
    raw = json.dumps(body, indent=2).encode()
    post(raw, version=version)
    question = last("blue")
    assert (question.method, question.path, bytes(question.body)) == ("POST", "/bulkTransfers", raw)
    assert question.headers["fspiop-source"] == "green"
    assert committed_world.position("green") == amount("3.5")
    assert states(body) == ["RESERVED", "RESERVED"]

    sent = json.dumps(messages.bulk_results(body), indent=1).encode()
    answer(body, sent, version=version)
    to_payer = last("green")
    assert (to_payer.method, to_payer.path, bytes(to_payer.body)) == ("PUT", path_of(body), sent)
    assert to_payer.headers["fspiop-source"] == "blue"
    to_payee = last("blue")
    assert (to_payee.method, to_payee.path, to_payee.signed_by_hub) == ("PUT", path_of(body), True)
    assert to_payee.headers["fspiop-source"] == "Hub"
    assert told("blue")["bulkTransferState"] == "COMPLETED"
    assert "completedTimestamp" in told("blue")
    assert results("blue") == dict.fromkeys(ids(body), FULFILMENT)
    assert (committed_world.position("green"), committed_world.position("blue")) == (amount("3.5"), -amount("3.5"))


def test_get_tells_payer_and_payee_state_and_results(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    for source in ("green", "blue"):
        assert dfsp("GET", path_of(body), source=source, destination="Hub").status_code == 202
        assert (last(source).method, last(source).path) == ("PUT", path_of(body))
        assert told(source)["bulkTransferState"] == "ACCEPTED"
        assert results(source) == dict.fromkeys(ids(body), "")
    answer(body, messages.bulk_results(body))
    deliver_all()
    for source in ("green", "blue"):
        dfsp("GET", path_of(body), source=source, destination="Hub")
        assert last(source).headers["fspiop-source"] == "Hub"
        assert told(source)["bulkTransferState"] == "COMPLETED"
        assert "completedTimestamp" in told(source)
        assert results(source) == dict.fromkeys(ids(body), FULFILMENT)


def test_a_stranger_and_an_unknown_id_get_the_same_3210(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    unknown = f"/bulkTransfers/{uuid.uuid4()}"
    for path in (path_of(body), unknown):
        assert dfsp("GET", path, source="grey").status_code == 202
        assert last("grey").path == path + "/error"
        assert told("grey")["errorInformation"]["errorCode"] == "3210"
    count = Message.objects.count()
    for source in ("red", "grey", "green"):
        for suffix, sent in (("", messages.bulk_results(body)), ("/error", messages.error())):
            refused = dfsp("PUT", path_of(body) + suffix, sent, source=source, destination="green")
            assert error_of(refused) == (400, "3210")
            other = dfsp("PUT", unknown + suffix, sent, source=source, destination="green")
            assert description_of(refused) == description_of(other)
    assert Message.objects.count() == count
    assert states(body) == ["RESERVED", "RESERVED"]


def test_the_payee_is_asked_for_what_was_reserved_and_for_nothing_else(committed_world: World) -> None:
    body = messages.bulk_transfer("600", "500", "400", extensionList={"extension": [{"key": "k", "value": "Zürich"}]})
    first, second, third = ids(body)
    post(json.dumps(body, indent=2).encode())
    question = last("blue")
    assert question.signed_by_hub
    assert question.headers["fspiop-source"] == "Hub"
    asked = told("blue")
    assert asked == body | {"individualTransfers": [body["individualTransfers"][0], body["individualTransfers"][2]]}
    assert committed_world.position("green") == amount(1000)

    answer(body, messages.bulk_results(asked), destination="Hub")
    assert results("green") == {first: FULFILMENT, second: "4200", third: FULFILMENT}
    assert last("green").headers["fspiop-source"] == "Hub"
    assert results("blue") == {first: FULFILMENT, third: FULFILMENT}
    assert states(body) == ["COMMITTED", "ABORTED", "COMMITTED"]
    assert committed_world.position("green") == amount(1000)


def test_each_item_comes_to_what_the_payee_proves_of_it(committed_world: World) -> None:
    body = messages.bulk_transfer("1", "2", "4", "8", "16")
    fulfilled, refused, wrong, silent, empty = ids(body)
    post(body)
    error = {"errorCode": "5240", "errorDescription": "over our own limit"}
    said = [
        {"transferId": fulfilled, "fulfilment": FULFILMENT},
        {"transferId": refused, "errorInformation": error},
        {"transferId": wrong, "fulfilment": OTHER_FULFILMENT},
        {"transferId": empty},
        {"transferId": str(uuid.uuid4()), "fulfilment": FULFILMENT},  # an item of nobody
    ]
    answer(body, messages.bulk_results(body, individualTransferResults=said))
    expected = {fulfilled: FULFILMENT, refused: "5240", wrong: "3100", silent: "3100", empty: "3100"}
    assert results("green") == expected
    assert results("blue") == expected
    assert last("green").headers["fspiop-source"] == "Hub"
    assert told("green")["bulkTransferState"] == "COMPLETED"
    assert states(body) == ["COMMITTED", "ABORTED", "ABORTED", "ABORTED", "ABORTED"]
    assert committed_world.position("green") == amount(1)
    assert sum(Entry.objects.filter(kind="TRANSFER").values_list("amount", flat=True)) == amount(1)


def test_what_the_payee_says_truly_of_each_item_reaches_the_payer_in_its_own_words(committed_world: World) -> None:
    body = messages.bulk_transfer("1", "2")
    first, second = ids(body)
    post(body)
    error = {"errorCode": "5200", "errorDescription": "account closed"}
    said = [{"transferId": first, "fulfilment": FULFILMENT}, {"transferId": second, "errorInformation": error}]
    raw = json.dumps(messages.bulk_results(body, individualTransferResults=said), indent=3).encode()
    answer(body, raw)
    assert (bytes(last("green").body), last("green").headers["fspiop-source"]) == (raw, "blue")
    assert results("blue") == {first: FULFILMENT, second: "5200"}


def test_an_answer_that_names_the_hub_is_told_on_in_the_hubs_name(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    answer(body, messages.bulk_results(body), destination="Hub")
    assert last("green").headers["fspiop-source"] == "Hub"
    assert last("green").headers["fspiop-destination"] == "green"
    assert results("green") == dict.fromkeys(ids(body), FULFILMENT)
    assert states(body) == ["COMMITTED", "COMMITTED"]


def test_an_answer_that_names_another_payer_commits_nothing(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    answer(body, messages.bulk_results(body), destination="red")
    for side in ("green", "blue"):
        assert last(side).path == path_of(body) + "/error"
        assert told(side)["errorInformation"]["errorCode"] == "3100"
    assert states(body) == ["ABORTED", "ABORTED"]
    assert BulkTransfer.objects.get().state == "REJECTED"


def test_an_error_of_the_payee_aborts_every_item(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    raw = json.dumps(messages.error(5240, "not on our books"), indent=2).encode()
    path = path_of(body) + "/error"
    assert dfsp("PUT", path, raw, source="blue", destination="green").status_code == 200
    assert (last("green").path, bytes(last("green").body)) == (path, raw)
    assert states(body) == ["ABORTED", "ABORTED"]
    assert committed_world.position("green") == 0
    dfsp("GET", path_of(body))
    assert told("green")["bulkTransferState"] == "REJECTED"
    assert results("green") == dict.fromkeys(ids(body), "5240")


def test_a_payee_may_reject_by_the_state_alone(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    answer(body, {"bulkTransferState": "REJECTED"})
    assert told("green")["bulkTransferState"] == "REJECTED"
    assert results("green") == dict.fromkeys(ids(body), "5100")
    assert states(body) == ["ABORTED", "ABORTED"]


def test_how_far_the_payee_has_come_ends_nothing(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    count, end = Message.objects.count(), messages.bulk_results(body)
    for state in ("RECEIVED", "PENDING", "ACCEPTED", "PROCESSING"):
        answer(body, {"bulkTransferState": state})
        for results_so_far in (end["individualTransferResults"][:1], end["individualTransferResults"]):
            answer(body, end | {"bulkTransferState": state, "individualTransferResults": results_so_far})
            assert (state, states(body), Message.objects.count()) == (state, ["RESERVED", "RESERVED"], count)
    answer(body, end)
    assert told("green")["bulkTransferState"] == "COMPLETED"
    assert states(body) == ["COMMITTED", "COMMITTED"]


def test_what_expires_is_told_to_both_sides_and_a_late_answer_commits_nothing(committed_world: World) -> None:
    swept = messages.bulk_transfer("1", "2", expiration=messages.moment(4))
    late = messages.bulk_transfer("4", expiration=swept["expiration"])
    post(swept)
    post(late)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep_until(%s)", [swept["expiration"]])
    answer(late, messages.bulk_results(late))  # before any sweep
    assert tasks.expire_transfers() == 2
    assert tasks.expire_transfers() == 0
    for body in (swept, late):
        ends = [message for message in about(body) if message[3].startswith("bulk-end")]
        error_path = path_of(body) + "/error"
        assert ends == [
            ("green", "PUT", error_path, "bulk-end-to-payer"),
            ("blue", "PUT", error_path, "bulk-end-to-payee"),
        ]
        for side in ("green", "blue"):
            found = Message.objects.filter(destination__name=side, subject=body["bulkTransferId"]).latest(
                "created_at", "id"
            )
            assert json.loads(found.body)["errorInformation"]["errorCode"] == "3303"
        assert set(states(body)) == {"ABORTED"}
        assert BulkTransfer.objects.get(pk=body["bulkTransferId"]).state == "REJECTED"
    assert committed_world.position("green") == 0
    answer(swept, messages.bulk_results(swept))
    assert (last("blue").path, told("blue")["errorInformation"]["errorCode"]) == (path_of(swept) + "/error", "3303")


def test_an_equal_resend_has_no_effect_and_is_told_the_end_once_there_is_one(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    count = Message.objects.count()
    post(dict(reversed(body.items())))
    assert Message.objects.count() == count  # the payee was asked, and both wait for it
    sent = json.dumps(messages.bulk_results(body)).encode()
    answer(body, sent)
    waiting = Message.objects.count()
    post(body)
    answer(body, sent)
    assert Message.objects.count() == waiting  # the ends still wait to be delivered
    assert [kind for _, _, _, kind in about(body)].count("bulk-prepare") == 1
    deliver_all()
    post(body)
    assert (last("green").headers["fspiop-source"], told("green")["bulkTransferState"]) == ("Hub", "COMPLETED")
    assert results("green") == dict.fromkeys(ids(body), FULFILMENT)
    answer(body, sent)
    assert results("blue") == dict.fromkeys(ids(body), FULFILMENT)
    assert committed_world.position("green") == amount(2)


def test_a_changed_resend_is_refused_with_3106_and_the_original_stands(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    first = body["individualTransfers"][0]
    for changes in (
        {"payeeFsp": "red"},
        {"expiration": messages.moment(90)},
        {"individualTransfers": [first]},
        {"individualTransfers": [first | {"transferAmount": {"currency": "TZS", "amount": "7"}}]},
    ):
        post(body | changes)
        assert last("green").path == path_of(body) + "/error"
        assert told("green")["errorInformation"]["errorCode"] == "3106"
    post(messages.bulk_transfer(bulkTransferId=body["bulkTransferId"], payerFsp="red"), source="red")
    assert told("red")["errorInformation"]["errorCode"] == "3106"
    assert committed_world.position("green") == amount(2)
    answer(body, messages.bulk_results(body))
    answer(body, messages.bulk_results(body, individualTransferResults=[]))
    assert (last("blue").path, told("blue")["errorInformation"]["errorCode"]) == (path_of(body) + "/error", "3106")
    assert states(body) == ["COMMITTED", "COMMITTED"]


def test_an_item_whose_id_is_used_already_is_refused_and_nothing_else_is(committed_world: World) -> None:
    single = messages.transfer(amount={"currency": "TZS", "amount": "5"})
    dfsp("POST", "/transfers", single, destination="blue")
    other = messages.bulk_transfer("7")
    post(other)
    body = messages.bulk_transfer("1", "2")
    used = [messages.item("5", transferId=single["transferId"]), other["individualTransfers"][0]]
    body["individualTransfers"] += used
    post(body)
    first, second, *others = ids(body)
    assert committed_world.position("green") == amount(15)
    assert ids(told("blue")) == [first, second]
    answer(body, messages.bulk_results(told("blue")), destination="Hub")
    assert results("green") == {first: FULFILMENT, second: FULFILMENT, **dict.fromkeys(others, "3106")}
    assert Transfer.objects.get(pk=single["transferId"]).state == "RESERVED"
    assert states(other) == ["RESERVED"]
    taken = messages.transfer(transferId=first)
    dfsp("POST", "/transfers", taken, destination="blue")
    assert (last("green").path, told("green")["errorInformation"]["errorCode"]) == (f"/transfers/{first}/error", "3106")


def test_an_item_is_answered_with_its_bulk_and_not_alone(committed_world: World) -> None:
    body = messages.bulk_transfer()
    post(body)
    path = f"/transfers/{ids(body)[0]}"
    for suffix, sent in (("", messages.fulfilment()), ("/error", messages.error())):
        assert dfsp("PUT", path + suffix, sent, source="blue", destination="green").status_code == 200
        assert (last("blue").path, told("blue")["errorInformation"]["errorCode"]) == (path + "/error", "3100")
    assert error_of(dfsp("PUT", path, messages.fulfilment(), source="red", destination="green")) == (400, "3208")
    assert states(body) == ["RESERVED", "RESERVED"]
    answer(body, messages.bulk_results(body))
    assert states(body) == ["COMMITTED", "COMMITTED"]
    dfsp("GET", path)
    assert told("green")["transferState"] == "COMMITTED"


def test_where_nothing_can_be_reserved_the_payee_is_not_asked(committed_world: World) -> None:
    body = messages.bulk_transfer("1001", "1002")
    post(body)
    assert told("green")["bulkTransferState"] == "REJECTED"
    assert results("green") == dict.fromkeys(ids(body), "4200")
    assert Message.objects.filter(destination__name="blue").count() == 0
    post(body)
    assert results("green") == dict.fromkeys(ids(body), "4200")
    assert committed_world.position("green") == 0
    answer(body, messages.bulk_results(body))
    assert told("blue")["errorInformation"]["errorCode"] == "3100"
    assert states(body) == ["ABORTED", "ABORTED"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payeeFsp": "nobody"}, "3203"),
        ({"payeeFsp": "green"}, "3100"),
        ({"expiration": "2020-01-01T00:00:00.000Z"}, "3303"),
        ({"expiration": "2999-01-01T00:00:00.000Z"}, "3100"),
    ],
)
def test_what_is_wrong_with_the_whole_bulk_is_told_once(
    committed_world: World, changes: dict[str, Any], code: str
) -> None:
    body = messages.bulk_transfer(**changes)
    post(body)
    assert (last("green").path, told("green")["errorInformation"]["errorCode"]) == (path_of(body) + "/error", code)
    assert (Message.objects.count(), states(body)) == (1, ["ABORTED", "ABORTED"])


def test_a_bulk_of_an_inactive_participant_names_the_party_by_its_code(committed_world: World) -> None:
    for name, code in (("blue", "3203"), ("green", "3202")):
        Participant.objects.filter(name=name).update(is_active=False)
        body = messages.bulk_transfer()
        post(body)
        assert told("green")["errorInformation"]["errorCode"] == code
        post(body)
        assert results("green") == dict.fromkeys(ids(body), code)
        Participant.objects.filter(name=name).update(is_active=True)


def test_a_bulk_whose_destination_is_not_its_payee_is_refused(committed_world: World) -> None:
    body = messages.bulk_transfer()
    assert dfsp("POST", "/bulkTransfers", body, destination="red").status_code == 202
    assert told("green")["errorInformation"]["errorCode"] == "3100"
    assert states(body) == ["ABORTED", "ABORTED"]
    assert not Message.objects.exclude(destination__name="green").exists()


def test_items_may_be_of_several_currencies_and_each_meets_its_own_limit(committed_world: World) -> None:
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        accounts_and_funds.open_hub_account(account_type=account_type, currency="KES", actor="test")
    for name in ("green", "blue"):
        committed_world.onboard(name, ndc=10, cover=10, currency="KES")
    body = messages.bulk_transfer("999")
    body["individualTransfers"] += [messages.item("10", "KES"), messages.item("1", "KES"), messages.item("1", "USD")]
    post(body)
    assert states(body) == ["RESERVED", "RESERVED", "ABORTED", "ABORTED"]
    answer(body, messages.bulk_results(told("blue")), destination="Hub")
    assert list(results("green").values()).count(FULFILMENT) == 2
    assert committed_world.position("green") == amount(999)


def test_bad_bulks_are_refused_at_once_and_change_nothing(committed_world: World) -> None:
    body = messages.bulk_transfer()
    first = body["individualTransfers"][0]
    bad: list[tuple[dict[str, Any], str, str]] = [
        (body | {"payerFsp": "red"}, "3100", "payerFsp"),
        (body | {"individualTransfers": [first, first]}, "3100", "individualTransfers"),
        (body | {"individualTransfers": []}, "3100", "individualTransfers"),
        (body | {"individualTransfers": [messages.item("0")]}, "3100", "individualTransfers[0].transferAmount"),
        (body | {"individualTransfers": [messages.item("1.10")]}, "3100", "individualTransfers[0].transferAmount"),
        (body | {"individualTransfers": [messages.item() for _ in range(1001)]}, "3103", "individualTransfers"),
        ({key: value for key, value in body.items() if key != "bulkQuoteId"}, "3102", "bulkQuoteId"),
    ]
    for sent, code, named in bad:
        refused = dfsp("POST", "/bulkTransfers", sent)
        assert error_of(refused) == (400, code)
        assert named in description_of(refused)
    post(body)
    both = {**messages.bulk_results(body)["individualTransferResults"][0], **messages.error()}
    for sent in (
        messages.bulk_results(body, individualTransferResults=[both]),
        messages.bulk_results(body, bulkTransferState="REJECTED"),
        messages.bulk_results(
            body, individualTransferResults=messages.bulk_results(body)["individualTransferResults"] * 2
        ),
        messages.bulk_results(body, bulkTransferState="DONE"),
        messages.bulk_results(body, completedTimestamp="yesterday"),
    ):
        assert error_of(dfsp("PUT", path_of(body), sent, source="blue")) == (400, "3100")
    assert error_of(dfsp("PUT", "/bulkTransfers/x", messages.bulk_results(body), source="blue")) == (400, "3100")
    assert error_of(dfsp("DELETE", path_of(body))) == (405, "3000")
    assert states(body) == ["RESERVED", "RESERVED"]


def test_mojaloops_own_toolkit_finds_what_it_looks_for_where_the_hub_says_all_of_it(
    committed_world: World, settings: Any
) -> None:
    """The assertions of its collection bulk_transfers/positive_scenarios, headers that the courier adds excepted."""
    settings.BULK_IN_HUB_NAME = True
    extensions = {"extension": [{"key": "extKey1", "value": "extValue1"}, {"key": "extKey2", "value": "extValue2"}]}
    body = messages.bulk_transfer(expiration=messages.moment(24 * 3600))
    body["individualTransfers"][0]["extensionList"] = extensions
    post(body, destination="blue")
    question = last("blue")
    assert (question.method, question.path, question.signed_by_hub) == ("POST", "/bulkTransfers", True)
    assert (question.headers["fspiop-source"], question.headers["fspiop-destination"]) == ("Hub", "blue")
    assert "accept" in question.headers
    assert told("blue") == body
    answer(body, messages.bulk_results(body), destination="Hub")
    for source in ("green", "blue"):
        for ask in (False, True):
            if ask:
                dfsp("GET", path_of(body), source=source, destination="Hub")
            message = last(source)
            assert (message.method, message.path, message.signed_by_hub) == ("PUT", path_of(body), True)
            assert (message.headers["fspiop-source"], message.headers["fspiop-destination"]) == ("Hub", source)
            assert "date" in message.headers
            assert told(source)["bulkTransferState"] == "COMPLETED"
            assert "completedTimestamp" in told(source)
            assert results(source) == dict.fromkeys(ids(body), FULFILMENT)


@pytest.mark.parametrize(("seconds", "words"), [(3, "future"), (-301, "old")])
def test_a_moment_of_completion_that_can_not_be_is_refused_at_once(
    committed_world: World, seconds: float, words: str
) -> None:
    body = messages.bulk_transfer()
    post(body)
    count = Message.objects.count()
    sent = messages.bulk_results(body, completedTimestamp=messages.moment(seconds))
    refused = dfsp("PUT", path_of(body), sent, source="blue", destination="green")
    assert error_of(refused) == (400, "3100")
    assert description_of(refused).startswith("Generic validation error - completedTimestamp: ")
    assert words in description_of(refused)
    assert (states(body), Message.objects.count()) == (["RESERVED", "RESERVED"], count)
    answer(body, messages.bulk_results(body))
    assert states(body) == ["COMMITTED", "COMMITTED"]
