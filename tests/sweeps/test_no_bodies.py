"""What works on many rows reads only the columns that it needs: a message may be five megabytes, and a worker has one
memory for its sweeps and its callbacks."""

import time
import tracemalloc
import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.cache import caches
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from directory import tasks as directory
from directory.models import PartyLookup
from hub.audit import trail
from hub.outbox import retries
from hub.outbox.models import Message
from hub.outbox.store import append
from hub.sql_execution import execute
from ledger import limit_alarms
from ledger import tasks as ledger
from ledger.bulk.models import BulkTransfer
from ledger.models import FxTransfer, Transfer
from portal import tasks as portal
from portal.permissions import Role
from quotes import tasks as quotes
from quotes.models import Agreement, BulkQuote, FxQuote, Quote, TransactionRequest
from settlement import tasks as settlement
from settlement.models import Settlement
from tests.api import messages
from tests.api.caller import dfsp
from tests.api.test_quote_expiry import ask, fx_quote, time_passes
from tests.api.test_transaction_requests import asked
from tests.bulks import bulk_prepare, run_bulk
from tests.directory.requests import register
from tests.factories import UserFactory
from tests.fx_world import fx_prepare, open_scheme
from tests.outbox.messages import message
from tests.portal.people import browser, browser_of
from tests.settlement.operator_steps import add_model, close, pay, settle
from tests.settlement.test_gross_settlement import GROSS
from tests.sweeps.poison import skipped
from tests.sweeps.statements import all_statements, reading_bodies
from tests.sweeps.test_poisoned_rows import close_without_adding_up, deliver
from tests.world import World, prepare, run

KINDS: tuple[type[Agreement], ...] = (Quote, BulkQuote, FxQuote, TransactionRequest)


@pytest.fixture
def late(committed_world: World) -> World:
    """Something of every kind that is past its time."""
    world = committed_world
    open_scheme(world)
    add_model()
    add_model("CGS", **GROSS)
    run(prepare(world, "green", "blue", 1, expires_in=0.5))
    run_bulk(bulk_prepare(world, "green", "blue", [1, 2], expires_in=0.5))
    run(fx_prepare(world, str(uuid.uuid4()), expires_in=0.5))  # type: ignore[arg-type]
    ask("/quotes", messages.quote())
    ask("/bulkQuotes", messages.bulk_quote())
    ask("/fxQuotes", fx_quote())
    asked(expiration=messages.moment(30))
    register("MSISDN/255655001001", "blue")
    assert dfsp("GET", "/parties/MSISDN/255655001001").status_code == 202
    deliver()
    for kind in KINDS:
        time_passes(kind, 120)
    PartyLookup.objects.update(answer_by=F("answer_by") - timedelta(seconds=60))
    pay(world, "green", "blue", 1)
    close_without_adding_up()
    pay(world, "fxp", "blue", 1, "KES")
    time.sleep(0.6)
    return world


def test_no_sweep_reads_a_message_s_body(late: World, monkeypatch: pytest.MonkeyPatch) -> None:
    green = late.ids["green"]
    append([message(late.ids["blue"], "/quotes", subject="q", source=green, reply_to=green)])
    Message.objects.filter(subject="q").update(created_at=Now() - timedelta(seconds=60))
    with all_statements(monkeypatch) as sent:
        assert ledger.expire_transfers() == 4
        assert quotes.fail_unanswered() == 4
        assert directory.report_unanswered() == 1
        assert retries.give_up_overdue() == {green}
        settlement.catch_up()
        ledger.watch_positions()
        list(limit_alarms.show())
        portal.check_ledger()
        portal.mark_entries()
        list(trail.broken_links())
    assert reading_bodies(sent) == []
    assert len(sent) > 50
    # Each was really about something.
    assert not Transfer.objects.filter(state="RESERVED").exists()
    assert set(BulkTransfer.objects.values_list("state", flat=True)) == {"REJECTED"}
    assert set(FxTransfer.objects.values_list("state", flat=True)) == {"ABORTED"}
    assert [kind._default_manager.get().state for kind in KINDS] == ["EXPIRED", "EXPIRED", "EXPIRED", "FAILED"]
    assert not PartyLookup.objects.filter(ended_at=None).exists()
    assert skipped() == []


def test_requests_to_pay_of_megabytes_are_ended_in_little_memory(world: World) -> None:
    body = b"x" * 2_000_000
    paths = [asked(expiration=messages.moment(30)) for _ in range(20)]
    TransactionRequest.objects.update(request=body)
    deliver()
    time_passes(TransactionRequest, 60)
    tracemalloc.start()
    try:
        assert quotes.fail_unanswered() == len(paths)
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5_000_000


@pytest.fixture
def with_messages(late: World) -> Iterator[World]:
    """The same, with messages that wait and a settlement."""
    caches["process"].clear()
    ledger.expire_transfers()
    quotes.fail_unanswered()
    settlement.catch_up()
    pay(late, "green", "blue", 2)
    window = close()
    settle(window)
    yield late
    caches["process"].clear()


PORTAL = (
    "/portal/overview/",
    "/portal/transfers/",
    "/portal/transfers/?dfsp=green",
    "/portal/transfers.csv",
    "/portal/conversions/",
    "/portal/conversions/terms/",
    "/portal/callbacks/?state=all",
    "/portal/participants/",
    "/portal/participants/green/",
    "/portal/settlement/",
    "/portal/skipped/",
    "/portal/directory/",
    "/portal/approvals/",
)
ADMIN = (
    "outbox/message",
    "outbox/delivery",
    "quotes/quote",
    "quotes/bulkquote",
    "quotes/fxquote",
    "quotes/transactionrequest",
    "ledger/transfer",
    "ledger/bulktransfer",
    "ledger/fxtransfer",
    "settlement/statement",
)


@pytest.mark.slow
def test_no_list_for_people_reads_a_message_s_body(with_messages: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Message.objects.count() > 5
    viewer = browser(Role.VIEWER)
    root = browser_of(UserFactory.create(username="root", is_root=True))
    settled = Settlement.objects.get().pk
    pages: list[tuple[Client, str]] = [(viewer, url) for url in (*PORTAL, f"/portal/settlement/{settled}/")]
    pages += [(root, f"/admin/{name}/") for name in ADMIN]
    wrong: dict[str, list[str]] = {}
    for client, url in pages:
        with all_statements(monkeypatch) as sent:
            answer = client.get(url)
            assert answer.status_code == 200, url
            b"".join(answer)  # a file comes bit by bit
        if found := reading_bodies(sent):
            wrong[url] = found
    assert sorted(wrong) == []


@pytest.mark.parametrize(
    ("columns", "is_bad"),
    [
        ("request", True),
        ("id, request_headers", True),
        ("request AS something_else", True),
        ("id, request_digest", False),
        ("request_headers ->> 'content-type' AS content_type", False),
    ],
)
def test_what_counts_as_reading_a_body(
    world: World, monkeypatch: pytest.MonkeyPatch, columns: str, is_bad: bool
) -> None:
    columns = columns.replace("id", "quote_id")
    with all_statements(monkeypatch) as by_django, connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM quotes_quote")
    with all_statements(monkeypatch) as past_django:
        execute(f"SELECT {columns} FROM quotes_quote")
    assert [bool(reading_bodies(sent)) for sent in (by_django, past_django)] == [is_bad, is_bad]
