"""What one DFSP leaves waiting in the outbox is bounded, and only that DFSP is refused for it."""

import uuid
from typing import Any

import pytest
from django.test import override_settings

from hub.outbox import backlog_limit, store
from hub.outbox.models import Message
from tests.api import messages
from tests.api.caller import description_of, dfsp, error_of
from tests.api.test_transaction_requests import QUERY
from tests.outbox.messages import message
from tests.world import World

FEW = override_settings(OUTBOX_PENDING_PER_SOURCE=5)


def crowd(world: World, source: str, destination: str) -> None:
    to, by = world.ids[destination], world.ids[source]
    store.append([message(to, subject=str(n), source=by) for n in range(5)])
    backlog_limit.forget()


def test_a_hundred_thousand_polls_of_one_transfer_leave_one_message(world: World) -> None:
    path = f"/transfers/{uuid.uuid4()}"
    for _ in range(50):
        assert dfsp("GET", path).status_code == 202
    assert Message.objects.filter(subject=path[11:]).count() == 1


@pytest.mark.parametrize(
    "path",
    [
        "/transfers/{id}",
        "/bulkTransfers/{id}",
        "/fxTransfers/{id}",
        "/quotes/{id}",
        "/bulkQuotes/{id}",
        "/fxQuotes/{id}",
        "/transactionRequests/{id}",
        "/transactions/{id}",
        "/participants/MSISDN/1",
        "/parties/MSISDN/1",
        "/services/FXP",
    ],
)
def test_every_kind_of_question_that_is_asked_again_leaves_one_answer(committed_world: World, path: str) -> None:
    resource = path.split("/")[1]
    version = "2.0" if resource in ("fxTransfers", "fxQuotes", "services") else "1.1"
    accept = {"accept": f"application/vnd.interoperability.{resource}+json;version={version[0]}"}
    path = path.format(id=uuid.uuid4())
    for _ in range(5):
        assert dfsp("GET", path, version=version, headers=accept).status_code == 202
    assert Message.objects.count() == 1


@FEW
def test_a_dfsp_that_takes_no_callbacks_may_ask_nothing_more_and_may_answer(world: World) -> None:
    crowd(world, "green", "green")
    refused = dfsp("GET", f"/transfers/{uuid.uuid4()}")
    assert error_of(refused) == (429, "2005")
    assert description_of(refused) == "Server busy - more than 5 messages caused by green wait for green"
    assert error_of(dfsp("POST", "/transfers", messages.transfer())) == (429, "2005")
    assert dfsp("GET", f"/transfers/{uuid.uuid4()}", source="blue").status_code == 202
    before = Message.objects.count()
    error = {"errorInformation": {"errorCode": "5100", "errorDescription": "no"}}
    answer = dfsp("PUT", f"/transfers/{uuid.uuid4()}/error", error, destination="blue")
    assert answer.status_code != 429
    assert Message.objects.count() == before


@FEW
@pytest.mark.parametrize("resource", ["transfers", "quotes", "parties", "authorizations"])
def test_a_destination_with_too_many_of_one_sources_messages_is_closed_to_that_source_alone(
    committed_world: World, resource: str
) -> None:
    crowd(committed_world, "green", "blue")

    def ask(source: str, to: str) -> Any:
        match resource:
            case "transfers":
                return dfsp("POST", "/transfers", messages.transfer(payerFsp=source, payeeFsp=to), source=source)
            case "quotes":
                return dfsp(
                    "POST",
                    "/quotes",
                    messages.quote(payer=messages.party(source, "1"), payee=messages.party(to, "2")),
                    source=source,
                    destination=to,
                )
            case "parties":
                return dfsp("GET", "/parties/MSISDN/1", source=source, destination=to)
        return dfsp("GET", f"/authorizations/{uuid.uuid4()}?{QUERY}", source=source, destination=to)

    before = Message.objects.count()
    assert error_of(ask("green", "blue")) == (429, "2005")
    assert Message.objects.count() == before
    assert ask("green", "red").status_code == 202
    assert ask("red", "blue").status_code == 202


def test_a_query_is_written_anew_from_what_was_read(committed_world: World) -> None:
    path = f"/authorizations/{uuid.uuid4()}"
    asked = dfsp("GET", f"{path}?{QUERY}&odd=%FF\u00ff%0d%0a", destination="blue")
    assert asked.status_code == 202
    sent = Message.objects.get()
    assert sent.path == f"{path}?{QUERY}"
    assert sent.path.isascii()
