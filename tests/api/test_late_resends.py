"""The same message again, when the moments in it have long passed: it is known before its moments are judged."""

import json
from typing import Any

from fspiop import strictjson, time
from hub.outbox.models import Message
from quotes.models import TransactionRequest
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.api.fx_messages import fx_fulfilment, fx_transfer
from tests.api.test_fx_agreement import fx
from tests.api.test_transaction_requests import request_to_pay
from tests.fx_world import open_scheme
from tests.keys import OTHER_FULFILMENT
from tests.outbox.messages import deliver_all
from tests.world import World


def last_to(name: str) -> Message:
    return Message.objects.filter(destination__name=name).latest("id")


def test_the_same_answer_is_known_however_old_its_completion_is(committed_world: World, settings: Any) -> None:
    open_scheme(committed_world)
    transfer, bulk, conversion = messages.transfer(), messages.bulk_transfer(), fx_transfer()
    questions = [
        (dfsp, f"/transfers/{transfer['transferId']}", "blue", transfer, messages.fulfilment()),
        (dfsp, f"/bulkTransfers/{bulk['bulkTransferId']}", "blue", bulk, messages.bulk_results(bulk)),
        (fx, f"/fxTransfers/{conversion['commitRequestId']}", "fxp", conversion, fx_fulfilment()),
    ]
    for call, path, sender, question, answer in questions:
        assert call("POST", path.rpartition("/")[0], question, destination=sender).status_code == 202
        assert call("PUT", path, answer, source=sender, destination="green").status_code == 200
    settings.COMPLETED_AGE_S = -1  # from now on every moment is too old
    for call, path, sender, _, answer in questions:
        deliver_all()
        again = call("PUT", path, answer, source=sender, destination="green")
        assert again.status_code == 200, (path, again.content)
        if sender == "blue":  # a conversion has not ended
            assert last_to("blue").path == path, last_to("blue").body
            assert "error" not in json.loads(last_to("blue").body)
        changed = answer | {"extensionList": {"extension": [{"key": "k", "value": "v"}]}}
        assert call("PUT", path, changed, source=sender, destination="green").status_code == 200
        refusal = last_to(sender)
        assert (refusal.path, json.loads(refusal.body)["errorInformation"]["errorCode"]) == (path + "/error", "3106")


def test_an_answer_of_an_impossible_moment_changes_nothing_and_a_stranger_learns_nothing_by_it(
    committed_world: World, settings: Any
) -> None:
    open_scheme(committed_world)
    settings.COMPLETED_AGE_S = -1
    transfer, bulk, conversion = messages.transfer(), messages.bulk_transfer(), fx_transfer()
    wrong = messages.fulfilment(fulfilment=OTHER_FULFILMENT)
    for call, path, sender, question, answer, unknown in (
        (dfsp, f"/transfers/{transfer['transferId']}", "blue", transfer, wrong, "3208"),
        (dfsp, f"/bulkTransfers/{bulk['bulkTransferId']}", "blue", bulk, messages.bulk_results(bulk), "3210"),
        (fx, f"/fxTransfers/{conversion['commitRequestId']}", "fxp", conversion, fx_fulfilment(), "3208"),
    ):
        call("POST", path.rpartition("/")[0], question, destination=sender)
        count, position = Message.objects.count(), committed_world.position("green")
        for source, code in ((sender, "3100"), ("grey", unknown)):
            refused = call("PUT", path, answer, source=source, destination="green")
            assert error_of(refused) == (400, code)
        assert (Message.objects.count(), committed_world.position("green")) == (count, position)
    assert committed_world.position("green") == 202 * 10_000  # all of it is still reserved


def test_the_same_request_to_pay_after_its_expiration_is_told_its_own_end(committed_world: World) -> None:
    answered, waiting = (request_to_pay(expiration=messages.moment(60)) for _ in range(2))
    for body in (answered, waiting):
        dfsp("POST", "/transactionRequests", body, source="blue", destination="green")
    path = f"/transactionRequests/{answered['transactionRequestId']}"
    dfsp("PUT", path, {"transactionRequestState": "ACCEPTED"}, destination="blue")
    deliver_all()
    for body in (answered, waiting):
        body["expiration"] = messages.moment(-1)
        _expire(body)
    dfsp("POST", "/transactionRequests", answered, source="blue", destination="green")
    assert (last_to("blue").path, json.loads(last_to("blue").body)) == (path, {"transactionRequestState": "ACCEPTED"})
    count = Message.objects.filter(destination__name="green").count()
    dfsp("POST", "/transactionRequests", waiting, source="blue", destination="green")
    assert json.loads(last_to("blue").body)["errorInformation"]["errorCode"] == "3301"
    assert Message.objects.filter(destination__name="green").count() == count


def _expire(body: dict[str, Any]) -> None:
    """What was asked a minute ago, without the minute."""
    TransactionRequest.objects.filter(pk=body["transactionRequestId"]).update(
        expires_at=time.parse_datetime(body["expiration"]), request_digest=strictjson.digest(body)
    )
