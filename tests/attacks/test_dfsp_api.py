"""A DFSP that knows the code, at the hub's own API for DFSPs. It sees nothing of others and takes nothing from them."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, transaction
from django.http import HttpResponse

from fspiop.errors import FspiopError
from hub.api import dfsp_limits
from hub.api.bulk_concurrency import Answered, Bulks
from hub.audit.models import Approval
from hub.dfsp_api import dfsp_view
from hub.dfsp_api.dfsp_view import DfspView
from hub.sql_execution import execute
from ledger.held_transfers import services as held_transfers
from rules.markers.models import Marker
from rules.signals.models import SignalAccess
from tests import proofs, signing
from tests.api.caller import dfsp, error_of
from tests.api.test_dfsp_api import SCHEME, ask, told
from tests.concurrency.together import together
from tests.proofs import key_of, public_pem
from tests.rules.rule_sets import activate, hold
from tests.world import World, prepare, run

MARKER = {"partyIdType": "MSISDN", "partyIdentifier": "255700000000", "kind": "OTHER", "reason": "test"}


def file_marker(source: str = "green") -> HttpResponse:
    return ask("POST", "markers", MARKER | {"markerId": str(uuid.uuid4())}, source=source)


# --- odd messages -----------------------------------------------------------------------------------------------------

BODIES = [
    b"",
    b"null",
    b"[]",
    b"7",
    b'"x"',
    b"{",
    b"\xff\xfe{}",
    b"[" * 30_000,
    b'{"a":[' + b"[]," * 20_000 + b"[]]}",
    b'{"reason":NaN}',
    b'{"reason":1e999}',
    b'{"reason":"a","reason":"b"}',
    b'{"reason":"\\u0000"}',
    b'{"reason":"\\ud800"}',
    b'{"csr":"\\u0000","reason":"x"}',
    b'{"csr":"-----BEGIN CERTIFICATE REQUEST-----\\n' + b"A" * 16_000 + b'\\n-----END CERTIFICATE REQUEST-----"}',
    b'{"key":{"kty":"RSA","n":"' + b"_" * 60_000 + b'","e":"AQAB"}}',
    b'{"key":{"kty":"RSA","n":"","e":""}}',
    b'{"key":{"kty":"RSA","n":"AQAB","e":"' + b"_" * 10_000 + b'"}}',
    b'{"key":{"kty":"RSA","n":"\\ud800","e":"\\u0000"}}',
    b'{"key":"-----BEGIN CERTIFICATE-----\\n-----BEGIN CERTIFICATE-----"}',
    b'{"key":{"a":' * 500 + b"1" + b"}}" * 500,
    b"x" * 65_537,
]


@pytest.mark.parametrize("path", ["signingRequests", "signingKeys", "markers", "markers/7/appeals", "callbackChecks"])
def test_no_body_brings_about_a_server_error_or_a_change(world: World, path: str) -> None:
    for body in BODIES:
        status = ask("POST", path, body).status_code
        assert 400 <= status < 500, (status, body[:80])
    assert not Approval.objects.exists()
    assert not Marker.objects.exists()


QUERIES = [
    "statement?" + "&".join(f"a{n}=1" for n in range(2000)),
    "statement?from=" + quote("0001-01-01T00:00:00.000+14:00"),
    "statement?from=" + quote("9999-12-31T23:59:59.999-01:00"),
    "statement?limit=" + "9" * 5000,
    "statement?limit=%00",
    "statement?after=MCAA",  # a place with a NUL
    "statement?after=" + "MDk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5IGE",
    "statement?%FF%FE=%FF",
    "signingKeys?participant=a%00b",
    "signingKeys?participant=" + "x" * 33,
    "submissions/" + "9" * 5000,
    "submissions/99999999999999999999",
    "markers/99999999999999999999",
    "markers/99999999999999999999/appeals",
    "signals/MSISDN/%00",
    "signals/MSISDN/%0d%0aX",
    "signals/MSISDN/..%2f..%2fpositions",
    "signals/MSISDN/" + quote("\u202e1"),
    "signals/PARTY/1",
    "signals/" + "x" * 5000 + "/1",
    "statement/../../transfers",
    "//positions",
    "positions/",
]


def test_no_path_or_query_brings_about_a_server_error(world: World) -> None:
    for path in QUERIES:
        status = ask("GET", path).status_code
        assert 400 <= status < 500, (status, path[:80])
    assert not SignalAccess.objects.exists()


@pytest.mark.parametrize(
    "path", ["/parties/MSISDN/1?currency=TZS", "/authorizations/b51ec534-ee48-4575-b6a9-ead2955b8069?retriesLeft=1"]
)
def test_a_query_of_too_many_parameters_is_refused_at_every_door(world: World, path: str) -> None:
    answer = dfsp("GET", path + "".join(f"&a{n}=1" for n in range(2000)), destination="blue")
    assert error_of(answer) == (400, "3101")


# --- what others have -------------------------------------------------------------------------------------------------


def test_a_payee_does_not_see_a_held_transfer_in_its_statement_before_the_release(committed_world: World) -> None:
    activate(hold("PT1H", gate="transfer"))
    released, refused = (prepare(committed_world, "green", "blue", 20, expires_in=86_400) for _ in range(2))
    for command in (released, refused):
        run(command)

    def lines(source: str) -> set[str]:
        found = told("GET", "statement?limit=1", source=source)
        listed = {line["transferId"] for line in found["transfers"]}
        if "next" in found:
            more = told("GET", f"statement?after={found['next']}", source=source)
            listed |= {line["transferId"] for line in more["transfers"]}
        return listed

    assert lines("green") == {released.transfer_id, refused.transfer_id}
    assert lines("blue") == set()
    held_transfers.release(released.transfer_id, reason="checked", actor="asha")
    assert lines("blue") == {released.transfer_id}


def test_the_key_of_anothers_certificate_does_not_become_ones_own(world: World) -> None:
    """Anybody sees it in a TLS handshake. Registered as green's, it would keep blue from renewing its certificate."""
    key = key_of("blue's TLS")
    proofs.register_certificate("blue", SCHEME.issue("blue", key=key))
    taken = {"key": public_pem(key)}
    assert error_of(ask("POST", "signingKeys", taken)) == (400, "3000")
    with pytest.raises(FspiopError, match="another participant has a certificate with this key"):
        proofs.register_key("green", key)
    assert ask("POST", "signingKeys", taken, source="blue").status_code == 202
    assert ask("POST", "signingRequests", {"csr": signing.csr("blue", key=key)}, source="blue").status_code == 202


# --- floods -----------------------------------------------------------------------------------------------------------


@contextmanager
def locked(statement: str, parameters: list[Any]) -> Iterator[None]:
    """Another session has locked these rows."""
    has_begun, is_over = threading.Event(), threading.Event()

    def keep() -> None:
        with transaction.atomic():
            assert execute(f"{statement} FOR UPDATE", parameters).fetchall()
            has_begun.set()
            is_over.wait(30)
        connection.close()

    thread = threading.Thread(target=keep)
    thread.start()
    assert has_begun.wait(5)
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_requests_of_one_dfsp_that_wait_for_a_lock_hold_few_connections(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request that waits in the database holds one of the connections that all DFSPs share."""
    monkeypatch.setattr(dfsp_view, "_WAIT_S", 0.1)
    assert file_marker().status_code == 201
    bucket = "SELECT 1 FROM rules_signals_tokenbucket WHERE participant_id = %s"
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    held: list[int] = []
    with locked(bucket, [committed_world.ids["green"]]):

        def look() -> HttpResponse:
            answer = file_marker("blue")
            held.append(execute(waiting).fetchone()[0])
            return answer

        timer = threading.Timer(0.5, look)
        timer.start()
        answers = together([file_marker] * 8)
        timer.join()
    statuses = sorted(answer.status_code for answer in answers if isinstance(answer, HttpResponse))
    assert held[0] <= 2
    assert statuses.count(429) == 6
    assert Marker.objects.filter(filed_by=committed_world.ids["blue"]).count() == 1


def test_one_dfsps_reading_takes_a_share_of_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DFSP_BULK_SHARE, settings.DFSP_PAUSE_MS = 0.2, 0
    bulks = Bulks(dfsp_limits._limits.refused, noun="requests of this API")
    monkeypatch.setattr(DfspView, "bulks", bulks)
    for _ in range(2):
        bulks._leave(world.ids["green"], 1.0)
    refused = ask("GET", "statement?limit=1000")
    assert refused.status_code == 429
    assert b"too many requests of this API in a short time" in refused.content
    assert ask("GET", "clock").status_code == 200
    assert ask("GET", "statement?limit=1000", source="blue").status_code == 200
    bulks.enter(world.ids["blue"], "blue")(0.0, Answered.NOTHING)
