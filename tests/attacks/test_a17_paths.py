"""A17: paths that mean something else to another reader. 404 or 400 in the API's own form, and nothing happens."""

import base64
import json

import pytest
from django.test import Client, override_settings

from hub.outbox.models import Message
from tests.api import messages
from tests.api.caller import admin, dfsp, error_of
from tests.attacks.web import head, send
from tests.world import World

ID = "abcdef00-0000-4000-8000-00000000000a"
PATHS: dict[str, tuple[str, set[tuple[int, str]]]] = {
    "a slash in the id": ("/transfers/..%2fquotes", {(400, "3100")}),
    "a backslash": ("/transfers/..%5cquotes", {(400, "3100")}),
    "dots": ("/transfers/../quotes", {(400, "3100")}),
    "dots escaped": ("/transfers/%2e%2e/quotes", {(400, "3100")}),
    "NUL": ("/transfers/%00", {(400, "3100")}),
    "NUL after an id": (f"/transfers/{ID}%00", {(400, "3100")}),
    "a line end": (f"/transfers/{ID}%0a", {(400, "3100")}),
    "capital letters": (f"/Transfers/{ID}", {(404, "3002")}),
    "an id in capital letters": (f"/transfers/{ID.upper()}", {(400, "3100")}),
    "a slash at the end": (f"/transfers/{ID}/", {(404, "3002")}),
    "no id": ("/transfers/", {(404, "3002")}),
    "no quote id": ("/quotes/", {(404, "3002")}),
    "a slash and dots in an alias": ("/parties/MSISDN/1%2f..", {(400, "3100")}),
    "two slashes": (f"//transfers/{ID}", {(404, "3002")}),
    "a parameter": (f"/transfers;v=1/{ID}", {(404, "3002")}),
    "too many parts": (f"/transfers/{ID}/error/error", {(404, "3002")}),
    "an id of 4,000 characters": ("/transfers/" + "a" * 4000, {(400, "3100")}),
    "an id that is no UTF-8": ("/transfers/%ff%fe", {(400, "3100")}),
    "an id in other digits": ("/transfers/" + "%D9%A1" * 36, {(400, "3100")}),
    "an alias of dots": ("/parties/MSISDN/..", {(400, "3100"), (404, "3002")}),
    "an alias with a line end": ("/parties/MSISDN/1%0d%0aHost:%20evil", {(400, "3100")}),
    "an alias that grows on the wire": ("/parties/EMAIL/" + "%F0%9F%98%80" * 128, {(400, "3100")}),
    "a type in small letters": ("/parties/msisdn/1", {(400, "3100")}),
    "a currency that is none": ("/parties/MSISDN/1?currency=%00", {(400, "3100"), (400, "3101")}),
}


@pytest.mark.parametrize("name", PATHS)
def test_a17_a_tricky_path_is_refused(world: World, name: str) -> None:
    path, expected = PATHS[name]
    for method, body in (("GET", None), ("PUT", b"{}")):
        if method == "PUT" and "parties" not in path and "100" in str(expected):
            body = json.dumps(messages.fulfilment()).encode()
        assert error_of(dfsp(method, path, body, destination="blue")) in expected | {(400, "3102")}
    assert not Message.objects.exists()


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND", "G" * 300])
def test_a17_another_method_is_refused(world: World, method: str) -> None:
    for answer in (
        dfsp(method, f"/transfers/{ID}", headers={"accept": "application/vnd.interoperability.transfers+json"}),
        admin(method, "/participants"),
    ):
        assert answer.status_code == 405
    assert not Message.objects.exists()


def test_a17_a_header_does_not_change_the_method(world: World) -> None:
    for name in ("x-http-method-override", "x-method-override", "x-http-method"):
        answer = dfsp("GET", f"/transfers/{ID}", headers={name: "PUT"})
        assert answer.status_code == 202
    assert {message.kind for message in Message.objects.all()} == {"state"}


@override_settings(ADMINISTRATION_AUTH="staff")
def test_a17_a_user_name_that_no_database_holds_is_refused(world: World) -> None:
    for name in (b"ro\0ot:secret", b"x" * 5000 + b":secret", "\ud800:x".encode("utf-8", "surrogatepass")):
        header = "Basic " + base64.b64encode(name).decode()
        answer = Client().get("/api/ledger/v1/participants", headers={"authorization": header})
        assert error_of(answer)[0] in (400, 401)


def test_a17_the_real_web_server_gives_tricky_paths_on_as_they_are(port: int) -> None:
    for path, expected in PATHS.values():
        resource = path.strip("/").split("/")[0].lower()
        answer = send(port, head("GET", path, "Connection: close", resource=resource) + b"\r\n\r\n")
        assert answer.status in {status for status, _ in expected}, path
    for target in ("/transfers/" + "a" * 200_000, "*", "http://evil.example/transfers/%00"):
        answer = send(port, head("GET", target, "Connection: close") + b"\r\n\r\n")
        assert 400 <= answer.status < 500, target[:40]
