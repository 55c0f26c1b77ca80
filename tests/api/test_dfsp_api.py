"""The hub's own API for DFSPs: each DFSP sees and changes only its own, and two people at the hub approve its keys."""

import csv
import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpResponse
from django.test import override_settings
from django.urls import reverse

from fspiop import jws, time
from fspiop.time import http_date
from hub.audit.models import Approval
from hub.dfsp_api import callback_check, dfsp_view
from hub.participants import credential_cache
from hub.participants import services as participants
from hub.participants.models import Credential
from hub.sql_execution import found_by_keys
from ledger.dfsp_api import statement
from portal import changes
from portal.permissions import Role
from portal.visitor import visitor_for
from tests import proofs, signing
from tests.api.caller import ABSENT, dfsp, error_of
from tests.portal.people import browser_of, person
from tests.proofs import key_of, public_pem
from tests.world import World, fulfil, prepare, run

SCHEME = proofs.Authority("scheme")
PLAIN: dict[str, str | None] = {"content-type": "application/json", "accept": "application/json"}


def ask(method: str, path: str, body: Any = None, *, source: str = "green", **more: str | None) -> HttpResponse:
    return dfsp(method, f"/dfsp/v1/{path}", body, source=source, headers=PLAIN | more)


def told(method: str, path: str, body: Any = None, *, status: int = 200, **more: Any) -> Any:
    answer = ask(method, path, body, **more)
    assert answer.status_code == status, answer.content
    assert answer["Content-Length"] == str(len(answer.content))
    return json.loads(answer.content)


@pytest.fixture
def authority(tmp_path: Path, settings: Any) -> Path:
    for name, value in signing.authority_in(tmp_path).items():
        setattr(settings, name, value)
    return tmp_path


def approve(user: User, number: int) -> None:
    changes.approve(visitor_for(User.objects.get(pk=user.pk)), number)


def second_request() -> Approval:
    return Approval.objects.exclude(kind="submission").latest("pk")


# --- certificates and keys --------------------------------------------------------------------------------------------


def test_two_people_at_the_hub_approve_a_signing_request_and_then_the_dfsp_fetches_its_certificate(
    world: World, authority: Path
) -> None:
    asha, juma = person(Role.OPERATOR, name="asha"), person(Role.OPERATOR, name="juma")
    csr = {"csr": signing.csr("green"), "reason": "the old one ends"}
    made = ask("POST", "signingRequests", csr)
    assert made.status_code == 202, made.content
    number = json.loads(made.content)["id"]
    assert made["Location"] == f"/dfsp/v1/submissions/{number}"
    assert told("POST", "signingRequests", csr, status=202)["id"] == number  # a repetition is the same submission
    assert told("GET", f"submissions/{number}")["approvals"] == 0

    browser = browser_of(asha)
    page = browser.get(reverse("approval", args=[number])).content.decode()
    assert "Accept a DFSP&#x27;s certificate or key" in page
    assert "Sign a certificate" in page
    assert made.json()["keyId"] in page  # what the operator compares
    page = browser.post(reverse("approve", args=[number]), follow=True).content.decode()
    assert "Accepted. Another person must now approve the change." in page
    found = told("GET", f"submissions/{number}")
    assert (found["state"], found["approvals"]) == ("PENDING", 1)
    assert told("POST", "signingRequests", csr, status=202)["id"] == number
    assert not Credential.objects.exists()
    with pytest.raises(changes.NotApproved, match="requester of a change cannot approve"):
        approve(asha, second_request().pk)
    assert not Credential.objects.exists()

    approve(juma, second_request().pk)
    found = told("GET", f"submissions/{number}")
    assert (found["state"], found["approvals"], found["change"]) == ("APPROVED", 2, "signCertificate")
    assert found["certificate"]["subject"] == "CN=green"
    assert credential_cache.current().by_certificate(found["certificate"]["sha256"]) is not None
    listed = told("GET", "certificates")
    assert listed["certificates"] == [found["certificate"]]
    assert listed["authority"] == (authority / "ca.pem").read_text()
    assert told("GET", "submissions")["submissions"] == [found]
    assert told("GET", "participant")["credentials"][0]["sha256"] == found["certificate"]["sha256"]


def test_a30_a_dfsps_own_people_accept_none_of_its_submissions(world: World, authority: Path) -> None:
    number = told("POST", "signingRequests", {"csr": signing.csr("green")}, status=202)["id"]
    for role in Role:
        user = person(role, name=f"a-{role.value}")
        if role is not Role.OPERATOR:
            with pytest.raises(changes.NotApproved):
                approve(user, number)
    assert told("GET", f"submissions/{number}")["approvals"] == 0


def test_a_refusal_by_either_person_is_shown_with_its_reason(world: World, authority: Path) -> None:
    asha, juma = person(Role.OPERATOR, name="asha"), person(Role.OPERATOR, name="juma")
    first, second = (
        told("POST", "signingRequests", {"csr": signing.csr("green", key=key_of(name))}, status=202)["id"]
        for name in ("one", "two")
    )
    changes.refuse(visitor_for(asha), first, reason="not the key that you read to us")
    approve(asha, second)
    changes.refuse(visitor_for(juma), second_request().pk, reason="no")
    for number, decision in ((first, "not the key that you read to us"), (second, "no")):
        found = told("GET", f"submissions/{number}")
        assert (found["state"], found["decision"]) == ("REFUSED", decision)
    with override_settings(APPROVAL_EXPIRES_S=-1):
        late = told("POST", "signingRequests", {"csr": signing.csr("green", key=key_of("three"))}, status=202)
    assert told("GET", f"submissions/{late['id']}")["state"] == "EXPIRED"


def test_a_new_signing_key_is_valid_beside_the_old_one_and_the_others_fetch_it(
    world: World, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "hub.key").write_text(proofs.private_pem(key_of("Hub")))
    settings.HUB_SIGNING_KEY_FILE = str(tmp_path / "hub.key")
    proofs.register_key("green")
    before = ask("GET", "signingKeys", source="blue")
    tag = {"if-none-match": before["ETag"]}
    unchanged = ask("GET", "signingKeys", source="blue", **tag)
    assert (unchanged.status_code, unchanged.content) == (304, b"")

    new = public_pem(key_of("green's next"))
    submitted = told("POST", "signingKeys", {"key": new}, status=202)
    assert ask("GET", "signingKeys", source="blue", **tag).status_code == 304
    approve(person(Role.OPERATOR, name="asha"), submitted["id"])
    approve(person(Role.RISK, name="juma"), second_request().pk)
    assert told("GET", f"submissions/{submitted['id']}")["state"] == "APPROVED"

    after = ask("GET", "signingKeys", source="blue", **tag)
    assert after.status_code == 200
    keys = json.loads(after.content)["keys"]
    assert [key["participant"] for key in keys] == ["Hub", "green", "green"]
    assert keys[2]["keyId"] == submitted["keyId"]
    assert keys[0]["key"] == public_pem(key_of("Hub"))
    assert jws.load_public_key(keys[2]["key"].encode()) == key_of("green's next").public_key()
    assert told("GET", "signingKeys?participant=green", source="blue")["keys"] == keys[1:]
    with override_settings(**proofs.SIGNED):
        for name in ("green", "green's next"):
            found = proofs.signed_dfsp("POST", "/dfsp/v1/callbackChecks", {"x": 1}, key=key_of(name), headers=PLAIN)
            assert error_of(found) == (400, "3100")  # the signature is right, and the body is not


def test_revoked_ended_and_disabled_ones_keys_are_not_handed_out(world: World) -> None:
    proofs.register_key("green")
    proofs.expire(proofs.register_key("blue"))
    proofs.register_key("red")
    participants.set_active(proofs.participant("red"), is_active=False, actor="test")
    assert [key["participant"] for key in told("GET", "signingKeys")["keys"]] == ["green"]
    assert [key["participant"] for key in told("GET", "signingKeys", source="red")["keys"]] == ["green", "red"]


def test_of_one_dfsp_four_submissions_wait_and_others_are_not_kept_from_theirs(world: World, authority: Path) -> None:
    def submit(number: int, source: str) -> HttpResponse:
        return ask("POST", "signingRequests", {"csr": signing.csr(source, key=key_of(f"k{number}"))}, source=source)

    assert [submit(number, "green").status_code for number in range(5)] == [202, 202, 202, 202, 429]
    assert submit(5, "blue").status_code == 202


# --- who calls --------------------------------------------------------------------------------------------------------


def test_a01_a_caller_proves_itself_as_at_the_fspiop_door(world: World) -> None:
    mine, others = SCHEME.issue("green"), SCHEME.issue("blue")
    proofs.register_certificate("green", mine)
    proofs.register_certificate("blue", others)
    proofs.register_key("green")
    with override_settings(**proofs.CERTIFICATE, **proofs.SIGNED):
        assert told("GET", "clock", **proofs.by_proxy(mine))
        assert error_of(ask("GET", "clock")) == (401, "3000")
        assert error_of(ask("GET", "positions", **proofs.by_proxy(others))) == (403, "3000")
        assert error_of(ask("GET", "positions", **proofs.by_proxy(mine, secret="not it"))) == (401, "3000")
        unsigned = ask("POST", "callbackChecks", {}, **proofs.by_proxy(mine))
        assert error_of(unsigned) == (400, "3105")
        headers = PLAIN | proofs.by_proxy(mine)
        forged = proofs.signed_dfsp("POST", "/dfsp/v1/callbackChecks", {}, key=key_of("blue"), headers=headers)
        assert error_of(forged) == (400, "3105")
        moved = proofs.signed_dfsp(
            "POST", "/dfsp/v1/callbackChecks", {}, headers=headers | {"fspiop-uri": "/dfsp/v1/signingKeys"}
        )
        assert error_of(moved) == (400, "3105")
        signed = proofs.signed_dfsp("POST", "/dfsp/v1/callbackChecks", {"x": 1}, headers=headers)
        assert error_of(signed) == (400, "3100")  # the unknown field is read after the signature
    with override_settings(**proofs.TOKEN):
        token = proofs.bearer(proofs.token_of(proofs.register_client("green")))
        assert told("GET", "clock", **token)
        assert error_of(ask("GET", "clock", source="blue", **token)) == (403, "3000")


def test_a26_a_dfsp_sees_nothing_of_anothers(world: World, authority: Path) -> None:
    number = told("POST", "signingRequests", {"csr": signing.csr("green")}, status=202)["id"]
    assert error_of(ask("GET", f"submissions/{number}", source="blue")) == (404, "3200")
    assert error_of(ask("GET", "submissions/99999999999999999999999")) == (404, "3200")
    assert told("GET", "submissions", source="blue") == {"submissions": []}
    run(prepare(world, "green", "blue", 10))
    of_grey = told("GET", "statement", source="grey")
    assert (of_grey["transfers"], "conversions" in of_grey) == ([], False)
    assert {(line["kind"], line["debitAccount"], line["creditAccount"]) for line in of_grey["postings"]} == {
        ("FUNDS_IN", "HUB", "SETTLEMENT")  # its own
    }
    assert len(of_grey["postings"]) == 1
    assert told("GET", "settlements", source="grey") == {"settlements": []}
    assert told("GET", "certificates", source="blue")["certificates"] == []
    assert told("GET", "participant", source="blue")["endpoints"] == {"FSPIOP_CALLBACK_URL": "http://blue.example"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "signingRequests", {"csr": signing.csr("blue")}, 400, "3100"),
        ("POST", "signingRequests", {"csr": "nonsense"}, 400, "3100"),
        ("POST", "signingRequests", {"csr": 7}, 400, "3101"),
        ("POST", "signingRequests", {"csr": "x" * 20_000}, 400, "3100"),
        ("POST", "signingRequests", {}, 400, "3102"),
        ("POST", "signingRequests", b"{", 400, "3101"),
        ("POST", "signingRequests", {"csr": signing.csr("green"), "days": 9999}, 400, "3100"),
        ("POST", "signingRequests", {"csr": signing.csr("green", key=key_of("taken"))}, 400, "3000"),
        ("POST", "signingKeys", {"key": proofs.private_pem(key_of("green"))}, 400, "3100"),
        ("POST", "signingKeys", {"key": {"kty": "EC"}}, 400, "3100"),
        ("POST", "signingKeys", {"key": public_pem(key_of("taken"))}, 400, "3000"),
        ("POST", "signingKeys", {"key": public_pem(key_of("n")), "validFrom": "tomorrow"}, 400, "3100"),
        ("GET", "signingKeys?of=blue", None, 400, "3100"),
        ("GET", "statement?limit=0", None, 400, "3100"),
        ("GET", "statement?limit=1001", None, 400, "3100"),
        ("GET", "statement?limit=x", None, 400, "3101"),
        ("GET", "statement?after=AAAA", None, 400, "3100"),
        ("GET", "statement?after=" + "9" * 120, None, 400, "3100"),
        ("GET", "statement?from=yesterday", None, 400, "3100"),
        ("GET", "statement?format=xml", None, 400, "3100"),
        ("GET", "statement?limit=1&limit=2", None, 400, "3100"),
        ("DELETE", "certificates", None, 405, "3000"),
        ("GET", "nothing", None, 404, "3002"),
        ("GET", "../transfers/1", None, 400, "3100"),
    ],
)
def test_bad_requests_get_a_clear_error_and_change_nothing(
    world: World, authority: Path, method: str, path: str, body: Any, status: int, code: str
) -> None:
    proofs.register_key("blue", key_of("taken"))
    answer = ask(method, path, body)
    assert error_of(answer) == (status, code), answer.content
    assert not Approval.objects.exists()


def test_headers_that_every_request_needs(world: World) -> None:
    assert error_of(ask("GET", "clock", date=ABSENT)) == (400, "3102")
    assert error_of(ask("GET", "clock", **{"fspiop-source": "stranger"})) == (400, "3200")
    assert error_of(ask("POST", "callbackChecks", {}, **{"content-type": "text/plain"})) == (400, "3101")
    long_ago = http_date(datetime.now(UTC) - timedelta(days=1))
    with override_settings(DATE_TOLERANCE_S=60):
        assert error_of(ask("GET", "positions", date=long_ago)) == (400, "3100")
        shown = told("GET", "clock", date=long_ago)  # a DFSP whose clock is wrong must be able to find that out
    assert abs(time.parse_datetime(shown["time"]) - datetime.now(UTC)) < timedelta(seconds=5)


# --- money ------------------------------------------------------------------------------------------------------------


def test_positions_show_what_is_reserved_and_what_may_still_be_sent(world: World) -> None:
    run(prepare(world, "green", "blue", "10.5"))
    paid = prepare(world, "green", "blue", 4)
    run(paid)
    run(fulfil(world, "blue", paid.transfer_id))
    expected = {"currency": "TZS", "isActive": True, "netDebitCap": "1000", "cover": "5000", "limit": "1000"}
    assert told("GET", "positions")["positions"] == [
        expected | {"position": "14.5", "reserved": "10.5", "free": "985.5"}
    ]
    assert told("GET", "positions", source="blue")["positions"][0]["position"] == "-4"


def test_a_statement_has_each_own_transfer_once_page_by_page_in_order_of_arrival(world: World) -> None:
    made = [
        prepare(world, *pair, 10 + number) for number, pair in enumerate([("green", "blue"), ("blue", "green")] * 3)
    ]
    for command in made:
        run(command)
    run(fulfil(world, "blue", made[0].transfer_id))
    refused = prepare(world, "green", "blue", 5000)
    run(refused)
    run(prepare(world, "blue", "red", 3))

    lines, query = [], "statement?limit=3"
    for _ in range(5):
        found = told("GET", query)
        lines += found["transfers"]
        if "next" not in found:
            break
        query = f"statement?limit=3&after={found['next']}"
    assert [line["transferId"] for line in lines] == [each.transfer_id for each in [*made, refused]]
    by_id = {line["transferId"]: line for line in lines}
    first = by_id[made[0].transfer_id]
    assert (first["direction"], first["state"], first["amount"], first["payeeFsp"]) == (
        "OUT",
        "COMMITTED",
        "10",
        "blue",
    )
    assert (by_id[made[1].transfer_id]["direction"], by_id[made[1].transfer_id]["payerFsp"]) == ("IN", "blue")
    assert (by_id[refused.transfer_id]["state"], by_id[refused.transfer_id]["errorCode"]) == ("ABORTED", "4001")
    of_blue = {line["transferId"] for line in told("GET", "statement", source="blue")["transfers"]}
    assert refused.transfer_id not in of_blue  # it was never sent to blue
    assert told("GET", "statement?to=2020-01-01T00:00:00.000Z") == {"transfers": []}
    assert told("GET", "statement?from=2099-01-01T00:00:00.000Z") == {"transfers": []}

    answer = ask("GET", "statement?limit=3&format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert answer["Content-Type"].startswith("text/csv")
    # Before them came the money that the settlement bank holds for green.
    assert [(row["kind"], row["amount"]) for row in rows[:1]] == [("FUNDS_IN", "5000")]
    assert [row["transferId"] for row in rows[1:]] == [line["transferId"] for line in lines[:2]]
    following = answer["Link"].partition(">")[0].removeprefix("</dfsp/v1/")
    rows = list(csv.DictReader(io.StringIO(ask("GET", following).content.decode())))
    assert [row["transferId"] for row in rows] == [line["transferId"] for line in lines[2:5]]


def test_a_page_of_a_statement_is_found_by_the_indexes_of_payers_and_payees(world: World) -> None:
    moment = datetime.now(UTC)
    parameters = {"own": 1, "at": moment, "key": "", "to": moment, "size": 100}
    rows = found_by_keys("EXPLAIN " + statement._PAGE, parameters)
    plan = "\n".join(row[0] for row in rows)
    assert "transfer_by_payer" in plan
    assert "transfer_by_payee" in plan
    assert "Seq Scan on ledger_transfer" not in plan, plan


def test_the_number_of_statements_does_not_depend_on_how_many_rows_there_are(
    world: World, authority: Path, django_assert_max_num_queries: Any
) -> None:
    def all_of_it() -> None:
        for path in ("positions", "statement", "signingKeys", "submissions", "certificates", "participant"):
            with django_assert_max_num_queries(6):
                told("GET", path)

    all_of_it()
    for number in range(3):
        run(prepare(world, "green", "blue", 1))
        told("POST", "signingRequests", {"csr": signing.csr("green", key=key_of(f"k{number}"))}, status=202)
        proofs.register_key("green", key_of(f"s{number}"))
        proofs.register_certificate("green", SCHEME.issue("green", key=key_of(f"c{number}")))
    all_of_it()


def test_of_one_dfsp_two_requests_read_at_once_and_others_have_their_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dfsp_view, "_WAIT_S", 0.0)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(dfsp_view._working.taken(world.ids["green"], dfsp_view._WORKERS))
        assert error_of(ask("GET", "statement")) == (429, "2005")
        assert ask("GET", "statement", source="blue").status_code == 200
    for _ in range(5):  # a place that a refused request had held would be gone
        assert ask("GET", "statement?limit=0").status_code == 400
        assert ask("GET", "statement").status_code == 200


# --- callback check ---------------------------------------------------------------------------------------------------


@pytest.fixture
def _unlimited() -> Iterator[None]:
    """Forgets earlier checks, which are counted for all tests of this process."""
    callback_check._last.clear()
    cache.clear()
    yield
    cache.clear()


@contextmanager
def endpoint(world: World, status: int, body: bytes = b"") -> Iterator[list[dict[str, str]]]:
    """Green's endpoint, and the headers that it got."""
    got: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            got.append({name.lower(): value for name, value in self.headers.items()} | {"path": self.path})
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    set_endpoint(f"http://127.0.0.1:{server.server_port}/in")
    try:
        yield got
    finally:
        server.shutdown()
        server.server_close()


def set_endpoint(url: str) -> None:
    green = proofs.participant("green")
    participants.set_endpoint(green, endpoint_type="FSPIOP_CALLBACK_URL", value=url, actor="test")


@pytest.mark.usefixtures("_unlimited")
def test_the_hub_calls_the_registered_endpoint_with_a_signed_message_and_reports_the_response(
    world: World, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "hub.key").write_text(proofs.private_pem(key_of("Hub")))
    settings.HUB_SIGNING_KEY_FILE = str(tmp_path / "hub.key")
    with endpoint(world, 200) as got:
        found = told("POST", "callbackChecks", {})
        assert (found["isReachable"], found["isTaken"], found["status"]) == (True, True, 200)
        (sent,) = got
        assert sent["path"].startswith("/in/participants/ALIAS/callback-check-")
        assert (sent["fspiop-source"], sent["fspiop-destination"]) == ("Hub", "green")
        jws.load_public_key(public_pem(key_of("Hub")).encode())
        assert "fspiop-signature" in sent
        again = ask("POST", "callbackChecks", {})
        assert error_of(again) == (429, "2005")
        assert len(got) == 1
        assert told("POST", "callbackChecks", {}, source="grey")["isReachable"] is False  # another's is its own


@pytest.mark.usefixtures("_unlimited")
@pytest.mark.parametrize(
    ("body", "code", "error"),
    [
        (b'{"errorInformation":{"errorCode":"3105","errorDescription":"no key"}}', "3105", "no key"),
        (b"<html>secret of an inner server</html>", None, "the response is no error of the API"),
        (b"\xff\x00" * 100_000, None, None),
    ],
)
def test_a20_of_a_refusal_only_the_apis_own_error_is_reported(
    world: World, body: bytes, code: str | None, error: str | None
) -> None:
    with endpoint(world, 400, body):
        found = told("POST", "callbackChecks", {})
    assert (found["isTaken"], found["status"], found.get("errorCode")) == (False, 400, code)
    assert error is None or found["error"] == error
    assert "secret" not in json.dumps(found)


@pytest.mark.usefixtures("_unlimited")
def test_an_endpoint_that_cannot_be_reached_is_reported_with_the_reason(world: World, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    set_endpoint(f"http://127.0.0.1:{port}")
    found = told("POST", "callbackChecks", {})
    assert (found["isReachable"], found.get("status")) == (False, None)
    assert str(port) in found["error"]
    callback_check._last.clear()
    cache.clear()
    settings.CALLBACK_PUBLIC_ONLY = True
    assert "does not connect" in told("POST", "callbackChecks", {})["error"]
    callback_check._last.clear()
    cache.clear()
    proofs.participant("green").endpoints.all().delete()
    assert "no endpoint is registered" in told("POST", "callbackChecks", {})["error"]
