"""A replay of the live version reproduces each stored decision; a replay of a draft shows what it would have done."""

import json
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from msgspec.structs import replace
from rich.console import Console

from fspiop import ilp
from hub.sql_execution import execute
from ledger import engine, quoted_facts
from ledger.commands_and_outcomes import Committed, Reserved
from ledger.fx.commands_and_outcomes import FxRefused, FxReserved
from ledger.models import Transfer
from ledger.rule_history import rebuild, replay, replay_command, replayed_rules
from ledger.rule_history.bounded_profiles import BoundedProfiles
from ledger.rule_history.replay_report import EXAMPLES, Report
from quotes.models import Quote
from rules import facts as facts_of_payments
from rules.decide import Hit, verdict_of
from rules.profiles import events_and_buckets, folding
from rules.profiles.counted_payments import CountedPayment, Keys, Role
from rules.profiles.counters import ProfileCounters
from rules.profiles.models import CountedTransfer
from rules.rulesets import decisions, services
from rules.rulesets.models import Decision
from tests.api import fx_messages, messages
from tests.api.caller import dfsp
from tests.api.test_fx_agreement import fx
from tests.directory.requests import register
from tests.fx_world import fx_prepare, open_scheme
from tests.fx_world import run as run_fx
from tests.keys import FULFILMENT
from tests.rules import documents
from tests.rules.limits import facts_of_quotes, limit
from tests.rules.limits import pay as group_pay
from tests.rules.rule_sets import above, activate, create, document, hold, refuse, rule
from tests.world import World, fulfil, reject, run

PAYMENT = "8c3ac2c1-e5f1-4df6-b687-7f3e6e767660"
PARTY = "/parties/MSISDN/255655001001"
_SNAPSHOTS = """
    SELECT state, query FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND (backend_xmin IS NOT NULL OR state = 'idle in transaction')
"""
CORRIDOR = rule("corridor", None, refuse(), gate="lookup", when={"payer_dfsps": ["red"], "payee_dfsps": ["blue"]})
FRAUD = rule("fast", {"fact": "payer.sent_count", "window": "PT1H", "is": "above", "value": 1}, {"action": "alert"},
             gate="transfer", kind="fraud")  # fmt: skip
NEW_PAYEE = rule("new-payee", above("30"), {"action": "hold", "for": "PT5S", "bypass": "paid_before"})
RULES = (
    CORRIDOR,
    rule("cap", above("500"), refuse("3145")),
    NEW_PAYEE,
    limit(above=3, when={"payer_dfsps": ["green"]}),
    limit("payee.received_count", above=2, code="5240", when={"payee_dfsps": ["red"]}),
    FRAUD,
)


def pay(
    payer: str, text: str = "20", *, payee: str = "255655001001", dfsps: tuple[str, str] = ("green", "blue")
) -> str:
    """A quote, its answer and the transfer; profiles are as they are a second later. Returns the transfer's id."""
    sender, receiver = dfsps
    money = {"currency": "TZS", "amount": text}
    quote = messages.quote(amount=money, payer=messages.party(sender, payer), payee=messages.party(receiver, payee))
    condition = ilp.condition_for(ilp.fulfilment_for(messages.PACKET, quote["quoteId"].encode()))
    assert dfsp("POST", "/quotes", quote, source=sender, destination=receiver).status_code == 202
    terms = messages.terms(transferAmount=money, condition=condition)
    taken = dfsp("PUT", f"/quotes/{quote['quoteId']}", terms, source=receiver, destination=sender)
    if taken.status_code != 200:  # the rules refused the quote
        return ""
    transfer = messages.transfer(payerFsp=sender, payeeFsp=receiver, amount=money, condition=condition)
    assert dfsp("POST", "/transfers", transfer, source=sender).status_code == 202
    folding.fold()
    return str(transfer["transferId"])


def end(world: World, transfer_id: str) -> None:
    run(reject(world, "blue", transfer_id))
    folding.fold()


def replayed(*rules: dict[str, Any], **more: Any) -> Report:
    return replay.run(replayed_rules.of_text(json.dumps(document(*rules, **more)).encode()))


def make_history(world: World) -> None:
    """Payments of every outcome, also in one group, with aborted ones and with an exception, from all gates."""
    register("MSISDN/255655001001", "blue")
    for source in ("green", "red"):
        assert dfsp("GET", PARTY, source=source).status_code == 202
    first = pay("255712001001")
    pay("255712001001")
    end(world, first)
    services.grant_variance("fast", "green", until=timezone.now() + services.LONGEST_VARIANCE, reason="r", actor="a")
    for text in ("40", "20", "501", "20"):
        pay("255712001001", text)
    pay("255712001002")
    pay("255712001003", "45", payee="255655001007", dfsps=("green", "red"))
    for payer in ("255655001001", "255655001002"):
        pay(payer, payee="255655001007", dfsps=("blue", "red"))
    # A transfer without a quote, and one that comes with the end of another one in a group.
    assert dfsp("POST", "/transfers", messages.transfer()).status_code == 202


def states() -> list[tuple[str, str | None]]:
    return sorted(Transfer.objects.values_list("state", "reason"))


def test_a_replay_of_the_live_version_reproduces_all_stored_decisions(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: True)
    version = activate(*RULES)
    make_history(committed_world)
    assert {"ALLOW", "ALERT", "HOLD", "REFUSE"} >= set(Decision.objects.values_list("outcome", flat=True))
    before = states()
    report = replay.run(replayed_rules.of_version(version))
    assert report.differences == []
    assert report.compared == report.reproduced == Decision.objects.count() > 20
    assert report.late == report.different == 0
    assert set(report.rules) == {each["id"] for each in RULES}
    assert report.changed == {}
    assert states() == before

    # The comparison finds what differs.
    monkeypatch.setattr(replay, "_essence", lambda hit: (hit.rule, hit.readings if hit.rule == "cap" else ""))
    monkeypatch.setattr(replay.ProfileCounters, "get", lambda *_: 0)
    assert replay.run(replayed_rules.of_version(version)).different > 0


def test_decisions_by_late_counters_are_reproduced_by_what_they_read(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: True)
    monkeypatch.setattr(folding, "fold", lambda: 0)  # no profile hears of the payments
    quick = {"fact": "payee.received_count", "window": "PT1H", "is": "above", "value": 1}
    version = activate(FRAUD, rule("quick", quick, {"action": "alert"}))
    for _ in range(3):
        pay("255712001001")
    assert set(Decision.objects.values_list("outcome", flat=True)) == {"ALLOW"}
    report = replay.run(replayed_rules.of_version(version))
    assert report.differences == []
    assert report.compared == report.reproduced == 6
    assert report.late == 4  # the payments themselves say that the second and third were too fast

    # A decision of an earlier release did not keep what it read.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for decision in Decision.objects.all():
            facts = replace(facts_of_payments.from_bytes(bytes(decision.facts or b"")), counters={})
            Decision.objects.filter(pk=decision.pk).update(facts=facts_of_payments.to_bytes(facts))
    report = replay.run(replayed_rules.of_version(version))
    assert (report.reproduced, report.late, report.different) == (2, 4, 0)


def test_payments_of_one_group_are_replayed_in_the_order_in_which_they_were_decided(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quoted_facts, "of", facts_of_quotes)
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: True)
    version = activate(limit(above=2))
    first = [group_pay(committed_world, 1, 1) for _ in range(2)]
    engine.run(first)
    engine.run(
        [reject(committed_world, "blue", first[0].transfer_id), *(group_pay(committed_world, 1, 2) for _ in "1234567")]
    )
    assert sum(reason == "REFUSED_BY_RULE" for _, reason in states()) == 6
    report = replay.run(replayed_rules.of_version(version))
    assert report.differences == []
    assert report.rules["payer-sent-count"].refusals == 6
    assert report.reproduced == report.compared == 9


def test_a_limit_that_counted_a_payment_whose_abort_was_not_yet_committed_is_late_and_no_difference(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate reads a profile before the accounts are locked. An abort that holds these accounts commits meanwhile."""
    monkeypatch.setattr(quoted_facts, "of", facts_of_quotes)
    version = activate(limit(above=2))
    first = [group_pay(committed_world, 1, 1) for _ in range(2)]
    engine.run(first)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    def in_thread(*commands: Any) -> list[Any]:
        try:
            execute("SET lock_timeout = '20s'")
            execute("SET statement_timeout = '20s'")
            return engine.run(list(commands))
        finally:
            connection.close()

    def wait_for(number: int) -> None:
        end = time.monotonic() + 8
        while execute(waiting).fetchone() != (number,):
            assert time.monotonic() < end
            time.sleep(0.01)
            execute("SELECT pg_stat_clear_snapshot()")  # a transaction would see the first state again

    with ThreadPoolExecutor(2) as threads:
        with transaction.atomic():
            execute("SELECT FROM ledger_account FOR UPDATE")
            abort = threads.submit(in_thread, reject(committed_world, "blue", first[0].transfer_id))
            wait_for(1)
            third = threads.submit(in_thread, group_pay(committed_world, 1, 2))
            wait_for(2)
        abort.result()
        third.result()
    assert ("ABORTED", "REFUSED_BY_RULE") in states()
    report = replay.run(replayed_rules.of_version(version))
    assert report.differences == []
    assert (report.late, report.reproduced) == (1, 1)

    # A refusal that no such abort explains is a difference.
    monkeypatch.setattr(replay, "_COMMITS_WITHIN", timedelta(0))
    assert replay.run(replayed_rules.of_version(version)).different == 1


def test_a_payment_above_an_exact_limit_is_a_difference_whatever_was_aborted_before(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quoted_facts, "of", facts_of_quotes)
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: True)
    version = activate(limit(above=1))
    first, second, third = (group_pay(committed_world, 1, 1) for _ in range(3))
    engine.run([first])
    engine.run([reject(committed_world, "blue", first.transfer_id)])
    engine.run([second])
    with monkeypatch.context() as patched:
        patched.setattr(ProfileCounters, "get", lambda *_: 0)
        engine.run([third])
    assert states() == [("ABORTED", "REJECTED_BY_PAYEE"), ("RESERVED", None), ("RESERVED", None)]
    report = replay.run(replayed_rules.of_version(version))
    assert (report.late, report.different) == (0, 1)


def test_a_payment_without_a_stored_decision_must_have_no_hit(committed_world: World) -> None:
    version = activate(limit(above=50))
    pay("255712001001")
    rules = replayed_rules.of_version(version)
    assert replay.run(rules).different == 0
    harsh = replayed_rules.of_text(json.dumps(document(limit(above=1))).encode())
    object.__setattr__(rules, "by_gate", harsh.by_gate)
    pay("255712001001")
    assert replay.run(rules).differences[0].startswith("transfer ")


def test_refunds_are_replayed_by_their_originals(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: True)
    facts = ("refund.original_found", "refund.parties_swapped", "refund.within_original")
    broken = {"any": [{"fact": fact, "is": "false"} for fact in facts]}
    refunds = rule("refunds", broken, refuse("3141"), gate="transfer", when={"scenarios": ["REFUND"]})
    version = activate(refunds)
    early = pay("255712001001")  # refunds of this payment arrive before and after its commit
    transaction_id = CountedTransfer.objects.get(pk=early).transaction_id
    assert transaction_id is not None
    assert refund(transaction_id) == ("ABORTED", "3141")
    commit(committed_world, early)
    assert refund(transaction_id, "12") == ("RESERVED", None)
    assert refund(early, "12") == ("ABORTED", "3141")
    assert refund(early, "8") == ("RESERVED", None)
    report = replay.run(replayed_rules.of_version(version))
    assert report.differences == []
    assert (report.late, report.compared) == (0, report.reproduced)
    assert report.rules["refunds"].refusals == 2
    drafted = replayed(refunds)
    assert drafted.rules["refunds"].refusals == 2


def commit(world: World, transfer_id: str) -> None:
    condition = Transfer.objects.get(pk=transfer_id).condition
    quote_id = Quote.objects.get(condition=condition).pk
    outcome = run(fulfil(world, "blue", transfer_id, fulfilment=ilp.fulfilment_for(messages.PACKET, quote_id.encode())))
    assert isinstance(outcome, Committed)


def refund(original: str, text: str = "20") -> tuple[str, str | None]:
    """Returns the state of the refund's transfer, and its error code."""
    kind = {**messages.TRANSACTION_TYPE, "scenario": "REFUND", "refundInfo": {"originalTransactionId": original}}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(messages, "TRANSACTION_TYPE", kind)
        transfer_id = pay("255655001001", text, payee="255712001001", dfsps=("blue", "green"))
    found = Transfer.objects.get(pk=transfer_id)
    return found.state, found.error_code


def test_fx_quotes_and_conversions_are_replayed_as_they_were_judged(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: True)
    open_scheme(committed_world)
    tier = rule("tier", {"fact": "payer.kyc_tier", "is": "absent"}, refuse("4540"), on_missing="closed")
    version = activate(hold("PT1H", over="30"), rule("cap", above("500"), refuse("3145")), tier)
    for text in ("20", "100", "501"):
        asked = fx_messages.fx_quote(sourceAmount=fx_messages.money(text, "TZS"))
        fx("POST", "/fxQuotes", asked, destination="fxp")
        outcome = run_fx(fx_prepare(committed_world, str(uuid.uuid4()), source=("TZS", text)))
        assert isinstance(outcome, FxRefused if text == "501" else FxReserved)
    assert Decision.objects.filter(outcome="HOLD").count() == 2
    report = replay.run(replayed_rules.of_version(version))
    assert report.differences == []
    assert report.compared == report.reproduced == Decision.objects.count() == 6


def test_a_group_that_waits_until_a_planned_period_ends_is_no_difference(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quoted_facts, "of", facts_of_quotes)
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: False)
    strict = activate(limit(above=1), limit("payee.received_count", above=1))
    run(group_pay(committed_world, 1, 2))
    ends = timezone.now() + timedelta(seconds=1)
    activate(limit(above=9), limit("payee.received_count", above=9), valid_until=ends)

    def in_thread() -> list[Any]:
        try:
            execute("SET lock_timeout = '20s'")
            execute("SET statement_timeout = '20s'")
            return engine.run([group_pay(committed_world, 1, 2)])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            execute("SELECT FROM ledger_account FOR UPDATE")
            outcomes = thread.submit(in_thread)
            time.sleep(max(0.0, (ends - timezone.now()).total_seconds()) + 0.2)
        assert type(outcomes.result()[0]).__name__ == "Reserved"
    assert not isinstance(run(group_pay(committed_world, 1, 2)), Reserved)  # the strict version is active again
    report = replay.run(replayed_rules.of_version(strict))
    assert report.differences == []
    assert report.late == 1

    # A hit without a decision at another time is a difference.
    monkeypatch.setattr(replayed_rules, "_JUDGED_WITHIN", timedelta(0))
    assert replay.run(replayed_rules.of_version(strict)).different == 1


def test_a_limit_that_read_its_payments_again_is_late_and_no_difference(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay has only the sum of the payments that the hub read again."""
    monkeypatch.setattr(quoted_facts, "of", facts_of_quotes)
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: False)
    monkeypatch.setattr(events_and_buckets, "HOUR", 10**15)  # no window begins at the beginning of a bucket
    version = activate(limit(above=50, window="PT1M", when={"payee_dfsps": ["red"]}))
    before = [group_pay(committed_world, 1, 2) for _ in range(125)]
    engine.run(before)
    with transaction.atomic():  # two minutes later
        execute("SET LOCAL session_replication_role = replica")
        for table, column in (
            ("ledger_transfer", "received_at"),
            ("ledger_transferevent", "at"),
            ("rules_profiles_countedtransfer", "reserved_at"),
        ):
            execute(f"UPDATE {table} SET {column} = {column} - interval '2 minutes'")
    rebuild.rebuild()
    engine.run([group_pay(committed_world, 1, 2) for _ in range(6)])
    last = [group_pay(committed_world, 1, 2) for _ in range(64)]
    engine.run(last)
    engine.run([reject(committed_world, "blue", each.transfer_id) for each in last])
    outcomes = engine.run([group_pay(committed_world, 1, 3, dfsps=("green", "red"))])
    assert type(outcomes[0]).__name__ == "Reserved"
    report = replay.run(replayed_rules.of_version(version))
    assert (report.different, report.late) == (0, 1)


def test_a_condition_of_several_quotes_is_no_difference(
    committed_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the packet the hub finds the quote of each transfer; a replay has only the condition."""
    version = activate(rule("large", above("30"), {"action": "hold", "for": "PT5S"}))
    for number, text in enumerate(("40", "41", "42")):
        packet = ilp.encode_payment(ilp.IlpPayment(100, f"g.blue.{number}", b""))
        monkeypatch.setattr(messages, "PACKET", packet)
        monkeypatch.setattr(ilp, "fulfilment_for", lambda *_: FULFILMENT)
        pay("255712001001", text)
    assert Transfer.objects.filter(hold__isnull=False).count() == 3
    report = replay.run(replayed_rules.of_version(version))
    assert report.differences == []
    assert report.not_judged == 2


def test_a_draft_refuses_and_does_not_count_what_it_refuses(committed_world: World, settings: Any) -> None:
    settings.RULES_COUNT = True
    ids = [pay("255712001001") for _ in range(3)]
    end(committed_world, ids[0])
    pay("255712001001", "60")
    pay("255712001002", "600")
    report = replayed(limit(above=1, mode="draft"), limit("payee.received_count", above=9, mode="shadow", code="5240"))
    # The first is aborted later, the next two come too many, and the fourth is again the only one that counts.
    assert report.judged == {"transfer": 5}
    assert report.rules["payer-sent-count"].refusals == 2
    assert report.refused_value == {"TZS": 400_000}
    assert report.changed == {("ALLOW", "REFUSE"): 2}
    assert report.worst_hit() == [("green", 2, 5)]
    assert {each.subject for each in report.examples} == set(ids[1:])

    report = replayed(
        rule("cap", above("500"), refuse("3145")), NEW_PAYEE | {"then": {"action": "hold", "for": "PT9S"}}
    )
    assert report.outcomes == {"ALLOW": 7, "HOLD": 1, "REFUSE": 1}, "the refused quote has no transfer"
    assert report.overlaps == {("cap", "new-payee"): 1}


def test_payments_for_which_every_rule_was_skipped_are_no_examples() -> None:
    def hit(rule: str, *, action: Literal["alert", "refuse"] = "alert", skipped: bool = False) -> Hit:
        return Hit(rule=rule, kind="scheme", action=action, code="3140", skipped=skipped)

    report = Report()
    for subject, hits in {
        "skipped": [hit("tier", skipped=True), hit("scenario", skipped=True)],
        "both": [hit("tier", skipped=True), hit("cap", action="refuse")],
        "closed": [hit("strict", action="refuse", skipped=True)],
    }.items():
        report.add(subject, documents.facts("transfer"), verdict_of(hits), "ALLOW")
    assert [(each.subject, each.rules) for each in report.examples] == [("both", ("cap",)), ("closed", ("strict",))]
    assert report.overlaps == {}
    assert (report.rules["tier"].hits, report.rules["tier"].skipped, report.alerts.total()) == (2, 2, 4)


def test_twenty_examples_are_kept_although_most_payments_were_only_skipped() -> None:
    report = Report()
    skipped = Hit(rule="tier", kind="scheme", action="alert", skipped=True)
    capped = Hit(rule="cap", kind="scheme", action="refuse", code="3140")
    for number in range(1_000):
        hits = [skipped] if number % 20 else [skipped, capped]
        report.add(str(number), documents.facts("transfer"), verdict_of(hits), "ALLOW")
    assert len({each.subject for each in report.examples}) == EXAMPLES
    assert {each.rules for each in report.examples} == {("cap",)}


def test_a_replay_holds_no_snapshot_while_it_judges(committed_world: World) -> None:
    """A snapshot would stop VACUUM in the queue of messages for as long as the replay lasts."""
    pay("255712001001")

    def snapshots() -> list[Any]:
        try:
            return execute(_SNAPSHOTS).fetchall()
        finally:
            connection.close()

    found: list[list[Any]] = []

    def tell(done: int, whole: int) -> None:
        with ThreadPoolExecutor(1) as thread:
            for _ in range(50):  # a fetch of the next rows ends at once
                found.append(thread.submit(snapshots).result())
                if not found[-1]:
                    return
                time.sleep(0.02)

    rules = replayed_rules.of_text(json.dumps(document(limit(above=1))).encode())
    report = replay.run(rules, tell=tell)
    assert report.judged["transfer"] == 1
    assert found
    assert found[-1] == []
    assert execute("SELECT name FROM pg_cursors").fetchall() == []


def test_the_command_shows_versions_and_files(committed_world: World, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no rules are active"):
        call_command("rules", "replay", stdout=StringIO())
    live = activate(limit(above=1), hold("PT5S", over="30"))
    for _ in range(2):
        pay("255712001001")
    out = StringIO()
    call_command("rules", "replay", stdout=out)
    assert "different 0" in out.getvalue()
    draft = create(rule("cap", above("5"), refuse("3145"), gate="transfer"))
    assert draft.pk != live
    out = StringIO()
    call_command("rules", "replay", str(draft.pk), "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert found["rules"]["cap"]["refused_value"] == {"TZS": "40"}
    assert found["changed"] == [["ALLOW", "REFUSE", 1]]
    path = tmp_path / "draft.json"
    path.write_text(json.dumps(document(rule("cap", above("50"), refuse("3145")))))
    out = StringIO()
    call_command("rules", "replay", str(path), "--since", "2026-01-01T00:00:00Z", stdout=out)
    assert "a file" in out.getvalue()
    with pytest.raises(CommandError):
        call_command("rules", "replay", "999", stdout=StringIO())


def test_the_command_shows_whole_ids_in_a_narrow_terminal() -> None:
    report, names = Report(), ["excluded-payee-lookup", "excluded-payee-transfer"]
    hits = [Hit(rule=name, kind="scheme", action="refuse", code="5540") for name in names]
    report.add(PAYMENT, documents.facts("transfer"), verdict_of(hits), "ALLOW")
    with Console(file=StringIO(), record=True, width=80) as console:
        replay_command._show_rules(console, report)
        replay_command._show_examples(console, report)
    lines = [line.split("│") for line in console.export_text().splitlines() if line.startswith("│")]
    rules = [line for line in lines if len(line) == 10]
    assert "".join(line[1].strip() for line in rules) == "".join(names)
    assert "".join(line[3].strip() for line in lines if len(line) == 11) == PAYMENT


def test_profiles_that_were_encoded_or_wait_in_the_file_are_the_same() -> None:
    def payments() -> Iterable[CountedPayment]:
        for number in range(600):
            keys = Keys(payer=number % 50, payee=100 + number % 7)
            yield CountedPayment(f"t{number}", keys, 1, False, "TZS", number + 1, timezone.now())

    found = list(payments())
    with BoundedProfiles(40, most_bytes=8_000) as few, BoundedProfiles() as many:
        for profiles in (few, many):
            for payment in found:
                for role, key in payment.keys.by_role():
                    payment.add_to(profiles[key], role)
                    profiles.has_grown()
            for payment in found[:100]:
                assert payment.remove_from(profiles[payment.keys.payer or 0], Role.PAYER)
        in_file = {key for (key,) in few._file.execute("SELECT key FROM profile")}
        assert len(few._recent) < 20
        assert few._encoded
        assert in_file - few._encoded.keys() - few._recent.keys(), "some profiles are only in the file"
        assert len(few) == len(many) == len(many._recent) == 57
        for key in set(many):
            assert (few[key].events, few[key].buckets) == (many[key].events, many[key].buckets)
        for number in range(30):  # more than it keeps in memory
            few.paid_before.add((1, 2 + number % 15))
        assert (1, 2) in few.paid_before
        assert (1, 17) not in few.paid_before
        assert (2, 2) not in many.paid_before
