"""A24: what others wrote is shown as text on every page that shows it, and a file runs nothing in a spreadsheet."""

import csv
import io

import pytest

from hub.outbox.models import Message
from portal.permissions import Role
from tests.api import messages
from tests.api.caller import admin, dfsp
from tests.portal.people import browser
from tests.world import World, prepare, reject, run

SCRIPT = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
FORMULA = '=HYPERLINK("http://evil.example")'


def is_text(page: str) -> bool:
    return "<script>alert" not in page and "<img src=x" not in page


@pytest.mark.django_db(transaction=True)
def test_a24_names_notes_and_extensions_of_a_quote_are_text_on_the_payments_page(committed_world: World) -> None:
    extensions = {"extension": [{"key": "note", "value": SCRIPT}]}
    quote = messages.quote(note=SCRIPT[:128], extensionList=extensions)
    quote["payee"]["name"] = SCRIPT
    assert dfsp("POST", "/quotes", quote, destination="blue").status_code == 202
    answered = dfsp("PUT", f"/quotes/{quote['quoteId']}", messages.terms(), source="blue", destination="green")
    assert answered.status_code == 200
    command = prepare(committed_world, "green", "blue", 100, transfer_id=quote["transactionId"])
    run(command)
    run(reject(committed_world, "blue", command.transfer_id, text=SCRIPT))
    client = browser(Role.VIEWER)
    for path in (f"transfers/{command.transfer_id}/", "transfers/", f"transfers/?id={quote['quoteId']}", "overview/"):
        answer = client.get(f"/portal/{path}")
        assert is_text(answer.content.decode()), path
        policy = answer["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy
    assert "&lt;script&gt;" in client.get("/portal/transfers/").content.decode()
    assert Message.objects.exists()


@pytest.mark.parametrize("name", [SCRIPT, "<b>green</b>", "=cmd", "@green", "green\n", "a b"])
def test_a24_a_participant_has_a_plain_name(world: World, name: str) -> None:
    assert admin("POST", "/participants", {"name": name, "currency": "TZS"}).status_code == 400


def test_a24_what_is_searched_for_is_text_on_the_page_that_found_nothing(world: World) -> None:
    client = browser(Role.AUDITOR)
    for path, field in {
        "transfers/": "id",
        "conversions/": "dfsp",
        "directory/": "identifier",
        "audit/": "actor",
        "callbacks/": "dfsp",
    }.items():
        assert is_text(client.get(f"/portal/{path}", {field: SCRIPT}).content.decode()), path


@pytest.mark.django_db(transaction=True)
def test_a24_a_formula_in_what_a_dfsp_wrote_is_text_in_every_file(committed_world: World) -> None:
    command = prepare(committed_world, "green", "blue", 100)
    run(command)
    run(reject(committed_world, "blue", command.transfer_id, code="5104", text=FORMULA))
    answer = browser(Role.AUDITOR).get("/portal/transfers.csv")
    for row in csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row), row
