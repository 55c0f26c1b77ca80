"""What an operator uses: onboarding, funds in and out, windows, health, metrics, the API's document."""

import io
import json
import uuid
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import Client, override_settings
from drf_spectacular.views import SpectacularAPIView

from hub.audit import trail
from hub.audit.models import Entry as AuditEntry
from ledger.models import FundsMovement, SettlementWindow
from tests.api.caller import admin, error_of
from tests.attacks.web import send, served
from tests.world import World, amount, fulfil, prepare, run


def account_id(name: str, account_type: str) -> int:
    accounts = admin("GET", f"/participants/{name}/accounts").json()
    return next(account["id"] for account in accounts if account["ledgerAccountType"] == account_type)


def funds(action: str, text: str, transfer_id: str) -> dict[str, object]:
    money = {"amount": text, "currency": "TZS"}
    return {"transferId": transfer_id, "externalReference": "r", "action": action, "reason": "test", "amount": money}


def test_a_participant_is_onboarded_as_provisioning_scripts_do_it(world: World) -> None:
    assert admin("POST", "/participants", {"name": "new", "currency": "TZS"}).status_code == 201
    assert error_of(admin("POST", "/participants", {"name": "new", "currency": "TZS"})) == (400, "3000")
    assert error_of(admin("POST", "/participants", {"name": "NEW", "currency": "TZS"}))[0] == 400
    assert error_of(admin("GET", "/participants/nobody")) == (400, "3200")
    limit = {"currency": "TZS", "limit": {"type": "NET_DEBIT_CAP", "value": 10}, "initialPosition": 0}
    assert admin("POST", "/participants/new/initialPositionAndLimits", limit).status_code == 201
    assert error_of(admin("POST", "/participants/new/initialPositionAndLimits", limit)) == (500, "2001")
    accounts = admin("GET", "/participants/new/accounts").json()
    assert {(account["ledgerAccountType"], account["value"], account["isActive"]) for account in accounts} == {
        ("POSITION", 0, 1),
        ("SETTLEMENT", 0, 1),
    }
    assert AuditEntry.objects.filter(subject="new").count() >= 2
    assert list(trail.broken_links()) == []


def test_funds_go_out_in_two_steps_and_only_what_is_free(world: World) -> None:
    run(prepare(world, "green", "blue", 1000))
    account = account_id("green", "SETTLEMENT")
    path = f"/participants/green/accounts/{account}"
    out = str(uuid.uuid4())
    assert error_of(admin("POST", path, funds("recordFundsOutPrepareReserve", "4001", str(uuid.uuid4())))) == (
        400,
        "4001",
    )
    for _ in range(2):  # the same again is the same withdrawal
        assert admin("POST", path, funds("recordFundsOutPrepareReserve", "4000", out)).status_code == 202
    assert world.account("green", "SETTLEMENT").pending_debits == amount(4000)
    end = {"action": "recordFundsOutCommit", "reason": "paid", "externalReference": "bank 17"}
    for _ in range(2):
        assert admin("PUT", f"{path}/transfers/{out}", end).status_code == 202
    settlement = world.account("green", "SETTLEMENT")
    assert (settlement.posted_debits, settlement.pending_debits) == (amount(4000), 0)
    assert FundsMovement.objects.get(pk=out).external_reference == "bank 17"  # known to the bank only now
    assert error_of(admin("PUT", f"{path}/transfers/{out}", {"action": "recordFundsOutAbort", "reason": "x"}))[0] == 400
    assert world.breaks() == []


def test_windows_close_by_command_and_one_is_open_always(committed_world: World) -> None:
    with pytest.raises(CommandError, match="empty"):
        call_command("close_window")
    p = prepare(committed_world, "green", "blue", 30)
    run(p)
    run(fulfil(committed_world, "blue", p.transfer_id))
    call_command("close_window", reason="test", stdout=io.StringIO())
    states = list(SettlementWindow.objects.order_by("id").values_list("state", flat=True))
    assert states == ["CLOSED", "OPEN"]
    said = io.StringIO()
    call_command("settlement_report", "--json", stdout=said)
    nets = {row["participant"]: row["net"] for row in json.loads(said.getvalue())["positions"]}
    assert nets == {"green": "30", "blue": "-30"}
    call_command("check_ledger", stdout=io.StringIO())


def test_check_ledger_ends_with_1_where_the_books_do_not_add_up(committed_world: World) -> None:

    with connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_account SET pending_debits = 5 WHERE type = 'POSITION'")
    said = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_ledger", stdout=said)
    assert ended.value.code == 1
    assert "reservations_are_the_sums_of_reserved_transfers" in said.getvalue()


def test_health_says_which_part_does_not_work(world: World) -> None:
    closed = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9"}}
    with override_settings(CACHES=closed):
        answer = Client().get("/health")
    assert answer.status_code == 503
    parts = {part["name"]: part["status"] for part in answer.json()["services"]}
    assert parts == {"datastore": "OK", "broker": "DOWN", "worker": "DOWN"}


def test_a_hub_without_its_broker_is_ready_and_one_without_its_database_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:9"}}
    with override_settings(CACHES=closed):
        assert Client().get("/health/ready").status_code == 200

    def away() -> bool:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr("hub.health._ask_database", away)
    assert Client().get("/health/ready").status_code == 503
    assert Client().get("/health/live").status_code == 200


def test_metrics_tell_of_the_outbox_and_overdue_reservations(world: World) -> None:
    text = Client().get("/metrics").content.decode()
    for name in ("kitovu_outbox_pending", "kitovu_outbox_dead", "kitovu_transfers_overdue", "kitovu_database_up 1.0"):
        assert name in text


def test_where_processes_count_together_a_gauge_is_shown_once_and_as_it_is_now(
    committed_world: World, tmp_path: Path
) -> None:
    shown = []
    for _process in range(2):
        with served(PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as port:
            shown.append(send(port, b"GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").rest.decode())
        run(prepare(committed_world, "green", "blue", 950))  # the second is refused
    for text, near in zip(shown, ("0.0", "1.0"), strict=True):
        gauges = [line for line in text.splitlines() if line.startswith(("kitovu_position_near", "kitovu_outbox_p"))]
        assert f'kitovu_position_near_limit{{currency="TZS",participant="green"}} {near}' in gauges
        assert len(gauges) == 5  # four participants, and what waits in the outbox


def test_the_apis_document_names_every_resource(world: World) -> None:
    document = Client().get("/docs/schema", headers={"accept": "application/vnd.oai.openapi+json"})
    paths = json.loads(document.content)["paths"]
    for path in ("/transfers", "/quotes/{quote_id}", "/parties/{id_type}/{identifier}", "/api/ledger/v1/participants"):
        assert path in paths
    assert "patch" in paths["/transfers/{transfer_id}"]
    prepare = {
        media_type: set(content["schema"]["properties"])
        for media_type, content in paths["/transfers"]["post"]["requestBody"]["content"].items()
    }
    assert "transferId" in prepare["application/vnd.interoperability.transfers+json;version=1.1"]
    assert prepare["application/vnd.interoperability.iso20022.transfers+json;version=2.0"] == {"GrpHdr", "CdtTrfTxInf"}
    assert Client().get("/docs/").status_code == 200


@override_settings(ADMINISTRATION_AUTH="staff")
def test_the_administration_api_is_for_staff(world: World) -> None:
    assert admin("GET", "/participants").status_code in (401, 403)
    assert error_of(admin("POST", "/participants", {"name": "x1", "currency": "TZS"}))[0] in (401, 403)


@pytest.mark.parametrize(
    ("serves", "open_paths", "closed_paths"),
    [
        (["fspiop"], ["/parties/MSISDN/1"], ["/api/ledger/v1/participants", "/portal/", "/admin/", "/docs/"]),
        (["portal", "administration"], ["/api/ledger/v1/participants", "/token"], ["/parties/MSISDN/1", "/docs/"]),
        (["portal"], ["/portal/"], ["/parties/MSISDN/1", "/api/ledger/v1/participants", "/token"]),
    ],
)
def test_a_process_has_only_the_doors_that_it_is_told_to_have(
    world: World, serves: list[str], open_paths: list[str], closed_paths: list[str]
) -> None:
    with override_settings(SERVES=serves):
        client = Client()
        for path in ["/health/live", "/metrics", *open_paths]:
            assert client.get(path).status_code != 404, path
        for path in closed_paths:
            assert error_of(client.get(path)) == (404, "3002"), path


def test_a_document_is_made_once_and_no_question_changes_it_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    client, accept = Client(), {"accept": "application/vnd.oai.openapi+json"}
    first = client.get("/docs/schema/directory", headers=accept)
    monkeypatch.setattr(SpectacularAPIView, "_get_schema_response", lambda *_: pytest.fail("made again"))
    for query in ("?version=%3Cscript%3E", "?lang=fr", "?version=2"):
        assert client.get(f"/docs/schema/directory{query}", headers=accept).json() == first.json()
    monkeypatch.undo()
    assert client.get("/docs/schema/settlement", headers=accept).json() != first.json()
    assert "yaml" not in first["Content-Disposition"]
    assert client.get("/docs/schema/directory?format=yaml").content.startswith(b"openapi: 3")
