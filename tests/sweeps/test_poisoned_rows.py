"""One row that cannot be worked on, the first in order, in each periodic batch: the others end, it is reported, and
once its cause was mended it ends too. With real commits, as of a worker."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pgtrigger
import pytest
import redis
from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from prometheus_client import Metric
from structlog.testing import capture_logs

from directory import tasks as directory
from directory.models import PartyLookup
from hub import metrics
from hub.audit import approvals, record, trail
from hub.audit.models import Approval
from hub.invariant_type import Invariant
from hub.outbox import retries, wakeup
from hub.outbox import store as outbox
from hub.outbox.models import Message
from hub.sql_execution import execute
from ledger import invariants, queries
from ledger import tasks as ledger
from ledger.bulk.models import BulkTransfer
from ledger.models import Account, Entry, SettlementWindow
from portal import tasks as portal
from portal.models import AccountMark, LedgerBlock, LedgerCheck
from portal.permissions import Role
from quotes import tasks as quotes
from quotes.models import Agreement, BulkQuote, FxQuote, Question, Quote, TransactionRequest
from settlement import tasks as settlement
from settlement.models import ContentTotal
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.api.test_quote_expiry import ask, fx_quote, time_passes
from tests.api.test_transaction_requests import asked
from tests.bulks import bulk_prepare, run_bulk
from tests.concurrency.together import together
from tests.directory.requests import register
from tests.fx_world import fx_prepare, fx_state_of, open_kes, open_scheme
from tests.outbox.messages import message
from tests.portal.people import person
from tests.portal.test_account_statements import begin_block, everything_is_old
from tests.rules.rule_sets import activate, hold
from tests.settlement.operator_steps import add_model, close, onboard_in, pay, settlement_api
from tests.settlement.test_gross_settlement import GROSS
from tests.sweeps.poison import pause_is_over, poisoned, skipped
from tests.world import World, amount, messages_about, prepare, run, state_of


def reserve(world: World, count: int, **more: Any) -> list[str]:
    """Transfers that expire at once, the first one first."""
    ids = []
    for _ in range(count):
        p = prepare(world, "green", "blue", 1, expires_in=1, **more)
        run(p)
        ids.append(p.transfer_id)
    return ids


@pytest.mark.parametrize("at_commit", [False, True])
def test_a_transfer_that_cannot_expire(committed_world: World, at_commit: bool) -> None:
    bad, *others = reserve(committed_world, 4)
    time.sleep(1.1)
    when = "AFTER UPDATE" if at_commit else "BEFORE UPDATE"
    with poisoned("ledger_transfer", "transfer_id", bad, when=when, at_commit=at_commit):
        assert ledger.expire_transfers() == 3
        assert [state_of(id) for id in others] == ["ABORTED"] * 3
        assert state_of(bad) == "RESERVED"
        assert skipped() == [("transfers", bad, f"RaiseException: row {bad} is poisoned")]
        assert ledger.expire_transfers() == 0
    pause_is_over()
    assert ledger.expire_transfers() == 1
    assert state_of(bad) == "ABORTED"
    assert skipped() == []
    assert invariants.find_breaks() == []


def test_a_conversion_that_cannot_expire(committed_world: World) -> None:
    world = open_scheme(committed_world)
    ids = []
    for _ in range(3):
        command = fx_prepare(world, str(uuid.uuid4()), expires_in=1)
        run(command)  # type: ignore[arg-type]
        ids.append(command.commit_request_id)
    bad, *others = ids
    time.sleep(1.1)
    with poisoned("ledger_fxtransfer", "commit_request_id", bad):
        assert ledger.expire_transfers() == 2
        assert [fx_state_of(id) for id in others] == ["ABORTED"] * 2
        assert skipped() == [("conversions", bad, f"RaiseException: row {bad} is poisoned")]
    pause_is_over()
    assert ledger.expire_transfers() == 1
    assert (fx_state_of(bad), skipped()) == ("ABORTED", [])


@pytest.mark.slow
def test_bulks_that_cannot_expire_even_where_they_fill_a_group(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulks = []
    for _ in range(25):
        bulks.append(bulk_prepare(committed_world, "green", "blue", [1, 2], expires_in=2))
        run_bulk(bulks[-1])
    time.sleep(2.1)
    bad = [bulk.bulk_id for bulk in bulks[:20]]
    others = [bulk.bulk_id for bulk in bulks[20:]]

    def states(ids: list[str]) -> set[str]:
        return set(BulkTransfer.objects.filter(pk__in=ids).values_list("state", flat=True))

    with poisoned("ledger_bulktransfer", "state", "REJECTED", when="BEFORE UPDATE"):
        with connection.cursor() as cursor:  # not one row but twenty
            cursor.execute(
                "CREATE OR REPLACE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF NEW.bulk_transfer_id = ANY(ARRAY{bad}) THEN RAISE EXCEPTION 'poisoned'; END IF;"
                " RETURN NEW; END $$"
            )
        for _ in range(2):
            ledger.expire_transfers()
        assert states(others) == {"REJECTED"}
        assert states(bad) == {"ACCEPTED"}
        assert sorted(row for _, row, _ in skipped()) == sorted(bad)
    pause_is_over()
    for _ in range(3):
        ledger.expire_transfers()
    assert (states(bad), skipped()) == ({"REJECTED"}, [])


KINDS: list[tuple[type[Agreement], str, str, str, Callable[..., dict[str, Any]]]] = [
    (Quote, "quotes", "/quotes", "quoteId", messages.quote),
    (BulkQuote, "bulk-quotes", "/bulkQuotes", "bulkQuoteId", messages.bulk_quote),
    (FxQuote, "fx-quotes", "/fxQuotes", "conversionRequestId", fx_quote),
]


def deliver() -> None:
    outbox.delivered([(message_id, 200) for message_id in Message.objects.values_list("id", flat=True)])


def told() -> list[str]:
    return list(Message.objects.order_by("id").values_list("path", flat=True))


@pytest.mark.parametrize(("kind", "batch", "path", "id_name", "message"), KINDS)
def test_a_request_for_terms_without_a_version_to_answer_in(
    committed_world: World, kind: type[Agreement], batch: str, path: str, id_name: str, message: Callable[..., Any]
) -> None:
    open_kes(committed_world, "blue")
    Message.objects.all().delete()
    ids = []
    for _ in range(3):
        body = message(expiration=messages.moment(30))
        ask(path, body)
        ids.append(body[id_name])
    deliver()
    time_passes(kind, 60)
    bad, *others = ids
    found = kind._default_manager.get(pk=bad)
    headers = found.request_headers
    kind._default_manager.filter(pk=bad).update(request_headers={})
    assert quotes.fail_unanswered() == 2
    assert sorted(told()) == sorted(f"{path}/{id}/error" for id in others)
    ((batch_said, row, why),) = skipped()
    assert (batch_said, row) == (batch, bad)
    assert "content-type" in why
    kind._default_manager.filter(pk=bad).update(request_headers=headers)
    pause_is_over()
    assert quotes.fail_unanswered() == 1
    assert told()[-1] == f"{path}/{bad}/error"
    assert set(kind._default_manager.values_list("state", flat=True)) == {"EXPIRED"}
    assert skipped() == []


def test_a_request_to_pay_without_a_version_to_answer_in(committed_world: World) -> None:
    paths = [asked(expiration=messages.moment(30 + number / 100)) for number in range(3)]
    deliver()
    time_passes(TransactionRequest, 60)
    bad = paths[0].rsplit("/", 1)[1]
    headers = TransactionRequest.objects.get(pk=bad).request_headers
    TransactionRequest.objects.filter(pk=bad).update(request_headers={})
    assert quotes.fail_unanswered() == 2
    assert told() == [path + "/error" for path in paths[1:]]
    assert [(batch, row) for batch, row, _ in skipped()] == [("requests-to-pay", bad)]
    TransactionRequest.objects.filter(pk=bad).update(request_headers=headers)
    pause_is_over()
    assert quotes.fail_unanswered() == 1
    assert told()[-1] == paths[0] + "/error"
    assert skipped() == []


def test_one_kind_of_request_that_fails_keeps_the_others_from_nothing(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("/quotes", messages.quote())
    deliver()
    time_passes(Quote, 61)

    def fail() -> int:
        raise ValueError("a fault")

    monkeypatch.setattr("quotes.transaction_requests.services.fail_unanswered", fail)
    with pytest.raises(ValueError, match="a fault"):
        quotes.fail_unanswered()
    assert Quote.objects.get().state == "EXPIRED"


def test_a_lookup_that_cannot_be_ended(committed_world: World) -> None:
    numbers = [f"25565500100{number}" for number in range(3)]
    for number in numbers:
        register(f"MSISDN/{number}", "blue")
        assert dfsp("GET", f"/parties/MSISDN/{number}").status_code == 202
    deliver()
    PartyLookup.objects.update(answer_by=F("answer_by") - timedelta(seconds=60))
    bad = PartyLookup.objects.earliest("answer_by")
    with poisoned("directory_partylookup", "id", bad.pk):
        assert directory.report_unanswered() == 2
        assert sorted(told()) == sorted(f"/parties/MSISDN/{number}/error" for number in numbers[1:])
        assert skipped() == [("lookups", str(bad.pk), f"RaiseException: row {bad.pk} is poisoned")]
    pause_is_over()
    assert directory.report_unanswered() == 1
    assert told()[-1] == f"/parties/MSISDN/{numbers[0]}/error"
    assert (PartyLookup.objects.filter(ended_at=None).count(), skipped()) == (0, [])
    PartyLookup.objects.update(ended_at=F("ended_at") - timedelta(seconds=60))
    with poisoned("directory_partylookup", "id", bad.pk, when="BEFORE DELETE"):
        assert directory.report_unanswered() == 0
        assert list(PartyLookup.objects.values_list("pk", flat=True)) == [bad.pk]
        assert [(batch, row) for batch, row, _ in skipped()] == [("ended-lookups", str(bad.pk))]
    pause_is_over()
    directory.report_unanswered()
    assert (PartyLookup.objects.count(), skipped()) == (0, [])


def test_a_question_that_cannot_be_ended_or_removed(committed_world: World) -> None:
    paths = [f"/transactions/{uuid.uuid4()}" for _ in range(3)]
    for path in paths:
        assert dfsp("GET", path, destination="blue").status_code == 202
    deliver()
    Question.objects.update(answer_by=F("answer_by") - timedelta(seconds=600))
    bad = Question.objects.earliest("id")
    with poisoned("quotes_question", "id", bad.pk):
        assert quotes.fail_unanswered() == 2
        assert sorted(told()) == sorted(f"{path}/error" for path in paths[1:])
        assert [(batch, row) for batch, row, _ in skipped()] == [("questions", str(bad.pk))]
    pause_is_over()
    assert quotes.fail_unanswered() == 1
    Question.objects.update(ended_at=F("ended_at") - timedelta(seconds=60))
    with poisoned("quotes_question", "id", bad.pk, when="BEFORE DELETE"):
        assert quotes.fail_unanswered() == 0
        assert [(batch, row) for batch, row, _ in skipped()] == [("ended-questions", str(bad.pk))]
    pause_is_over()
    quotes.fail_unanswered()
    assert (Question.objects.count(), skipped()) == (0, [])


def close_without_adding_up() -> int:
    """As a closer that died in between."""
    from settlement.services import windows

    return windows._close(reason="test", actor="test", window_id=None).closed.pk


def test_a_window_that_cannot_be_added_up(committed_world: World) -> None:
    add_model()
    numbers = []
    for _ in range(3):
        pay(committed_world, "green", "blue", 1)
        numbers.append(close_without_adding_up())
    bad, *others = numbers
    with poisoned("ledger_settlementwindow", "id", bad):
        settlement.catch_up()
        waiting = SettlementWindow.objects.filter(totalled_at=None).exclude(state="OPEN")
        assert list(waiting.values_list("pk", flat=True)) == [bad]
        assert set(ContentTotal.objects.values_list("content__window_id", flat=True)) == set(others)
        assert skipped() == [("windows", str(bad), f"RaiseException: row {bad} is poisoned")]
    pause_is_over()
    settlement.catch_up()
    assert (waiting.exists(), skipped()) == (False, [])
    assert invariants.find_breaks() == []


def held(world: World, name: str, currency: str) -> int:
    return -queries.value_of(world.account(name, "SETTLEMENT", currency))


def without_account(account: Account) -> None:
    with pgtrigger.ignore("ledger.Account:an_account_is_never_deleted"):
        account.delete()


def test_a_commit_that_cannot_be_settled_at_once(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = committed_world
    for currency in ("KES", "UGX"):
        onboard_in(world, currency)
        assert add_model(f"CGS{currency}", **GROSS | {"currency": currency}).status_code == 201
    world.onboard("white", ndc=1000, cover=0, currency="KES")
    bad = pay(world, "green", "white", 100, "KES")
    pay(world, "green", "blue", 10, "KES")
    pay(world, "white", "blue", 50, "KES")  # paid from what the bad one brought
    pay(world, "green", "blue", 20, "UGX")  # of another model
    lacking = world.account("white", "SETTLEMENT", "KES")
    without_account(lacking)
    settlement.catch_up()
    assert held(world, "blue", "KES") == amount(5010)
    assert held(world, "blue", "UGX") == amount(5020)
    entries = {str(pk): id for pk, id in Entry.objects.filter(kind="TRANSFER").values_list("pk", "transfer_id")}
    assert bad in {entries[row] for _, row, _ in skipped()}
    assert {why for _, _, why in skipped()} == {
        "CanNotSettle: 3100 Generic validation error - white has no SETTLEMENT account in KES"
    }
    assert {batch for batch, _, _ in skipped()} == {"gross-settlement KES"}
    pay(world, "green", "blue", 1, "KES")
    settlement.catch_up()
    assert held(world, "blue", "KES") == amount(5011)
    lacking.save(force_insert=True)
    pause_is_over()
    settlement.catch_up()
    pause_is_over()
    settlement.catch_up()
    assert (held(world, "green", "KES"), held(world, "white", "KES")) == (amount(4889), amount(50))
    assert held(world, "blue", "KES") == amount(5061)
    assert skipped() == []
    assert invariants.find_breaks() == []


def test_settling_at_once_goes_on_where_a_window_cannot_be_added_up_and_the_other_way_round(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model()
    pay(committed_world, "green", "blue", 1)
    number = close_without_adding_up()

    def fail() -> int:
        raise ValueError("a fault")

    monkeypatch.setattr("settlement.gross_settlement.settle_new_commits", fail)
    with pytest.raises(ValueError, match="a fault"):
        settlement.catch_up()
    assert SettlementWindow.objects.get(pk=number).totalled_at is not None
    monkeypatch.undo()
    done: list[int] = []
    monkeypatch.setattr("settlement.services.total_up_what_is_left", fail)
    monkeypatch.setattr("settlement.gross_settlement.settle_new_commits", lambda: done.append(1) or 0)
    with pytest.raises(ValueError, match="a fault"):
        settlement.catch_up()
    assert done == [1]


def test_an_account_with_sums_beyond_64_bits_is_watched_like_the_others(committed_world: World) -> None:
    cache.clear()
    run(prepare(committed_world, "green", "blue", 950))
    huge = 10**20
    Account.objects.filter(pk=committed_world.account("blue").pk).update(posted_debits=huge)
    with capture_logs() as lines:
        ledger.watch_positions()
    said = {line["participant"] for line in lines if line["event"] == "position_near_limit"}
    assert said == {"blue", "green"}
    cache.clear()


def test_a_block_of_entries_that_cannot_be_added_up(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_block()
    for _ in range(3):
        pay(committed_world, "green", "blue", 1)
        begin_block()
    pay(committed_world, "green", "blue", 1)
    everything_is_old(monkeypatch)
    blocks = sorted({pk // 2000 for pk in Entry.objects.filter(kind="TRANSFER").values_list("pk", flat=True)})
    with poisoned("portal_accountmark", "block", blocks[1], when="BEFORE INSERT"):
        portal.mark_entries()
        assert LedgerBlock.objects.filter(number=blocks[0]).exists()
        assert LedgerBlock.objects.latest("number").number == blocks[1] - 1
        assert [(batch, row) for batch, row, _ in skipped()] == [("account-marks", str(blocks[1]))]
    pause_is_over()
    portal.mark_entries()
    assert LedgerBlock.objects.latest("number").number == blocks[2]
    green = committed_world.account("green")
    marked = AccountMark.objects.filter(account=green).latest("block")
    assert (marked.debits, marked.entries) == (amount(3), 3)
    assert skipped() == []


def test_an_invariant_that_cannot_be_checked(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Invariant("always_fails", "It divides by nothing.", "SELECT 1/0")
    broken = Invariant("always_broken", "It never holds.", "SELECT 1")
    monkeypatch.setattr(invariants, "INVARIANTS", [bad, *invariants.INVARIANTS, broken])
    portal.check_ledger()
    assert LedgerCheck.objects.get().breaks == ["always_fails (not checked)", "always_broken"]
    assert skipped() == [("invariants", "always_fails", "DivisionByZero: division by zero")]
    monkeypatch.undo()
    portal.check_ledger()
    assert LedgerCheck.objects.first().breaks == []  # type: ignore[union-attr]
    assert skipped() == []


def test_an_entry_of_the_audit_trail_that_cannot_be_read_is_broken_and_the_others_are_checked(
    committed_world: World,
) -> None:
    record("a", subject="x", actor="test", after={"n": 1})
    record("b", subject="x", actor="test", after={"n": 2})
    bad = trail.record("c", subject="x", actor="test", after={"n": 3})
    last = trail.record("d", subject="x", actor="test", after={"n": 4})
    with connection.cursor() as cursor, pgtrigger.ignore("audit.Entry:audit_entries_are_only_ever_added"):
        cursor.execute("""UPDATE audit_entry SET after = '{"n": 1e5000}' WHERE id = %s""", [bad.pk])
        cursor.execute("UPDATE audit_entry SET actor = 'another' WHERE id = %s", [last.pk])
    assert [entry.pk for entry in trail.broken_links()] == [bad.pk, last.pk]


def test_a_request_that_cannot_be_given_up(committed_world: World) -> None:
    green, blue = committed_world.ids["green"], committed_world.ids["blue"]
    outbox.append([message(blue, "/quotes", subject=f"q{n}", source=green, reply_to=green) for n in range(3)])
    Message.objects.update(created_at=Now() - timedelta(seconds=60))
    bad = Message.objects.earliest("id").pk
    with poisoned("outbox_message", "id", bad):
        assert retries.give_up_overdue() == {green}
        assert Message.objects.filter(kind="undeliverable").count() == 2
        assert Message.objects.get(pk=bad).state == "PENDING"
        assert skipped() == [("undeliverable", str(bad), f"RaiseException: row {bad} is poisoned")]
    pause_is_over()
    assert retries.give_up_overdue() == {green}
    assert Message.objects.filter(kind="undeliverable").count() == 3
    assert skipped() == []


def test_a_window_that_another_process_adds_up_holds_up_no_worker(committed_world: World) -> None:
    add_model()
    numbers = []
    for _ in range(2):
        pay(committed_world, "green", "blue", 1)
        numbers.append(close_without_adding_up())
    is_held, may_end = threading.Event(), threading.Event()

    def hold() -> float:
        with transaction.atomic():
            SettlementWindow.objects.select_for_update(no_key=True).get(pk=numbers[0])
            is_held.set()
            may_end.wait(30)
        return 0.0

    def tick() -> float:
        is_held.wait(30)
        began = time.monotonic()
        settlement.catch_up()
        took = time.monotonic() - began
        may_end.set()
        return took

    _, took = together([hold, tick])
    assert isinstance(took, float)
    assert took < 8, "it waited"
    left = SettlementWindow.objects.filter(totalled_at=None).exclude(state="OPEN")
    assert list(left.values_list("pk", flat=True)) == numbers[:1]
    assert skipped() == []


def test_a_window_that_cannot_be_added_up_is_closed_all_the_same_and_settled_once_it_can(
    committed_world: World,
) -> None:
    onboard_in(committed_world, "KES")
    assert add_model("CGS", **GROSS).status_code == 201
    add_model()
    committed_world.onboard("white", ndc=1000, cover=0, currency="KES")
    pay(committed_world, "green", "white", 100, "KES")
    pay(committed_world, "green", "blue", 1)
    lacking = committed_world.account("white", "SETTLEMENT", "KES")
    without_account(lacking)
    number = close()
    assert [(batch, row) for batch, row, _ in skipped()] == [("windows", str(number))]
    body = {"settlementModel": "DEFERREDNET", "reason": "test", "settlementWindows": [{"id": number}]}
    refused = settlement_api("POST", "/settlements", body)
    assert error_of(refused) == (400, "3100")
    assert b"white has no SETTLEMENT account in KES" in refused.content
    lacking.save(force_insert=True)
    pause_is_over()
    settlement.catch_up()
    assert skipped() == []
    assert settlement_api("POST", "/settlements", body).status_code == 200
    assert invariants.find_breaks() == []


def test_a_reader_of_metrics_that_fails_hides_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[Metric]:
        execute("SELECT 1/0")
        return []

    monkeypatch.setattr(metrics, "READERS", [lambda: _in_savepoint(fail), *metrics.READERS])
    text = Client().get("/metrics").content.decode()
    assert "kitovu_database_up 1.0" in text
    assert "kitovu_position_used_percent" in text


def _in_savepoint(read: Callable[[], list[Metric]]) -> list[Metric]:
    with transaction.atomic():
        return read()


def test_what_somebody_else_writes_to_the_bell_keeps_no_courier_from_hearing_it() -> None:
    heard: set[int] = set()
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.lpush(wakeup._key(), "not a destination")

    async def listen() -> None:
        listening = asyncio.create_task(wakeup.listen(heard.update))
        until = time.monotonic() + 15
        while not heard and not listening.done() and time.monotonic() < until:
            client.lpush(wakeup._key(), 5)
            await asyncio.sleep(0.2)
        listening.cancel()

    asyncio.run(listen())
    client.delete(wakeup._key())
    assert heard == {5}


def test_a_request_that_cannot_be_withdrawn(committed_world: World) -> None:
    maker = person(Role.OPERATOR)
    said = {"kind": "set_active", "subject": "green", "reason": "r", "maker": maker}
    requests = [
        approvals.ask(payload={"participant": "green", "is_active": False, "before": False}, **said) for _ in range(3)
    ]
    unreadable = approvals.ask(payload={}, **said)
    bad, *others = (each.pk for each in requests)

    def states(*numbers: int) -> set[str]:
        return set(Approval.objects.filter(pk__in=numbers).values_list("state", flat=True))

    with poisoned("audit_approval", "id", bad):
        portal.withdraw_outdated()
        assert (states(*others), states(bad, unreadable.pk)) == ({"WITHDRAWN"}, {"PENDING"})
        assert skipped() == [
            ("outdated-requests", str(bad), f"RaiseException: row {bad} is poisoned"),
            ("outdated-requests", str(unreadable.pk), "KeyError: 'is_active'"),
        ]
    pause_is_over()
    portal.withdraw_outdated()
    assert states(bad) == {"WITHDRAWN"}
    assert [row for _, row, _ in skipped()] == [str(unreadable.pk)]


def test_a_held_transfer_that_cannot_be_released(committed_world: World) -> None:
    activate(hold("PT1S", gate="transfer", over="1"))
    commands = [prepare(committed_world, "green", "blue", 2, expires_in=60) for _ in range(4)]
    for command in commands:
        run(command)
    bad, *others = (command.transfer_id for command in commands)
    time.sleep(1.1)
    with poisoned("ledger_heldtransfer", "transfer_id", bad):
        assert ledger.release_held_transfers() == 3
        assert [messages_about(id) for id in others] == [[("blue", "POST", "prepare")]] * 3
        assert messages_about(bad) == []
        assert skipped() == [("held-transfers", bad, f"RaiseException: row {bad} is poisoned")]
        assert ledger.release_held_transfers() == 0
    pause_is_over()
    assert ledger.release_held_transfers() == 1
    assert messages_about(bad) == [("blue", "POST", "prepare")]
    assert (skipped(), invariants.find_breaks()) == ([], [])
