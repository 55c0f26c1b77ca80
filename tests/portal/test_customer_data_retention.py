"""What is kept no longer is removed, kind by kind; ids, amounts, digests and states stay, and the books stay sound."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from structlog.testing import capture_logs

from hub.api import forwarding
from hub.audit.models import Entry
from hub.outbox import store
from hub.outbox.models import Delivery, Message
from hub.sweeps.models import Erasure
from ledger.bulk.models import BulkTransfer
from ledger.models import FxTransferEvent, Transfer, TransferEvent
from ledger.rule_history import replay, replayed_rules
from portal import customer_data_retention
from portal.permissions import Role
from quotes.models import BulkQuoteItem, Quote
from rules.alerts import services as alerts
from rules.alerts import tasks as alert_tasks
from rules.alerts.models import Alert, SightingRow
from rules.alerts.services import Sighting
from rules.decide import ALLOW
from rules.facts import from_bytes as facts_of
from rules.rulesets import decisions
from rules.rulesets import sql_for_payments as store_of_rules
from rules.rulesets.models import Decision
from rules.signals.models import SignalAccess
from tests.api import messages
from tests.api.caller import dfsp
from tests.api.test_quote_expiry import ask
from tests.bulks import bulk_fulfil, bulk_prepare, run_bulk
from tests.fx_world import agreed, open_scheme
from tests.fx_world import run as run_fx
from tests.outbox.messages import deliver_all, message
from tests.portal.people import browser
from tests.rules.rule_sets import activate, cap
from tests.settlement.operator_steps import pay
from tests.sweeps.poison import poisoned
from tests.world import World, fulfil, prepare, run

PERIODS = {"bodies": 400, "quotes": 400, "lookups": 30, "deliveries": 30, "sessions": 30}
pytestmark = pytest.mark.django_db(transaction=True)

_BACK = """
    UPDATE ledger_transfer SET received_at = received_at - %(ago)s, completed_at = completed_at - %(ago)s,
                               expires_at = expires_at - %(ago)s WHERE state <> 'RESERVED';
    UPDATE ledger_transferevent SET at = at - %(ago)s;
    UPDATE ledger_fxtransfer SET received_at = received_at - %(ago)s, completed_at = completed_at - %(ago)s,
                                 expires_at = expires_at - %(ago)s, agreed_at = agreed_at - %(ago)s,
                                 held_until = held_until - %(ago)s;
    UPDATE ledger_fxtransferevent SET at = at - %(ago)s;
    UPDATE ledger_bulktransfer SET received_at = received_at - %(ago)s, completed_at = completed_at - %(ago)s,
                                   expires_at = expires_at - %(ago)s;
    UPDATE quotes_quote SET created_at = created_at - %(ago)s, answered_at = answered_at - %(ago)s;
    UPDATE quotes_bulkquote SET created_at = created_at - %(ago)s;
    UPDATE quotes_bulkquoteitem SET created_at = created_at - %(ago)s;
    UPDATE outbox_delivery SET created_at = created_at - %(ago)s, delivered_at = delivered_at - %(ago)s;
    UPDATE outbox_message SET created_at = created_at - %(ago)s;
"""


def days_pass(days: int) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(_BACK, {"ago": timedelta(days=days)})


@pytest.fixture
def old(committed_world: World) -> dict[str, Any]:
    """A payment of each kind, a quote and a lookup, of 500 days ago; and one payment of today."""
    world = committed_world
    open_scheme(world)
    quote = messages.quote()
    ask("/quotes", quote)
    ask("/bulkQuotes", messages.bulk_quote(3))
    first = pay(world, "green", "blue", 100)
    conversion = agreed(world)
    run_fx(prepare(world, "green", "blue", 5, currency="KES", transfer_id=conversion.determining_transfer_id))
    run(fulfil(world, "blue", conversion.determining_transfer_id))
    bulk = bulk_prepare(world, "green", "blue", [1, 2])
    run_bulk(bulk)
    run_bulk(bulk_fulfil(world, "blue", bulk))
    subject = forwarding.subject_of("/parties/MSISDN/255655001001 for green")
    store.append([message(world.ids["blue"], "/parties/MSISDN/255655001001", subject=subject)])
    deliver_all()
    store.append([message(world.ids["blue"], "/quotes/Q", subject="Q", kind="quote-request")])
    Message.objects.update(state="DEAD")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE quotes_quote SET state = 'ACCEPTED', response = '{}', response_headers = '{}', answered_at = now()"
        )
    days_pass(500)
    today = pay(world, "green", "blue", 7)
    assert world.breaks() == []
    return {"world": world, "first": first, "today": today, "quote": quote}


def texts() -> list[str]:
    """The old messages that are still there."""
    found = [f"transfer {e.transfer_id}" for e in TransferEvent.objects.exclude(body=None).exclude(body=b"")]
    found += [f"conversion {e.fx_transfer_id}" for e in FxTransferEvent.objects.exclude(body=None).exclude(body=b"")]
    found += [f"bulk {b.pk}" for b in BulkTransfer.objects.exclude(request=b"")]
    return found + [f"quote {q.pk}" for q in Quote.objects.exclude(request=b"")]


def test_by_default_everything_is_kept(old: dict[str, Any]) -> None:
    before = texts()
    assert customer_data_retention.remove_old() == 0
    assert texts() == before
    assert not Erasure.objects.exists()


def test_what_is_kept_no_longer_is_removed_and_the_books_stay_sound(
    old: dict[str, Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RETENTION_DAYS = PERIODS
    monkeypatch.setattr(customer_data_retention, "_SLICE", 1)
    kept = list(Transfer.objects.order_by("pk").values_list("pk", "digest", "fulfilment", "amount", "state"))
    about_payments = Delivery.objects.exclude(path__startswith="/parties/").count()
    assert customer_data_retention.remove_old() > 8
    assert {text for text in texts() if old["today"] not in text} == set()
    assert f"transfer {old['today']}" in texts()
    assert (Delivery.objects.count(), Message.objects.filter(state="DEAD").count()) == (about_payments, 0)
    assert list(Transfer.objects.order_by("pk").values_list("pk", "digest", "fulfilment", "amount", "state")) == kept
    assert old["world"].breaks() == []
    assert Entry.objects.filter(action="texts_erased").count() == Erasure.objects.count() == 9
    assert customer_data_retention.remove_old() == 0  # and the trail gets no further entry
    assert Entry.objects.filter(action="texts_erased").count() == 9
    assert not BulkQuoteItem.objects.exists()


def test_one_text_that_cannot_be_erased_stops_no_other(old: dict[str, Any], settings: Any) -> None:
    settings.RETENTION_DAYS = {"bodies": 400}
    with poisoned("ledger_transferevent", "transfer_id", old["first"]), capture_logs() as logs:
        assert customer_data_retention.remove_old() == 5
        assert {text for text in texts() if old["today"] not in text and "quote" not in text} == {
            f"transfer {old['first']}"
        }
        assert [entry["kind"] for entry in logs if entry["event"] == "texts_not_erased"] == ["transfers"]
        assert customer_data_retention.remove_old() == 0
    assert old["world"].breaks() == []


def test_what_a_payments_page_and_a_resend_need_is_there(old: dict[str, Any], settings: Any) -> None:
    settings.RETENTION_DAYS = PERIODS
    customer_data_retention.remove_old()
    page = browser(Role.VIEWER).get(f"/portal/transfers/{old['first']}/")
    assert page.status_code == 200
    assert "100" in page.content.decode()
    Message.objects.all().delete()
    quote_id = old["quote"]["quoteId"]
    assert dfsp("GET", f"/quotes/{quote_id}").status_code == 202
    told = Message.objects.get()
    assert (told.path, b"3205" in bytes(told.body)) == (f"/quotes/{quote_id}/error", True)
    Message.objects.all().delete()
    assert dfsp("GET", f"/transfers/{old['first']}").status_code == 202
    assert b"COMMITTED" in bytes(Message.objects.get().body)


def test_facts_decisions_and_accesses_are_kept_for_their_periods(committed_world: World, settings: Any) -> None:
    activate(cap("10"), cap("50", gate="transfer"))
    world = committed_world
    kept_quote, refused_quote = messages.quote(amount=tzs("5")), messages.quote(amount=tzs("11"))
    for quote in (kept_quote, refused_quote):
        ask("/quotes", quote)
    run(prepare(world, "green", "blue", 51))
    judged = decisions.Judged("Q", facts_of(bytes(Decision.objects.latest("pk").facts or b"")), ALLOW)
    store_of_rules.add_decisions([decisions._row(Decision.objects.latest("pk").version_id, judged)])
    SignalAccess.objects.create(participant_id=world.ids["green"], key=1, is_known=True, markers=0)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table, column in AGED:
            cursor.execute(f"UPDATE {table} SET {column} = {column} - interval '500 days'")
    with pytest.raises(DatabaseError), transaction.atomic():  # only the facts are ever erased
        Decision.objects.update(outcome="ALLOW")

    settings.RETENTION_DAYS = {"facts": 400}
    customer_data_retention.remove_old()
    assert Quote.objects.get(pk=kept_quote["quoteId"]).rule_facts is None
    assert set(Decision.objects.values_list("facts", flat=True)) == {None}
    assert replay.run(replayed_rules.of_version(Decision.objects.latest("pk").version_id)).differences == []
    settings.RETENTION_DAYS = {"decisions": 400, "signals": 400}
    customer_data_retention.remove_old()
    assert set(Decision.objects.values_list("outcome", flat=True)) == {"REFUSE"}
    assert not SignalAccess.objects.exists()
    settings.RETENTION_DAYS = {"hits": 400}
    run(prepare(world, "green", "blue", 51))
    customer_data_retention.remove_old()
    assert Decision.objects.count() == 1, "the one of today"
    with pytest.raises(DatabaseError), transaction.atomic():
        Decision.objects.all().delete()
    assert world.breaks() == []


def test_reports_are_kept_as_long_as_their_alert_is_open_and_for_their_period(
    committed_world: World, settings: Any
) -> None:
    alerts.raise_alerts([Sighting(kind=alerts.RULE, party=party, details={"n": 1}) for party in (1, 1, 2, 3)])
    alert_tasks.merge()
    for party in (1, 2):
        alerts.close(Alert.objects.get(key=party).pk, outcome="NO_FRAUD", actor="rita")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE rules_alerts_alert SET closed_at = closed_at - interval '500 days' WHERE key <> 2")
        cursor.execute("UPDATE rules_alerts_sightingrow SET at = at - interval '500 days'")
    settings.RETENTION_DAYS = {"hits": 400}
    customer_data_retention.remove_old()
    assert sorted(SightingRow.objects.values_list("key", flat=True)) == [2, 3]  # closed today; still open
    assert Alert.objects.get(key=1).count == 2
    assert committed_world.breaks() == []


AGED = (("quotes_quote", "created_at"), ("rules_rulesets_decision", "at"), ("rules_signals_signalaccess", "at"))


def tzs(text: str) -> dict[str, str]:
    return {"currency": "TZS", "amount": text}


def test_sessions_that_ended_long_ago_are_removed(committed_world: World, settings: Any) -> None:
    settings.RETENTION_DAYS = {"sessions": 30}
    for key, days in (("ended", -31), ("lately", -29), ("live", 1)):
        Session.objects.create(session_key=key, session_data="", expire_date=datetime.now(UTC) + timedelta(days=days))
    assert customer_data_retention.remove_old() == 1
    assert set(Session.objects.values_list("session_key", flat=True)) == {"lately", "live"}


def test_a_text_that_is_missing_before_its_time_is_found(old: dict[str, Any], settings: Any) -> None:
    settings.RETENTION_DAYS = PERIODS
    customer_data_retention.remove_old()
    for statement, found_by in (
        (
            f"UPDATE ledger_transferevent SET body = '' WHERE transfer_id = '{old['today']}'",
            "transfers_are_what_was_sent",
        ),
        ("UPDATE sweeps_erasure SET up_to = now()", "what_was_erased_is_in_the_audit_trail"),
    ):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL session_replication_role = replica")
                cursor.execute(statement)
            assert found_by in old["world"].breaks()
            transaction.set_rollback(True)


REFUSED = (
    "UPDATE ledger_transferevent SET body = '' WHERE transfer_id = '{today}'",  # too young
    "UPDATE ledger_transferevent SET body = 'another' WHERE transfer_id = '{first}'",
    "UPDATE ledger_transferevent SET body = '', state = 'ABORTED' WHERE transfer_id = '{first}'",
    "UPDATE ledger_transferevent SET body = '', headers = '{{}}' WHERE transfer_id = '{first}'",
    "UPDATE ledger_fxtransferevent SET body = 'another'",
    "UPDATE ledger_bulktransfer SET request = 'another'",
    "UPDATE ledger_bulktransfer SET request = '', answer = '', item_count = 3",
    "DELETE FROM ledger_transferevent",
    "DELETE FROM outbox_delivery WHERE subject = '{first}'",
    "UPDATE outbox_delivery SET status = 500",
    "DELETE FROM sweeps_erasure",
    "UPDATE sweeps_erasure SET up_to = up_to - interval '1 day'",
)


def test_nothing_else_may_be_changed_of_what_is_kept(old: dict[str, Any]) -> None:
    Erasure.objects.create(kind="transfers", up_to=datetime.now(UTC) - timedelta(days=600))
    taken = []
    for statement in REFUSED:
        with transaction.atomic():
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute(statement.format(**old))
                    taken.append((statement, cursor.rowcount))
            except DatabaseError:
                pass
            transaction.set_rollback(True)
    assert taken == []
