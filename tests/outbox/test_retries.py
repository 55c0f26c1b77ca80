"""The time of the next attempt, and the end of attempts: they depend on the message's kind and on the response."""

import re
from datetime import UTC, datetime

import pytest
from django.test import override_settings

from hub.local.stack import PROJECT
from hub.outbox.claims import Claimed
from hub.outbox.client import Answer, cannot_be_sent
from hub.outbox.messages import BEFORE_ENDS, END_KINDS
from hub.outbox.retries import judge

UNSENT = Answer(0, "no endpoint", is_unsent=True)
HOPELESS = cannot_be_sent(ValueError("odd"))
SILENCE = Answer(0, "no answer within 5 s")


def message(kind: str, *, attempts: int = 1, age_s: float = 1.0, reply_to: int | None = None) -> Claimed:
    return Claimed(
        id=1,
        destination_id=9,
        method="PUT",
        path="/transfers/T",
        headers={},
        body=b"",
        subject="s",
        kind=kind,
        signed_by_hub=False,
        reply_to_id=reply_to,
        error_path="/quotes/Q/error" if reply_to else None,
        attempts=attempts,
        age_s=age_s,
        lease=datetime.now(UTC),
    )


@pytest.mark.parametrize("kind", sorted(END_KINDS))
@pytest.mark.parametrize("status", [0, 302, 400, 401, 404, 409, 429, 500, 501, 503])
def test_an_end_is_tried_for_a_day_whatever_is_answered(kind: str, status: int) -> None:
    age_s, attempts, gaps = 0.0, 0, []
    while True:
        attempts += 1
        failure = judge(message(kind, attempts=attempts, age_s=age_s), Answer(status, "no", 3600.0))
        if failure.is_dead:
            break
        gaps.append((age_s, failure.delay_s))
        age_s += failure.delay_s
    assert age_s > 86400 - 300
    assert max(gap for age, gap in gaps if age < 600) <= 45
    assert max(gap for _, gap in gaps) <= 300


@pytest.mark.parametrize("kind", sorted(END_KINDS))
def test_an_end_that_the_hub_itself_can_not_send_is_tried_for_a_day(kind: str) -> None:
    """For example because of an endpoint that an operator corrects later, or of a signing key that cannot be read."""
    failures = [judge(message(kind, attempts=12, age_s=age_s), HOPELESS) for age_s in (1.0, 3600.0, 80000.0)]
    assert [failure.is_dead for failure in failures] == [False] * 3


def test_a_short_retry_after_is_believed_a_few_times_and_then_the_waits_grow() -> None:
    """Otherwise a recipient that always answers so would get thousands of reports each second for a day."""
    answer, age_s = Answer(503, "no", 1.0), 0.0
    waits = []
    for attempts in range(1, 20):
        waits.append(judge(message("end-to-payer", attempts=attempts, age_s=age_s), answer).delay_s)
        age_s += waits[-1]
    assert waits[:5] == [1.0] * 5
    assert all(wait >= 16 for wait in waits[5:])
    assert min(judge(message("end-to-payer", attempts=30, age_s=7200), answer).delay_s for _ in range(20)) >= 150


def test_a_long_retry_after_is_heeded_at_every_attempt() -> None:
    for attempts in (1, 5, 6):
        assert judge(message("participants", attempts=attempts), Answer(429, "no", 120.0)).delay_s == 120


def test_a_short_retry_after_is_believed_as_long_as_somebody_waits_for_the_answer() -> None:
    for age_s in range(1, 19):
        failure = judge(message("quote-request", reply_to=5, attempts=age_s, age_s=age_s), Answer(429, "no", 1.0))
        assert (failure.delay_s, failure.is_dead) == (1.0, False)


@pytest.mark.parametrize("kind", sorted(BEFORE_ENDS))
def test_what_an_end_waits_for_is_tried_as_often(kind: str) -> None:
    """The payer's question about its transfer was not answered yet, and then the transfer ends."""
    gaps = [judge(message(kind, attempts=12, age_s=500), Answer(503, "no", 3600.0)).delay_s for _ in range(20)]
    assert max(gaps) <= 45


def test_every_kind_of_message_about_a_payment_is_an_end_or_comes_before_one() -> None:
    text = "".join(path.read_text() for path in (PROJECT / "ledger").rglob("notices.py"))
    known = END_KINDS | BEFORE_ENDS
    assert set(re.findall(r'kind="([a-z-]+)"', text)) <= known
    assert known <= set(re.findall(r'"([a-z-]+)"', text))


@pytest.mark.parametrize("answer", [Answer(400, "no"), Answer(404, "no"), Answer(501, "no"), UNSENT, HOPELESS])
def test_a_request_that_somebody_waits_for_ends_with_the_first_refusal(answer: Answer) -> None:
    assert judge(message("quote-request", reply_to=5), answer).is_dead


@pytest.mark.parametrize("answer", [SILENCE, Answer(500, "no"), Answer(503, "no"), Answer(429, "no")])
def test_a_request_is_tried_again_until_its_time_is_over(answer: Answer) -> None:
    assert not judge(message("quote-request", reply_to=5), answer).is_dead
    assert judge(message("quote-request", reply_to=5, age_s=19.9, attempts=6), answer).is_dead


@pytest.mark.parametrize("answer", [Answer(501, "no"), HOPELESS])
def test_what_will_never_be_taken_is_not_tried_again(answer: Answer) -> None:
    assert judge(message("participants"), answer).is_dead
    assert not judge(message("participants"), UNSENT).is_dead  # an endpoint may be registered


def test_what_is_refused_again_and_again_is_given_up() -> None:
    assert not judge(message("participants", attempts=4), Answer(400, "no")).is_dead
    assert judge(message("participants", attempts=5), Answer(400, "no")).is_dead


@override_settings(OUTBOX_GIVE_UP_S=100)
def test_an_end_is_given_up_by_its_age() -> None:
    assert judge(message("end-to-payer", age_s=99.9, attempts=9), SILENCE).is_dead
