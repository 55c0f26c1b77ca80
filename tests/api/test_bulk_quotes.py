"""Bulk quotes through the API: there and back byte for byte, and what resends, changes and strangers get."""

import json
import uuid
from functools import partial
from typing import Any

import pytest
from django.test import override_settings

from hub.outbox.models import Message
from quotes.models import BulkQuote
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.concurrency.together import together

pytestmark = pytest.mark.usefixtures("committed_world")


def sent() -> list[tuple[str, str, str]]:
    """What waits in the outbox, in order: (destination, method, path)."""
    return list(Message.objects.order_by("id").values_list("destination__name", "method", "path"))


def last() -> Message:
    return Message.objects.select_related("destination").latest("created_at", "id")


def last_error() -> tuple[str, str, str]:
    """(destination, path, code) of the error callback that was sent last."""
    message = last()
    return message.destination.name, message.path, json.loads(message.body)["errorInformation"]["errorCode"]


def asked(**changes: Any) -> dict[str, Any]:
    body = messages.bulk_quote(**changes)
    assert dfsp("POST", "/bulkQuotes", body, destination="blue").status_code == 202
    return body


@pytest.mark.parametrize("version", ["1.0", "1.1", "2.0"])
def test_a_bulk_quote_goes_there_and_back_byte_for_byte(version: str) -> None:
    body = messages.bulk_quote(count=3)
    raw = json.dumps(body, indent=2).encode()
    assert dfsp("POST", "/bulkQuotes", raw, destination="blue", version=version).status_code == 202
    question = last()
    assert (question.destination.name, question.method, question.path) == ("blue", "POST", "/bulkQuotes")
    assert bytes(question.body) == raw
    assert (question.headers["fspiop-source"], question.signed_by_hub) == ("green", False)

    path = f"/bulkQuotes/{body['bulkQuoteId']}"
    told = json.dumps(messages.bulk_terms(body), indent=1).encode()
    assert dfsp("PUT", path, told, source="blue", destination="green", version=version).status_code == 200
    answer = last()
    assert (answer.destination.name, answer.method, answer.path) == ("green", "PUT", path)
    assert (bytes(answer.body), answer.headers["fspiop-source"]) == (told, "blue")
    assert BulkQuote.objects.get(pk=body["bulkQuoteId"]).state == "ACCEPTED"


def test_a_refusal_of_the_payee_reaches_the_payer_as_it_was_written() -> None:
    body = asked()
    path = f"/bulkQuotes/{body['bulkQuoteId']}/error"
    raw = json.dumps(messages.error("5103"), indent=4).encode()
    assert dfsp("PUT", path, raw, source="blue", destination="green").status_code == 200
    assert (last().destination.name, last().path, bytes(last().body)) == ("green", path, raw)
    assert BulkQuote.objects.get(pk=body["bulkQuoteId"]).state == "REJECTED"


def test_an_equal_resend_has_the_same_outcome_and_a_changed_one_none() -> None:
    body = asked()
    question = bytes(last().body)
    dfsp("POST", "/bulkQuotes", dict(reversed(body.items())), destination="blue")
    assert (last().destination.name, bytes(last().body)) == ("blue", question)

    path = f"/bulkQuotes/{body['bulkQuoteId']}"
    told = json.dumps(messages.bulk_terms(body)).encode()
    dfsp("PUT", path, told, source="blue", destination="green")
    count = len(sent())
    dfsp("PUT", path, told, source="blue", destination="green")
    assert len(sent()) == count
    dfsp("POST", "/bulkQuotes", body, destination="blue")
    assert (last().destination.name, last().path, bytes(last().body)) == ("green", path, told)

    changed = body | {"individualQuotes": body["individualQuotes"][:1]}
    dfsp("POST", "/bulkQuotes", changed, destination="blue")
    assert last_error() == ("green", path + "/error", "3106")
    dfsp("PUT", path, messages.bulk_terms(body, expiration=messages.moment(90)), source="blue", destination="green")
    assert last_error() == ("blue", path + "/error", "3106")
    assert bytes(BulkQuote.objects.get(pk=body["bulkQuoteId"]).response or b"") == told


def test_who_is_not_there_or_is_asked_by_itself_is_told_by_the_error_callback() -> None:
    for destination, code in (("nobody", "3201"), ("green", "3100")):
        body = messages.bulk_quote()
        assert dfsp("POST", "/bulkQuotes", body, destination=destination).status_code == 202
        assert last_error() == ("green", f"/bulkQuotes/{body['bulkQuoteId']}/error", code)
        assert last().headers["fspiop-source"] == "Hub"
    assert BulkQuote.objects.count() == 0


def test_a_question_that_can_not_be_delivered_is_answered_to_its_payer() -> None:
    body = asked()
    question = last()
    assert question.reply_to is not None
    assert question.reply_to.name == "green"
    assert question.error_path == f"/bulkQuotes/{body['bulkQuoteId']}/error"


def test_get_tells_the_payer_the_answer_and_a_stranger_nothing() -> None:
    body = asked()
    path = f"/bulkQuotes/{body['bulkQuoteId']}"
    assert dfsp("GET", path).status_code == 202
    assert sent()[-1] == ("blue", "GET", path)  # not answered yet: the payee is asked
    told = json.dumps(messages.bulk_terms(body)).encode()
    dfsp("PUT", path, told, source="blue", destination="green")
    dfsp("GET", path)
    assert (last().destination.name, bytes(last().body)) == ("green", told)
    unknown = f"/bulkQuotes/{uuid.uuid4()}"
    for source, asked_for in (("grey", path), ("green", unknown)):
        dfsp("GET", asked_for, source=source)
        assert last_error() == (source, asked_for + "/error", "3209")


def test_a_stranger_answers_no_bulk_quote() -> None:
    body = asked()
    path = f"/bulkQuotes/{body['bulkQuoteId']}"
    count = len(sent())
    for source in ("red", "grey"):
        assert error_of(dfsp("PUT", path, messages.bulk_terms(body), source=source)) == (400, "3209")
        assert error_of(dfsp("PUT", path + "/error", messages.error(), source=source)) == (400, "3209")
    assert error_of(dfsp("PUT", path, messages.bulk_terms(body), source="green")) == (400, "3209")
    assert (len(sent()), BulkQuote.objects.get(pk=body["bulkQuoteId"]).state) == (count, "PENDING")


def test_bad_bulk_quotes_are_refused_at_once() -> None:
    body = messages.bulk_quote()
    no_destination = dfsp("POST", "/bulkQuotes", body)
    assert error_of(no_destination) == (400, "3102")
    many = body | {"individualQuotes": body["individualQuotes"] * 501}
    assert error_of(dfsp("POST", "/bulkQuotes", many, destination="blue")) == (400, "3103")
    none = body | {"individualQuotes": []}
    assert error_of(dfsp("POST", "/bulkQuotes", none, destination="blue")) == (400, "3100")
    assert error_of(dfsp("PUT", "/bulkQuotes/x", messages.bulk_terms(body), source="blue")) == (400, "3100")
    assert error_of(dfsp("POST", "/bulkQuotes", body, destination="blue", version="9.0")) == (406, "3001")
    assert sent() == []


@override_settings(DFSP_OPEN_BULKS=10)
def test_equal_bulk_quotes_at_once_are_stored_once() -> None:
    body = messages.bulk_quote()
    answers = together([partial(dfsp, "POST", "/bulkQuotes", body, destination="blue") for _ in range(10)])
    assert [getattr(answer, "status_code", answer) for answer in answers] == [202] * 10
    assert BulkQuote.objects.count() == 1
    assert {message[:2] for message in sent()} == {("blue", "POST")}
