"""GET /parties and its answer: who may give it, and what becomes of a question that nobody answers."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db.models import F
from django.test import override_settings

from directory import lookups
from directory.models import PartyLookup
from hub.outbox import store
from hub.outbox.models import Message
from hub.participants.models import Participant
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.concurrency.together import together
from tests.directory.ways import counted_statements, last_callback, refusal, register
from tests.world import World

blue_serves_it = pytest.mark.usefixtures("_blue_serves_it")
PATH = "/parties/MSISDN/255655001001"


@pytest.fixture
def _blue_serves_it(world: World) -> None:
    register("MSISDN/255655001001", "blue")
    deliver()


def deliver() -> None:
    """All that waits in the outbox is taken by its destination."""
    store.delivered([(message_id, 200) for message_id in Message.objects.values_list("id", flat=True)])


def ask(source: str = "green", path: str = PATH, version: str = "1.1") -> None:
    assert dfsp("GET", path, source=source, version=version).status_code == 202


def time_passes() -> None:
    PartyLookup.objects.update(answer_by=F("answer_by") - timedelta(seconds=60))


def party() -> dict[str, object]:
    return {"party": messages.party("blue", "255655001001")}


@blue_serves_it
@pytest.mark.parametrize(("end", "body"), [("", party()), ("/error", messages.error("3204", "no such party"))])
def test_the_answer_is_brought_back_and_nothing_is_waited_for_any_more(end: str, body: dict[str, object]) -> None:
    ask()
    question = Message.objects.get()
    assert (question.destination.name, question.method, question.path) == ("blue", "GET", PATH)
    assert PartyLookup.objects.count() == 1
    assert dfsp("PUT", PATH + end, body, source="blue", destination="green").status_code == 200
    assert last_callback() == ("green", PATH + end, body)
    assert not PartyLookup.objects.exists()
    time_passes()
    assert lookups.report_unanswered() == 0


@blue_serves_it
def test_who_asked_a_silent_dfsp_is_told_once() -> None:
    ask()
    deliver()
    assert lookups.report_unanswered() == 0  # not yet
    time_passes()
    assert lookups.report_unanswered() == 1
    assert lookups.report_unanswered() == 0
    message = Message.objects.get()
    assert message.headers["fspiop-source"] == "Hub"
    assert message.headers["content-type"] == "application/vnd.interoperability.parties+json;version=1.1"
    assert message.signed_by_hub
    to, path, body = last_callback()
    assert (to, path, body["errorInformation"]["errorCode"]) == ("green", PATH + "/error", "2004")
    assert not PartyLookup.objects.exists()
    # An answer after that still goes its way.
    assert dfsp("PUT", PATH, party(), source="blue", destination="green").status_code == 200
    assert last_callback() == ("green", PATH, party())


@blue_serves_it
def test_a_sub_id_is_in_the_error_path() -> None:
    register("MSISDN/255655001001/home", "blue")
    ask(path=PATH + "/home?currency=TZS")
    deliver()
    time_passes()
    lookups.report_unanswered()
    assert refusal()[:2] == (PATH + "/home/error", "2004")


@blue_serves_it
def test_a_question_still_on_its_way_rests_with_the_outbox() -> None:
    ask()
    time_passes()
    assert lookups.report_unanswered() == 0
    assert PartyLookup.objects.count() == 1
    Message.objects.update(state=Message.State.DEAD)  # and who asked was told 1001
    time_passes()
    assert lookups.report_unanswered() == 0
    assert not PartyLookup.objects.exists()
    assert Message.objects.count() == 1


@blue_serves_it
def test_an_earlier_question_that_was_given_up_does_not_silence_a_later_one() -> None:
    ask()
    Message.objects.update(state=Message.State.DEAD, created_at=F("created_at") - timedelta(hours=1))
    ask()
    store.delivered([(Message.objects.get(state=Message.State.PENDING).pk, 200)])
    time_passes()
    assert lookups.report_unanswered() == 1


@blue_serves_it
def test_asking_again_is_one_question_that_is_waited_for_anew() -> None:
    ask()
    time_passes()
    ask()
    deliver()
    assert PartyLookup.objects.count() == 1
    assert lookups.report_unanswered() == 0


@blue_serves_it
def test_each_who_asks_is_told() -> None:
    for source in ("green", "red", "grey"):
        ask(source)
    deliver()
    time_passes()
    assert lookups.report_unanswered() == 3
    told = {message.destination.name for message in Message.objects.select_related("destination")}
    assert told == {"green", "red", "grey"}


@blue_serves_it
@pytest.mark.parametrize("stranger", ["red", "green"])
def test_only_the_dfsp_that_was_asked_answers(stranger: str) -> None:
    ask()
    deliver()
    for path, body in ((PATH, party()), (PATH + "/error", messages.error())):
        assert error_of(dfsp("PUT", path, body, source=stranger, destination="green")) == (400, "3000")
    assert not Message.objects.exists()
    assert PartyLookup.objects.count() == 1
    assert dfsp("PUT", PATH, party(), source="blue", destination="green").status_code == 200


@blue_serves_it
def test_a_question_to_a_named_dfsp_is_waited_for_too() -> None:
    assert dfsp("GET", PATH, destination="red").status_code == 202
    assert PartyLookup.objects.get().owner.name == "red"
    assert dfsp("PUT", PATH, party(), source="red", destination="green").status_code == 200
    assert not PartyLookup.objects.exists()


@blue_serves_it
def test_what_is_refused_is_not_waited_for() -> None:
    ask(path="/parties/MSISDN/404")
    ask(path="/parties/ACCOUNT_ID/1")
    assert not PartyLookup.objects.exists()


@blue_serves_it
def test_a_sweep_takes_as_many_statements_for_many() -> None:
    green, blue = Participant.objects.get(name="green"), Participant.objects.get(name="blue")
    with counted_statements() as sent:
        assert lookups.report_unanswered() == 0
    assert len(sent) == 2  # what is late, what is skipped
    for count in (1, 200):
        for number in range(count):
            PartyLookup.objects.create(
                requester=green,
                owner=blue,
                subject=f"{number}",
                error_path="/parties/MSISDN/1/error",
                version="1.1",
                answer_by=datetime.now(UTC) - timedelta(seconds=1),
            )
        with counted_statements() as sent:
            assert lookups.report_unanswered() == count
        assert len(sent) == 6  # find, lock, ask the outbox, delete, tell; and whether any is skipped


@override_settings(PARTY_ANSWER_S=-1)
def test_an_answer_and_sweeps_at_once_end_a_lookup_once(committed_world: World) -> None:
    register("MSISDN/255655001001", "blue")
    deliver()
    for _ in range(5):
        ask()
        deliver()
        answer = partial(dfsp, "PUT", PATH, party(), source="blue", destination="green")
        results = together([lookups.report_unanswered, lookups.report_unanswered, answer])
        told = sum(result for result in results if isinstance(result, int))
        paths = list(Message.objects.filter(destination__name="green").values_list("path", flat=True))
        assert told == paths.count(PATH + "/error") <= 1
        assert paths.count(PATH) == 1
        assert not PartyLookup.objects.exists()
        deliver()
