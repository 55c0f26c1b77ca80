"""GET /parties and its answer: who may give it, and what becomes of a question that nobody answers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db.models import F

from directory import builtin_oracle, party_lookups
from directory.models import PartyIdentifier, PartyLookup
from hub.outbox import store
from hub.outbox.models import Message
from hub.participants.models import Participant
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.concurrency.together import together
from tests.directory.requests import counted_statements, last_callback, refusal, register
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


def time_passes(seconds: float = 60) -> None:
    back = timedelta(seconds=seconds)
    PartyLookup.objects.update(
        asked_at=F("asked_at") - back, answer_by=F("answer_by") - back, ended_at=F("ended_at") - back
    )


def waiting() -> int:
    """How many lookups wait for their answer."""
    return PartyLookup.objects.filter(ended_at=None).count()


def party() -> dict[str, object]:
    return {"party": messages.party("blue", "255655001001")}


@blue_serves_it
@pytest.mark.parametrize(("end", "body"), [("", party()), ("/error", messages.error("3204", "no such party"))])
def test_the_answer_is_brought_back_and_nothing_is_waited_for_any_more(end: str, body: dict[str, object]) -> None:
    ask()
    question = Message.objects.get()
    assert (question.destination.name, question.method, question.path) == ("blue", "GET", PATH)
    assert waiting() == 1
    assert dfsp("PUT", PATH + end, body, source="blue", destination="green").status_code == 200
    assert last_callback() == ("green", PATH + end, body)
    assert waiting() == 0
    time_passes()
    assert party_lookups.report_unanswered() == 0


@blue_serves_it
def test_who_asked_a_silent_dfsp_is_told_once() -> None:
    ask()
    deliver()
    assert party_lookups.report_unanswered() == 0  # not yet
    time_passes()
    assert party_lookups.report_unanswered() == 1
    assert party_lookups.report_unanswered() == 0
    message = Message.objects.get()
    assert message.headers["fspiop-source"] == "Hub"
    assert message.headers["content-type"] == "application/vnd.interoperability.parties+json;version=1.1"
    assert message.signed_by_hub
    to, path, body = last_callback()
    assert (to, path, body["errorInformation"]["errorCode"]) == ("green", PATH + "/error", "2004")
    assert waiting() == 0
    # Its answer is passed on for as long again, and no longer.
    time_passes(24)
    assert dfsp("PUT", PATH, party(), source="blue", destination="green").status_code == 200
    assert last_callback() == ("green", PATH, party())
    time_passes(1)
    count = Message.objects.count()
    assert error_of(dfsp("PUT", PATH, party(), source="blue", destination="green")) == (400, "3000")
    assert Message.objects.count() == count


@blue_serves_it
def test_a_sub_id_is_in_the_error_path() -> None:
    register("MSISDN/255655001001/home", "blue")
    ask(path=PATH + "/home?currency=TZS")
    deliver()
    time_passes()
    party_lookups.report_unanswered()
    assert refusal()[:2] == (PATH + "/home/error", "2004")


@blue_serves_it
def test_a_question_still_on_its_way_rests_with_the_outbox() -> None:
    ask()
    time_passes()
    assert party_lookups.report_unanswered() == 0
    assert waiting() == 1
    Message.objects.update(state=Message.State.DEAD)  # and who asked was told 1001
    time_passes()
    assert party_lookups.report_unanswered() == 0
    assert waiting() == 0
    assert Message.objects.count() == 1


@blue_serves_it
def test_an_earlier_question_that_was_given_up_does_not_silence_a_later_one() -> None:
    ask()
    Message.objects.update(state=Message.State.DEAD, created_at=F("created_at") - timedelta(hours=1))
    ask()
    store.delivered([(Message.objects.get(state=Message.State.PENDING).pk, 200)])
    time_passes()
    assert party_lookups.report_unanswered() == 1


@blue_serves_it
def test_asking_again_is_one_question_that_is_waited_for_anew() -> None:
    ask()
    time_passes()
    ask()
    deliver()
    assert waiting() == 1
    assert party_lookups.report_unanswered() == 0


@blue_serves_it
def test_each_who_asks_is_told() -> None:
    for source in ("green", "red", "grey"):
        ask(source)
    deliver()
    time_passes()
    assert party_lookups.report_unanswered() == 3
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
    assert waiting() == 1
    assert dfsp("PUT", PATH, party(), source="blue", destination="green").status_code == 200


@blue_serves_it
def test_an_answer_may_be_repeated_for_a_while_and_the_while_does_not_grow_with_it() -> None:
    ask()
    deliver()
    repeated = partial(dfsp, "PUT", PATH, party(), source="blue", destination="green")
    assert repeated().status_code == 200
    for seconds in (10, 10):
        time_passes(seconds)
        assert repeated().status_code == 200
    assert list(Message.objects.values_list("destination__name", "path")) == [("green", PATH)] * 3
    time_passes(6)
    assert error_of(repeated()) == (400, "3000")
    # Asked again, it is answered again.
    ask()
    assert repeated().status_code == 200


@blue_serves_it
def test_of_one_lookup_ten_answers_are_passed_on() -> None:
    ask()
    deliver()
    answers = [dfsp("PUT", PATH, party(), source="blue", destination="green") for _ in range(150)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [400] * 140
    assert error_of(answers[-1]) == (400, "3000")
    assert Message.objects.count() == 10
    ask()
    assert dfsp("PUT", PATH, party(), source="blue", destination="green").status_code == 200


@blue_serves_it
def test_a_dfsp_that_has_answered_does_not_answer_once_another_is_asked() -> None:
    ask()
    deliver()
    assert dfsp("PUT", PATH, party(), source="blue", destination="green").status_code == 200
    builtin_oracle.port(PartyIdentifier.objects.get().pk, to=Participant.objects.get(name="red"), actor="test")
    ask()
    deliver()
    for end, body in (("", party()), ("/error", messages.error("3204"))):
        assert error_of(dfsp("PUT", PATH + end, body, source="blue", destination="green")) == (400, "3000")
    assert not Message.objects.exists()
    assert dfsp("PUT", PATH, party(), source="red", destination="green").status_code == 200
    assert error_of(dfsp("PUT", PATH, party(), source="blue", destination="green")) == (400, "3000")
    assert Message.objects.count() == 1


def test_two_dfsps_that_serve_one_alias_in_two_currencies_both_answer(world: World) -> None:
    register("MSISDN/255655001001", "blue", currency="TZS")
    register("MSISDN/255655001001", "red", currency="KES")
    deliver()
    for currency in ("TZS", "KES"):
        ask(path=f"{PATH}?currency={currency}")
    deliver()
    assert waiting() == 2
    for source in ("blue", "red"):
        assert dfsp("PUT", PATH, party(), source=source, destination="green").status_code == 200
    assert waiting() == 0
    assert list(Message.objects.values_list("path", flat=True)) == [PATH] * 2


@blue_serves_it
def test_an_alias_and_its_sub_ids_are_asked_and_answered_each_for_itself() -> None:
    register("MSISDN/255655001001/home", "blue")
    register("MSISDN/255655001001/shop", "blue")
    deliver()
    ask(path=PATH + "/home")
    deliver()
    for path in (PATH, PATH + "/shop"):
        assert error_of(dfsp("PUT", path, party(), source="blue", destination="green")) == (400, "3000")
    assert dfsp("PUT", PATH + "/home", party(), source="blue", destination="green").status_code == 200
    assert list(Message.objects.values_list("path", flat=True)) == [PATH + "/home"]


@blue_serves_it
def test_a_question_to_a_named_dfsp_is_waited_for_too() -> None:
    assert dfsp("GET", PATH, destination="red").status_code == 202
    assert PartyLookup.objects.get().owner.name == "red"
    assert dfsp("PUT", PATH, party(), source="red", destination="green").status_code == 200
    assert waiting() == 0


@blue_serves_it
def test_what_is_refused_is_not_waited_for() -> None:
    ask(path="/parties/MSISDN/404")
    ask(path="/parties/ACCOUNT_ID/1")
    assert waiting() == 0


@blue_serves_it
def test_a_sweep_takes_as_many_statements_for_many() -> None:
    with counted_statements() as sent:
        assert party_lookups.report_unanswered() == 0
    assert len(sent) == 3  # how to look, what is overdue, whether any is skipped
    for count in (1, 200):
        overdue(count)
        with counted_statements() as sent:
            assert party_lookups.report_unanswered() == count
        assert len(sent) == 7  # and lock, ask the outbox, end, tell


def overdue(count: int) -> None:
    green, blue = Participant.objects.get(name="green"), Participant.objects.get(name="blue")
    past = datetime.now(UTC) - timedelta(seconds=1)
    PartyLookup.objects.filter(requester=green).delete()
    PartyLookup.objects.bulk_create(
        PartyLookup(
            requester=green,
            owner=blue,
            subject=f"{number}",
            error_path="/parties/MSISDN/1/error",
            version="1.1",
            answer_by=past,
        )
        for number in range(count)
    )


@pytest.mark.slow
def test_lookups_that_ended_are_removed_by_the_thousand_and_those_that_wait_are_not(world: World) -> None:
    overdue(2500)
    PartyLookup.objects.exclude(subject="7").update(ended_at=datetime.now(UTC) - timedelta(seconds=26))
    PartyLookup.objects.filter(subject="8").update(ended_at=datetime.now(UTC) - timedelta(seconds=5))
    with counted_statements() as sent:
        assert party_lookups.forget_ended() == 2498
    assert len(sent) == 7  # three times find and remove; whether any is skipped
    assert set(PartyLookup.objects.values_list("subject", flat=True)) == {"7", "8"}
    with counted_statements() as sent:
        assert party_lookups.forget_ended() == 0
    assert len(sent) == 2


def test_an_answer_and_sweeps_at_once_end_a_lookup_once(committed_world: World) -> None:
    register("MSISDN/255655001001", "blue")
    deliver()
    for _ in range(5):
        ask()
        deliver()
        time_passes(26)
        answer = partial(dfsp, "PUT", PATH, party(), source="blue", destination="green")
        sweeps: list[Callable[[], object]] = [
            party_lookups.report_unanswered,
            party_lookups.report_unanswered,
            party_lookups.forget_ended,
        ]
        results = together([*sweeps, answer])
        told = sum(result for result in results if isinstance(result, int))
        paths = list(Message.objects.filter(destination__name="green").values_list("path", flat=True))
        assert told == paths.count(PATH + "/error") <= 1
        assert paths.count(PATH) == 1
        assert waiting() == 0
        deliver()


def test_an_answer_is_passed_on_or_refused_where_its_lookup_is_asked_again_and_removed_meanwhile(
    committed_world: World,
) -> None:
    register("MSISDN/255655001001", "blue")
    deliver()
    for _ in range(5):
        ask()
        deliver()
        PartyLookup.objects.update(ended_at=datetime.now(UTC) - timedelta(seconds=60))
        answer = partial(dfsp, "PUT", PATH, party(), source="blue", destination="green")
        results = together([party_lookups.forget_ended, ask, answer])
        assert not [result for result in results if isinstance(result, BaseException)]
        # The new question is there whatever was removed, and is answered.
        assert PartyLookup.objects.count() == 1
        assert answer().status_code == 200
        assert waiting() == 0
        deliver()
