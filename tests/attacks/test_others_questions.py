"""A question about an id that is somebody else's transfer, quote or request: its messages hold nobody's end back, and
what becomes of it says nothing about anybody else's question."""

import uuid
from datetime import timedelta

from django.db.models import F

from hub.outbox import claims, store
from hub.outbox.claims import Room
from hub.outbox.models import Message
from quotes import tasks
from quotes.forwarded import pending_requests
from quotes.models import Quote
from tests.api import messages
from tests.api.caller import dfsp
from tests.api.test_transaction_requests import QUERY, asked
from tests.outbox.messages import MANY
from tests.world import World, fulfil, prepare, run


def claimed(world: World, name: str) -> set[str]:
    """The kinds of message that a courier takes now for this DFSP."""
    taken = claims.claim({world.ids[name]: Room(10, MANY)}, lease_s=10)
    return {message.kind for message in taken.messages}


def test_questions_about_a_transfers_id_do_not_stand_before_its_end(world: World) -> None:
    p = prepare(world, "green", "blue", 1)
    for name in ("green", "blue"):
        for path in (f"/authorizations/{p.transfer_id}?{QUERY}", f"/transactions/{p.transfer_id}"):
            assert dfsp("GET", path, source="red", destination=name).status_code == 202
    run(p)
    run(fulfil(world, "blue", p.transfer_id))
    assert "end-to-payer" in claimed(world, "green")
    assert "prepare" in claimed(world, "blue")


def test_a_request_to_pay_under_a_transfers_id_does_not_stand_before_its_end(world: World) -> None:
    p = prepare(world, "green", "blue", 1)
    body = {"transactionRequestId": p.transfer_id}
    asked(**body)  # blue asks green to pay
    run(p)
    run(fulfil(world, "blue", p.transfer_id))
    assert claimed(world, "green") == {"request-to-pay", "end-to-payer"}


def test_a_question_of_another_that_was_given_up_keeps_no_requester_from_its_time_out(world: World) -> None:
    body = messages.quote()
    assert dfsp("POST", "/quotes", body, destination="blue").status_code == 202
    store.delivered([(number, 202) for number in Message.objects.values_list("id", flat=True)])
    for source in ("blue", "red"):
        path = f"/transactions/{body['quoteId']}"
        assert dfsp("GET", path, source=source, destination="blue").status_code == 202
    # As if it were one of an earlier version, whose subject was the id alone.
    Message.objects.update(state=Message.State.DEAD, subject=body["quoteId"])
    back = timedelta(hours=1)
    Quote.objects.update(created_at=F("created_at") - back, expires_at=F("expires_at") - back)
    tasks.fail_unanswered()
    assert list(Message.objects.filter(destination__name="green").values_list("path", flat=True)) == [
        f"/quotes/{body['quoteId']}/error"
    ]


def test_each_askers_question_ends_by_itself(world: World) -> None:
    path = f"/transactions/{uuid.uuid4()}"
    for source in ("green", "red"):
        assert dfsp("GET", path, source=source, destination="blue").status_code == 202
    waiting = Message.objects.get(source_id=world.ids["green"], destination__name="blue")
    store.delivered([(waiting.pk, 202)])
    Message.objects.update(state=Message.State.DEAD)  # red's, who was told so
    pending_requests.Question.objects.update(answer_by=F("asked_at"))
    pending_requests.report_unanswered()
    told = Message.objects.filter(state=Message.State.PENDING).values_list("destination__name", "path")
    assert list(told) == [("green", path + "/error")]
