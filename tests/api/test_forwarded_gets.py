"""GETs that one DFSP asks another: who may answer, for how long, and what becomes of those that nobody answers."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db.models import F

from hub.outbox import store
from hub.outbox.models import Message
from hub.participants.models import Participant
from quotes import tasks
from quotes.forwarded import pending_requests
from quotes.models import Question, TransactionRequest
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.api.test_transaction_requests import QUERY, asked
from tests.concurrency.together import together
from tests.directory.requests import counted_statements, last_callback
from tests.world import World

ENTERED = {"authenticationInfo": {"authentication": "OTP", "authenticationValue": "1234"}, "responseType": "ENTERED"}


def deliver() -> None:
    """All that waits in the outbox is taken by its destination."""
    store.delivered([(message_id, 200) for message_id in Message.objects.values_list("id", flat=True)])


def time_passes(seconds: float) -> None:
    back = timedelta(seconds=seconds)
    Question.objects.update(
        asked_at=F("asked_at") - back, answer_by=F("answer_by") - back, ended_at=F("ended_at") - back
    )


def told(name: str) -> list[str]:
    """The paths of what waits in the outbox for a DFSP."""
    return list(Message.objects.filter(destination__name=name).order_by("id").values_list("path", flat=True))


def authorization() -> str:
    """Has green ask blue for an authorization, which blue takes; returns its path."""
    path = f"/authorizations/{uuid.uuid4()}"
    assert dfsp("GET", f"{path}?{QUERY}", destination="blue").status_code == 202
    assert told("blue") == [f"{path}?{QUERY}"]
    deliver()
    return path


def answer(path: str, body: Any = ENTERED, *, source: str = "blue", destination: str | None = "green") -> Any:
    return dfsp("PUT", path, body, source=source, destination=destination)


def test_a_customer_has_its_time_and_its_answer_may_be_repeated_for_a_while(world: World) -> None:
    path = authorization()
    time_passes(299)
    assert tasks.fail_unanswered() == 0
    assert answer(path, destination=None).status_code == 200
    time_passes(24)
    assert answer(path).status_code == 200
    assert answer(path + "/error", messages.error()).status_code == 200
    assert told("green") == [path, path, path + "/error"]
    time_passes(1)
    assert error_of(answer(path)) == (400, "3206")
    assert error_of(answer(path, destination=None)) == (400, "3206")
    assert tasks.fail_unanswered() == 0
    assert not Question.objects.exists()


def test_who_asked_a_silent_dfsp_is_told_once_and_a_late_answer_goes_its_way(world: World) -> None:
    path = authorization()
    time_passes(301)
    assert tasks.fail_unanswered() == 1
    assert tasks.fail_unanswered() == 0
    to, where, body = last_callback()
    assert (to, where, body["errorInformation"]["errorCode"]) == ("green", path + "/error", "2004")
    notice = Message.objects.get()
    assert (notice.signed_by_hub, notice.headers["fspiop-source"]) == (True, "Hub")
    assert notice.headers["content-type"] == "application/vnd.interoperability.authorizations+json;version=1.1"
    deliver()
    assert answer(path).status_code == 200
    time_passes(25)
    assert error_of(answer(path)) == (400, "3206")
    assert told("green") == [path]


def test_a_question_still_on_its_way_rests_with_the_outbox(world: World) -> None:
    path = f"/transactions/{uuid.uuid4()}"
    dfsp("GET", path, destination="blue")
    time_passes(301)
    assert tasks.fail_unanswered() == 0
    assert Question.objects.get().ended_at is None
    Message.objects.update(state=Message.State.DEAD)  # and who asked was told 1001
    time_passes(10)
    assert tasks.fail_unanswered() == 0
    assert Question.objects.get().ended_at is not None
    assert told("green") == []


def test_asked_again_a_question_is_waited_for_anew(world: World) -> None:
    path = authorization()
    assert answer(path, {"responseType": "RESEND"}).status_code == 200
    time_passes(200)
    for _ in range(3):
        assert dfsp("GET", f"{path}?{QUERY}", destination="blue").status_code == 202
    assert told("blue") == [f"{path}?{QUERY}"]
    deliver()
    time_passes(200)
    assert tasks.fail_unanswered() == 0
    assert answer(path).status_code == 200
    assert Question.objects.count() == 1


def test_of_two_that_ask_about_one_id_each_gets_its_own_answer(world: World) -> None:
    path = authorization()
    assert dfsp("GET", f"{path}?{QUERY}", source="red", destination="blue").status_code == 202
    deliver()
    assert error_of(answer(path, destination=None)) == (400, "3206")  # which of the two is meant?
    assert answer(path, destination="red").status_code == 200
    assert (told("red"), told("green")) == ([path], [])
    assert answer(path, destination="green").status_code == 200
    assert error_of(answer(path, destination="grey")) == (400, "3206")


def test_a_question_about_one_resource_is_not_answered_by_another(world: World) -> None:
    path = asked()
    dfsp("GET", path, source="green")
    deliver()
    for resource, body, code in (
        ("authorizations", ENTERED, "3206"),
        ("transactions", {"transactionState": "COMPLETED"}, "3207"),
    ):
        assert error_of(answer(path.replace("transactionRequests", resource), body)) == (400, code)
    assert not Message.objects.exists()


def test_a_payee_says_how_its_request_to_pay_stands_where_the_payer_asks(world: World) -> None:
    path = asked()
    assert dfsp("GET", path, source="green").status_code == 202
    assert told("blue") == [path]
    deliver()
    state = {"transactionRequestState": "PENDING"}
    assert answer(path, state).status_code == 200
    assert last_callback() == ("green", path, state)
    time_passes(25)
    assert error_of(answer(path, state)) == (400, "3000")
    assert told("green") == [path]


def test_a_payer_that_says_the_same_again_is_passed_on_where_the_payee_asks(world: World) -> None:
    path = asked()
    deliver()
    state = {"transactionRequestState": "RECEIVED"}
    say = partial(answer, path, state, source="green", destination="blue")
    assert say().status_code == 200
    assert told("blue") == [path]
    deliver()
    assert say().status_code == 200
    assert told("blue") == []  # said before, and nobody asked
    assert dfsp("GET", path, source="blue").status_code == 202
    deliver()
    assert say().status_code == 200
    assert told("blue") == [path]
    time_passes(301)
    assert tasks.fail_unanswered() == 0


def test_a_request_to_pay_is_answered_step_by_step_and_a_payer_that_goes_back_reaches_nobody(world: World) -> None:
    path = asked()
    deliver()
    say = partial(answer, path, source="green", destination="blue")
    for state in ("RECEIVED", "PENDING"):
        assert say({"transactionRequestState": state}).status_code == 200
    deliver()
    for state in ("RECEIVED", "PENDING") * 10:
        assert say({"transactionRequestState": state, "transactionId": str(uuid.uuid4())}).status_code == 200
    assert told("blue") == []
    to, where, body = last_callback()
    assert (to, where, body["errorInformation"]["errorCode"]) == ("green", path + "/error", "3106")
    assert TransactionRequest.objects.get().state == "PENDING"
    deliver()
    # Where the payee asks, what the payer says is passed on, whatever it said before.
    assert dfsp("GET", path, source="blue").status_code == 202
    assert say({"transactionRequestState": "RECEIVED"}).status_code == 200
    assert told("blue") == [path]
    assert TransactionRequest.objects.get().state == "PENDING"


def test_of_one_question_ten_answers_are_passed_on(world: World) -> None:
    path = authorization()
    for number in range(150):
        refused = answer(path, ENTERED | {"extensionList": {"extension": [{"key": "n", "value": str(number)}]}})
        assert refused.status_code == (200 if number < 10 else 400)
    assert told("green") == [path] * 10
    assert dfsp("GET", f"{path}?{QUERY}", destination="blue").status_code == 202
    assert answer(path).status_code == 200


def test_a_silent_payer_is_reported_to_the_payee_that_asked_how_its_request_stands(world: World) -> None:
    path = asked()
    dfsp("GET", path, source="blue")
    deliver()
    time_passes(301)
    assert tasks.fail_unanswered() == 1
    to, where, body = last_callback()
    assert (to, where, body["errorInformation"]["errorCode"]) == ("blue", path + "/error", "2004")


def test_an_answer_and_sweeps_at_once_end_a_question_once(committed_world: World) -> None:
    for _ in range(5):
        path = authorization()
        time_passes(301)
        results = together([tasks.fail_unanswered, tasks.fail_unanswered, partial(answer, path)])
        reported = sum(result for result in results if isinstance(result, int))
        paths = told("green")
        assert reported == paths.count(path + "/error") <= 1
        assert paths.count(path) == 1
        deliver()


def test_a_question_takes_four_statements_and_its_answer_two(committed_world: World) -> None:
    path = authorization()
    answer(path)  # the hub knows the callers' ids
    with counted_statements() as sent:
        dfsp("GET", f"{path}?{QUERY}", destination="blue")
    assert len(sent) == 4, sent  # what it is about, its destination; who waits, the question
    with counted_statements() as sent:
        answer(path)
    assert len(sent) == 2, sent  # its destination; the answer


@pytest.mark.parametrize("count", [1, 200])
def test_a_sweep_takes_as_many_statements_for_many(world: World, count: int) -> None:
    green, blue = Participant.objects.get(name="green"), Participant.objects.get(name="blue")
    past = datetime.now(UTC) - timedelta(seconds=1)
    Question.objects.bulk_create(
        Question(asker=green, asked=blue, resource="transactions", subject=str(n), version="1.1", answer_by=past)
        for n in range(count)
    )
    with counted_statements() as sent:
        assert pending_requests.report_unanswered() == count
    assert len(sent) == 7  # how to look, what is overdue, lock, ask the outbox, end, tell; whether any is skipped
    assert {json.loads(m.body)["errorInformation"]["errorCode"] for m in Message.objects.all()} == {"2004"}
