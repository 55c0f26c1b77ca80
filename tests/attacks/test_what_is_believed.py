"""Every message that the hub takes: what a stranger's answer gets, and that docs/threats.md lists the message."""

import json
import re
import uuid
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from hub import dfsp_urls
from hub.outbox.models import Message
from tests.api import fx_messages, messages
from tests.api.caller import dfsp, error_of
from tests.api.test_transaction_requests import QUERY, request_to_pay
from tests.directory.requests import register
from tests.fx_world import open_scheme
from tests.world import World

ROOT = Path(__file__).parents[2]
ALIAS = "/parties/MSISDN/255655001001"


def taken_by() -> list[tuple[str, str]]:
    """(HTTP method, path as docs/threats.md writes it) of each message that the hub takes of a DFSP."""
    found = []
    for pattern in dfsp_urls.urlpatterns:
        view = pattern.callback.view_class  # type: ignore[attr-defined]
        path = "/" + re.sub(r"<str:(\w+)>", lambda match: _NAMES.get(match[1], "{ID}"), str(pattern.pattern))
        methods = [name for name in ("get", "post", "put", "patch", "delete") if name in view.http_method_names]
        found += [(method.upper(), path) for method in methods if hasattr(view, method)]
    found.remove(("POST", "/token"))  # which is no message of the API
    return found


_NAMES = {
    "id_type": "{Type}",
    "sub_id": "{SubId}",
    "source_currency": "{SourceCurrency}",
    "target_currency": "{TargetCurrency}",
}
ANSWERS = [(method, path) for method, path in taken_by() if method in ("PUT", "PATCH")]

# What is answered, with the id that green and blue have used where there is a place for one.
PARTY = {"party": messages.party("red", "255655001001")}
QUOTE, BULK_QUOTE, FX_QUOTE = messages.quote(), messages.bulk_quote(), fx_messages.fx_quote(counterPartyFsp="blue")
TRANSFER, BULK, FX_TRANSFER = messages.transfer(), messages.bulk_transfer(), fx_messages.fx_transfer()
REQUEST = request_to_pay()
RESOURCES: dict[str, tuple[str, Any, tuple[int, str]]] = {
    "parties": ("", PARTY, (400, "3000")),
    "participants": ("", {"partyList": [{"partyId": PARTY["party"]["partyIdInfo"]}]}, (200, "")),
    "services": ("", {"providers": ["red"]}, (200, "")),
    "transactionRequests": (
        REQUEST["transactionRequestId"],
        {"transactionRequestState": "ACCEPTED"},
        (400, "3206"),
    ),
    "authorizations": (REQUEST["transactionRequestId"], {"responseType": "REJECTED"}, (400, "3206")),
    "transactions": (QUOTE["transactionId"], {"transactionState": "COMPLETED"}, (400, "3207")),
    "quotes": (QUOTE["quoteId"], messages.terms(), (400, "3205")),
    "bulkQuotes": (BULK_QUOTE["bulkQuoteId"], messages.bulk_terms(BULK_QUOTE), (400, "3209")),
    "fxQuotes": (FX_QUOTE["conversionRequestId"], fx_messages.fx_terms(FX_QUOTE), (400, "3205")),
    "transfers": (TRANSFER["transferId"], messages.fulfilment, (400, "3208")),
    "bulkTransfers": (BULK["bulkTransferId"], partial(messages.bulk_results, BULK), (400, "3210")),
    "fxTransfers": (FX_TRANSFER["commitRequestId"], fx_messages.fx_fulfilment, (400, "3208")),
}
VERSION_2 = ("fxQuotes", "fxTransfers", "services")


def send(method: str, path: str, body: Any = None, **more: Any) -> Any:
    resource = path.split("/")[1].partition("?")[0]
    version = "2.0" if resource in VERSION_2 else "1.1"
    accept = {"accept": f"application/vnd.interoperability.{resource}+json;version={version[0]}"}
    return dfsp(method, path, body, version=version, headers=accept if method in ("GET", "POST") else {}, **more)


def ask_everything(world: World) -> None:
    """Green asks of blue, and pays it, all that one DFSP asks of another; blue asks green to pay."""
    open_scheme(world)
    register("MSISDN/255655001001", "blue")
    asked = [
        ("GET", ALIAS, None),
        ("POST", "/quotes", QUOTE),
        ("POST", "/bulkQuotes", BULK_QUOTE),
        ("POST", "/fxQuotes", FX_QUOTE),
        ("GET", f"/authorizations/{REQUEST['transactionRequestId']}?{QUERY}", None),
        ("GET", f"/transactions/{QUOTE['transactionId']}", None),
        ("POST", "/transfers", TRANSFER | {"expiration": messages.moment()}),
        ("POST", "/bulkTransfers", BULK | {"expiration": messages.moment()}),
    ]
    assert send("POST", "/transactionRequests", REQUEST, source="blue", destination="green").status_code == 202
    for method, path, body in asked:
        assert send(method, path, body, destination="blue").status_code == 202
    conversion = FX_TRANSFER | {"expiration": messages.moment()}
    assert send("POST", "/fxTransfers", conversion, destination="fxp").status_code == 202
    kinds = set(Message.objects.exclude(destination__name="green").values_list("path", flat=True))
    assert kinds >= {path for _, path, _ in asked} | {"/fxTransfers"}
    Message.objects.all().delete()


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
def test_whatever_a_stranger_answers_is_told_to_nobody(committed_world: World, *, is_known: bool) -> None:
    if is_known:
        ask_everything(committed_world)
    came = {}
    for method, path in ANSWERS:
        resource = path.split("/")[1]
        known_id, body, outcome = RESOURCES[resource]
        if method == "PATCH":
            outcome = (501, "2002")
        if callable(body):
            body = body()  # which says when it was written
        if path.endswith("/error"):
            body = messages.error()
        elif path.startswith("/participants/{Type}"):
            body = {"partyList": [PARTY["party"]["partyIdInfo"]]}
        names = {"Type": "MSISDN", "ID": "255655001001" if "{Type}" in path else known_id, "SubId": "home"}
        if not is_known:
            names["ID"] = str(uuid.uuid4())
        names["ID"] = names["ID"] or str(uuid.uuid4())
        url = path.format(**names, SourceCurrency="TZS", TargetCurrency="KES")
        answer = send(method, url, body, source="red", destination="green")
        came[method, path] = error_of(answer) if answer.content else (answer.status_code, "")
        assert came[method, path] == outcome, (method, url, answer.content)
    assert list(Message.objects.values_list("destination__name", "method", "path")) == []


@pytest.mark.parametrize(("resource", "code"), [("quotes", "3205"), ("bulkQuotes", "3209"), ("fxQuotes", "3205")])
def test_who_asks_for_anothers_quote_is_told_that_there_is_none(
    committed_world: World, resource: str, code: str
) -> None:
    ask_everything(committed_world)
    path = f"/{resource}/{RESOURCES[resource][0]}"
    assert send("GET", path, source="red", destination="blue").status_code == 202
    message = Message.objects.select_related("destination").get()
    assert (message.destination.name, message.path) == ("red", path + "/error")
    assert json.loads(message.body)["errorInformation"]["errorCode"] == code


# --- docs/threats.md ------------------------------------------------------------------------------------------------


def believed() -> Iterator[tuple[list[str], str]]:
    """(the messages, the tests) of each row of the first table."""
    text = (ROOT / "docs/threats.md").read_text()
    table = text.split("## Accepted messages", 1)[1].split("\n## ", 1)[0]
    for row in table.splitlines():
        cells = [cell.strip() for cell in row.strip().strip("|").split(" | ")]
        if row.startswith("| `") and len(cells) == 4:
            yield re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) [^`]+)`", cells[0]), cells[3]


def variants(message: str) -> set[tuple[str, str]]:
    """Each message that one with parts in brackets stands for."""
    method, path = message.split(" ", 1)
    parts = re.split(r"(\[[^\]]*\])", path)
    choices = [("", part[1:-1]) if part.startswith("[") else (part,) for part in parts]
    return {(method, "".join(chosen)) for chosen in product(*choices)}


def test_the_table_of_what_is_believed_lists_each_message_that_the_hub_takes() -> None:
    listed = [each for names, _ in believed() for name in names for each in variants(name)]
    assert [each for each in taken_by() if each not in listed] == []


def test_each_row_of_the_table_names_tests_that_exist() -> None:
    files = list((ROOT / "tests").rglob("test_*.py"))
    written = {path.stem for path in files} | {
        name for path in files for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    for names, tests in believed():
        named = set(re.findall(r"test_\w+", tests))
        assert named, names
        assert named <= written, names
