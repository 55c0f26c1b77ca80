"""The gate at the transfer: what rules refuse is not reserved, and what is reserved is counted, exactly."""

import json
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from fspiop import base64url, ilp
from hub.outbox.models import Message
from ledger import engine, quoted_facts, rules_gate
from ledger.bulk import engine as bulk_engine
from ledger.bulk.commands_and_outcomes import BulkAccepted
from ledger.commands_and_outcomes import Outcome, Refusal
from ledger.fx.commands_and_outcomes import FxRefused, FxReserved
from ledger.models import Transfer
from ledger.rule_history import rebuild
from rules.lists import kill_switches
from rules.lists import matches as lists
from rules.party_keys import key_of
from rules.profiles import folding, store
from rules.profiles.models import CountedTransfer, Profile, UnfoldedCount
from rules.rulesets import active_rules, decisions
from rules.rulesets.models import Decision
from rules.signals import payee_counters
from tests.api import fx_messages, messages
from tests.api.test_fx_agreement import fx
from tests.bulks import bulk_prepare
from tests.fx_world import fx_prepare, open_scheme
from tests.rules.limits import activate, deactivate, facts_in, facts_of_quotes, key_of_customer, limit, pay, quoted
from tests.rules.two_people import decide
from tests.sweeps.statements import all_statements
from tests.world import World, amount, fulfil, messages_about, prepare, reject, run

BILLER = 999


@pytest.fixture(autouse=True)
def _quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quoted_facts, "of", facts_of_quotes)


def kinds(outcomes: list[Any]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


def differences(world: World) -> list[str]:
    """What the profiles and the transfers disagree about, by the ledger's invariants too."""
    return [*(each.text for each in rebuild.compare_now().differences), *world.breaks()]


def test_a_limit_admits_exactly_as_many_and_tells_the_payer_the_scheme_s_code(world: World) -> None:
    activate(limit(above=3))
    commands = [pay(world, 1, number) for number in range(5)]
    outcomes: list[Outcome] = [*engine.run(commands[:2]), *map(run, commands[2:4]), run(commands[4])]  # type: ignore[list-item]
    assert kinds(outcomes) == ["Reserved"] * 3 + ["Refused"] * 2
    refused = Transfer.objects.get(pk=commands[4].transfer_id)
    assert (refused.reason, refused.error_code) == ("REFUSED_BY_RULE", "4240")
    assert refused.error_description == "Payer has reached the scheme's limit on the number of payments"
    assert messages_about(refused.pk) == [("green", "PUT", "end-to-payer")]
    assert b'"4240"' in bytes(Message.objects.get(subject=refused.pk).body)
    assert world.position("green") == amount(3)
    assert differences(world) == []
    assert kinds([run(pay(world, 2, 1))]) == ["Reserved"]  # another payer
    # A resend is refused alike, and is no other payment.
    assert kinds([run(commands[4]), run(commands[0])]) == ["Repeated", "Repeated"]
    assert CountedTransfer.objects.count() == 4


def test_what_a_group_ends_makes_room_for_its_own_prepares(world: World) -> None:
    activate(limit(above=2))
    first = [pay(world, 1, 1) for _ in range(2)]
    assert kinds(engine.run(first)) == ["Reserved"] * 2
    group = [reject(world, "blue", first[0].transfer_id), pay(world, 1, 2), pay(world, 1, 3)]
    assert kinds(engine.run(group)) == ["Aborted", "Reserved", "Refused"]
    assert differences(world) == []
    assert kinds([run(fulfil(world, "blue", first[1].transfer_id))]) == ["Committed"]
    assert kinds([run(pay(world, 1, 4))]) == ["Refused"]  # a committed payment still counts


def test_a_payment_that_is_aborted_counts_no_longer_whether_or_not_it_was_folded(world: World) -> None:
    activate(limit(above=1), limit("payee.received_count", above=1, when={"payee_dfsps": ["red"]}))
    for fold_first in (False, True):
        command = pay(world, 1, BILLER)
        assert kinds([run(command)]) == ["Reserved"]
        if fold_first:
            folding.fold_profiles(store.waiting(100, 100))
        assert kinds([run(reject(world, "blue", command.transfer_id))]) == ["Aborted"]
        assert differences(world) == []
    folding.fold_profiles(store.waiting(100, 100))
    assert not UnfoldedCount.objects.exists()
    assert set(Profile.objects.values_list("counted", flat=True)) == {0}
    assert differences(world) == []


def test_transfers_are_uncounted_after_the_rules_have_ended(world: World) -> None:
    activate(limit(above=1))
    command = pay(world, 1, 2)
    run(command)
    deactivate()
    run(pay(world, 1, 2))
    run(reject(world, "blue", command.transfer_id))
    assert list(CountedTransfer.objects.values_list("transfer_id", "ended")) == [(command.transfer_id, True)]
    assert differences(world) == []
    activate(limit(above=1))
    assert kinds([run(pay(world, 1, 2))]) == ["Reserved"]


def test_a_limit_on_the_value_includes_the_payment_that_is_judged(world: World) -> None:
    activate(
        limit("payer.sent_value", above="100", code="4241"),
        limit("payer.sent_count", above=20),
    )
    assert kinds(engine.run([pay(world, 1, n, text) for n, text in enumerate([60, 40, 1])])) == [
        "Reserved",
        "Reserved",
        "Refused",
    ]
    assert Transfer.objects.get(state="ABORTED").error_code == "4241"


def test_a_rule_refuses_before_the_payer_s_limit_does_and_a_transfer_that_is_not_reserved_is_not_counted(
    world: World,
) -> None:
    world.onboard("poor", ndc=1, cover=1)
    activate(limit(above=1))
    command = pay(world, 1, 2, 5, dfsps=("poor", "blue"))
    assert kinds([run(command)]) == ["Refused"]
    assert Transfer.objects.get(pk=command.transfer_id).reason == Refusal.LIQUIDITY.value
    assert not CountedTransfer.objects.exists()
    run(pay(world, 1, 2))
    both = pay(world, 1, 2, 5, dfsps=("poor", "blue"))
    run(both)
    assert Transfer.objects.get(pk=both.transfer_id).reason == "REFUSED_BY_RULE"


def test_without_rules_nothing_is_counted_and_with_the_setting_it_is(world: World, settings: Any) -> None:
    run(pay(world, 1, 2))
    assert not CountedTransfer.objects.exists()
    settings.RULES_COUNT = True
    run(pay(world, 1, 2))
    folding.fold_profiles(store.waiting(100, 100))
    assert Profile.objects.get(pk=key_of_customer(1)).sent == amount(1)
    assert differences(world) == []


def numbers_of_statements(world: World, size: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    """How many statements a group takes that prepares, that rejects and prepares, and that fulfils."""
    first, second = ([pay(world, n, BILLER) for n in range(size)] for _ in range(2))
    with all_statements(monkeypatch) as prepared:
        assert kinds(engine.run(first)) == ["Reserved"] * size
    with all_statements(monkeypatch) as mixed:
        engine.run([*(reject(world, "blue", each.transfer_id) for each in first), *second])
    with all_statements(monkeypatch) as fulfilled:
        engine.run([fulfil(world, "blue", each.transfer_id) for each in second])
    return len(prepared), len(mixed), len(fulfilled)


def test_the_number_of_statements_does_not_depend_on_the_size_of_the_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "is_sampled", lambda subject: False)
    active_rules.current()  # asks the database once a second
    without = numbers_of_statements(world, 5, monkeypatch)
    assert without == numbers_of_statements(world, 40, monkeypatch)
    activate(limit(above=60), limit("pair.sent_count", above=60, rule_id="pair"))
    run(pay(world, 1, BILLER))  # reads lists and markers, twice a second at most
    few, many = numbers_of_statements(world, 2, monkeypatch), numbers_of_statements(world, 40, monkeypatch)
    assert few == many
    assert few[0] - without[0] <= 8
    assert few[2] == without[2]  # what ends transfers needs no rules


def hold_of_new_payees(above: str) -> dict[str, Any]:
    """Amounts above this one wait for a minute, except to a payee that the payer has paid before."""
    return {
        "id": "new-payee",
        "title": "A new payee",
        "kind": "scheme",
        "gate": "transfer",
        "when": {"currencies": ["TZS"]},
        "if": {
            "all": [
                {"fact": "amount", "is": "above", "value": {"amount": above, "currency": "TZS"}},
                {"fact": "weekday", "is": "in", "value": ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]},
            ]
        },
        "then": {"action": "hold", "for": "PT1M", "bypass": "paid_before"},
    }


@pytest.mark.parametrize(("above", "questions"), [("1000000", 0), ("0", 1)])
def test_a_group_asks_who_was_paid_before_only_if_a_cheaper_condition_does_not_decide(
    world: World, monkeypatch: pytest.MonkeyPatch, above: str, questions: int
) -> None:
    activate(hold_of_new_payees(above))
    with all_statements(monkeypatch) as sent:
        engine.run([pay(world, n, BILLER) for n in range(5)])
    assert [each.statement for each in sent].count(rules_gate._PAID) == questions


def test_a_pair_has_a_profile_only_if_a_rule_reads_it(world: World) -> None:
    new_payee = {
        "id": "new-payee",
        "title": "A new payee above 1,000",
        "kind": "fraud",
        "gate": "transfer",
        "when": {"currencies": ["TZS"]},
        "if": {
            "all": [
                {"fact": "pair.paid_before", "is": "false"},
                {"fact": "amount", "is": "above", "value": {"amount": "1000", "currency": "TZS"}},
            ]
        },
        "then": {"action": "alert"},
    }
    activate(new_payee)  # the hub reads from the transfers whether a payer has paid a payee before
    run(pay(world, 1, 2))
    activate(new_payee, limit("pair.sent_count", above=1))
    run(pay(world, 1, 2))
    assert kinds([run(pay(world, 1, 2))]) == ["Refused"]
    pairs = CountedTransfer.objects.order_by("reserved_at").values_list("pair_key", flat=True)
    assert [key is not None for key in pairs] == [False, True]
    assert differences(world) == []


def test_a_bulk_s_items_are_judged_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    activate(limit(above=2))
    bulk = bulk_prepare(world, "green", "blue", [1, 1, 1, 1])
    items = {item.digest: item for item in bulk.items}

    def facts(prepares: Any) -> Any:
        named = [pay(world, 1, number) for number, _ in enumerate(prepares)]
        found = list(facts_of_quotes(named).values())
        return dict(zip(items, found, strict=True))

    monkeypatch.setattr(quoted_facts, "of", facts)
    outcome = bulk_engine.run(bulk)
    assert isinstance(outcome, BulkAccepted)
    assert kinds(outcome.outcomes) == ["Reserved", "Reserved", "Refused", "Refused"]
    assert {each.error_code for each in outcome.items if each.state == "ABORTED"} == {"4240"}
    assert differences(world) == []


def test_the_leg_of_a_conversion_takes_the_gate_too(world: World) -> None:
    open_scheme(world)
    no_fxp = {
        "id": "no-fxp",
        "title": "Not to this FXP",
        "kind": "scheme",
        "gate": "transfer",
        "when": {"payee_dfsps": ["fxp"]},
        "if": {"fact": "amount", "is": "above", "value": {"amount": "50", "currency": "TZS"}},
        "then": {"action": "refuse", "code": "3140"},
    }
    activate(no_fxp, limit(above=1))
    small, large = (
        fx_prepare(world, pay(world, 1, 2).transfer_id, source=("TZS", 50)),
        fx_prepare(world, pay(world, 1, 2).transfer_id, source=("TZS", 51)),
    )
    outcomes = engine.run([small, large])
    assert [type(each) for each in outcomes] == [FxReserved, FxRefused]
    assert outcomes[1].conversion.error_code == "3140"  # type: ignore[union-attr]
    assert not CountedTransfer.objects.exists()


def test_a_transfer_whose_quote_is_not_known_names_no_parties(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quoted_facts, "of", lambda prepares: {})
    activate(limit(above=1))
    outcomes = engine.run([prepare(world, "green", "blue", 1) for _ in range(3)])
    assert kinds(outcomes) == ["Reserved"] * 3  # fails open
    activate(limit(above=1, on_missing="closed"))
    assert kinds([run(prepare(world, "green", "blue", 1))]) == ["Refused"]
    assert not CountedTransfer.objects.exists()


def test_refunds_are_counted_apart_and_never_above_their_original(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {
        "id": "refunds",
        "title": "Refunds",
        "kind": "scheme",
        "gate": "transfer",
        "when": {"scenarios": ["REFUND"]},
        "if": {
            "any": [
                {"fact": "refund.within_original", "is": "false"},
                {"fact": "refund.parties_swapped", "is": "false"},
            ]
        },
        "then": {"action": "refuse", "code": "3141"},
    }
    activate(rule, limit(above=1))
    original = pay(world, 1, 2, 10)
    run(original)
    run(fulfil(world, "blue", original.transfer_id))

    def refund(payer: int, payee: int, text: int) -> str:
        command = pay(world, payer, payee, text, dfsps=("blue", "green"))

        def facts(prepares: Any) -> Any:
            return {
                each.digest: quoted(facts_in(each, scenario="REFUND", refund_of=original.transfer_id))
                for each in prepares
            }

        with monkeypatch.context() as patched:
            patched.setattr(quoted_facts, "of", facts)
            return kinds([run(command)])[0]

    assert refund(3, 1, 5) == "Refused"  # another party
    assert refund(2, 1, 6) == "Reserved"
    assert refund(2, 1, 5) == "Refused"
    assert refund(2, 1, 4) == "Reserved"
    assert refund(2, 1, 1) == "Refused"
    assert differences(world) == []
    assert kinds([run(pay(world, 2, 3, dfsps=("blue", "green")))]) == ["Reserved"]  # refunds count in no limit


def test_a_party_s_signals_have_its_payments(world: World) -> None:
    activate(limit(above=9))
    engine.run([*(pay(world, 1, 2) for _ in range(3)), *(pay(world, 3, 1) for _ in range(2))])
    folding.fold_profiles(store.waiting(100, 100))
    found = {(each.name, each.hours): each.number for each in payee_counters.of_party(key_of_customer(1))}
    assert (found["SENT", 72], found["RECEIVED", 720]) == (3, 2)


def test_a_kill_switch_and_a_list_refuse_at_the_transfer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    on_list = {
        "id": "blocked",
        "title": "Blocked payees",
        "kind": "scheme",
        "gate": "transfer",
        "if": {"fact": "payee.lists", "is": "has_any", "value": ["blocked"]},
        "then": {"action": "refuse", "code": "5540"},
    }
    activate(on_list)
    listed = {key_of_customer(2): frozenset({"blocked"}), key_of_customer(3): frozenset({lists.KILL_SWITCH})}

    def matches(keys: Any) -> Any:
        return {key: listed[key] for key in keys if key in listed}

    monkeypatch.setattr(lists, "matches", matches)
    monkeypatch.setattr(kill_switches, "matches", matches)
    group = [pay(world, 1, 2), pay(world, 1, 3), pay(world, 3, 1), pay(world, 1, 4)]
    assert kinds(engine.run(group)) == ["Refused", "Refused", "Refused", "Reserved"]
    codes = dict(Transfer.objects.values_list("pk", "error_code"))
    assert [codes[each.transfer_id] for each in group] == ["5540", "5540", "4540", None]


def test_a_kill_switch_stops_payments_without_any_rules(world: World, settings: Any) -> None:
    run(pay(world, 1, 2))
    corridor = {"kind": "CORRIDOR", "payer_dfsp": "green", "payee_dfsp": "blue", "reason": "fraud"}
    decide("kill_switch", {**corridor, "on": True})
    active_rules.forget()  # a process asks once a second
    stopped, other = pay(world, 1, 3), pay(world, 1, 3, dfsps=("green", "red"))
    assert kinds(engine.run([stopped, other])) == ["Refused", "Reserved"]
    assert Transfer.objects.get(pk=stopped.transfer_id).error_code == "3140"
    decision = Decision.objects.get()
    assert (decision.subject, decision.outcome, decision.version) == (stopped.transfer_id, "REFUSE", None)
    assert not CountedTransfer.objects.exists()
    settings.RULES_COUNT = True
    assert kinds(engine.run([pay(world, 1, 3), pay(world, 1, 4, dfsps=("green", "red"))])) == ["Refused", "Reserved"]
    assert CountedTransfer.objects.count() == 1
    decide("kill_switch", {**corridor, "on": False})
    assert kinds([run(pay(world, 1, 3))]) == ["Reserved"]


def test_the_leg_of_a_conversion_has_the_facts_of_its_quote(world: World) -> None:
    open_scheme(world)
    tiered = {
        "id": "tier",
        "title": "No conversions for the second tier",
        "kind": "scheme",
        "gate": "transfer",
        "if": {"all": [{"fact": "fx", "is": "true"},
                       {"fact": "extension", "key": "tier", "is": "in", "value": ["2"]}]},
        "then": {"action": "refuse", "code": "3140"},
    }  # fmt: skip
    activate(tiered)
    outcomes = []
    for tier in ("1", "2"):
        extensions = {"extension": [{"key": "tier", "value": tier}]}
        asked = fx_messages.fx_quote(extensionList=extensions)
        fx("POST", "/fxQuotes", asked, destination="fxp")
        terms = fx_messages.fx_terms(asked)
        quote_id = asked["conversionRequestId"]
        assert fx("PUT", f"/fxQuotes/{quote_id}", terms, source="fxp", destination="green").status_code == 200
        named = asked["conversionTerms"]["conversionId"]
        outcomes.append(run(fx_prepare(world, pay(world, 1, 2).transfer_id, commit_request_id=named)))
    assert [type(each) for each in outcomes] == [FxReserved, FxRefused]


def packet(amount_text: str, **transaction: Any) -> str:
    data = base64url.encode(json.dumps(transaction).encode()).encode()
    return ilp.encode_payment(ilp.IlpPayment(int(amount_text) * 100, "g.blue.msisdn.1", data))


def test_a_transfer_without_a_quote_is_judged_by_the_parties_in_its_packet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quoted_facts, "of", lambda prepares: {})
    activate(limit(above=1, on_missing="closed"))
    named = {"payer": messages.party("green", "255712001001"), "payee": messages.party("blue", "255655001001")}
    at_another_dfsp = named | {"payer": messages.party("red", "255712001002")}
    faulty: dict[str, Any] = {"payer": {"partyIdInfo": {"partyIdType": "PHONE"}}, "payee": 7}
    found = []
    for agreed in (named, named, at_another_dfsp, faulty):
        command = prepare(world, "green", "blue", 1)
        command.ilp_packet = packet("1", **agreed)
        found += kinds([run(command)])
    assert found == ["Reserved", "Refused", "Refused", "Refused"]
    first, *_ = CountedTransfer.objects.all()
    assert (first.payer_key, first.payee_key) == (key_of("MSISDN", "255712001001"), key_of("MSISDN", "255655001001"))
    skipped = [decision.hits[0].get("skipped") for decision in Decision.objects.order_by("id") if decision.hits]
    assert skipped[-3:] == [False, True, True]
    assert differences(world) == []


def test_each_difference_between_profiles_and_transfers_is_found_and_mended(world: World) -> None:
    activate(limit(above=5))
    commands = [pay(world, 1, 2) for _ in range(4)]
    engine.run(commands)
    run(reject(world, "blue", commands[0].transfer_id))
    assert differences(world) == []
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rules_profiles_profile SET ring = '', counted = 0, sent = 0 WHERE counted > 0")
    assert differences(world) != []
    assert "profiles_add_up" in world.breaks()
    found = rebuild.compare_now().differences
    assert {each.key for each in found} == {key_of_customer(1)}
    rebuild.rebuild_these([each.key for each in found])
    assert differences(world) == []
    assert Profile.objects.get(pk=key_of_customer(1)).counted == 3


ONE = "(SELECT min(transfer_id) FROM rules_profiles_countedtransfer WHERE NOT ended)"
ABORTED = "(SELECT transfer_id FROM rules_profiles_countedtransfer WHERE ended)"
RESERVED, ADD_UP = "counted_transfers_are_those_that_were_reserved", "profiles_add_up"
DAMAGE = {
    f"UPDATE rules_profiles_countedtransfer SET amount = amount + 1 WHERE transfer_id = {ONE}": {RESERVED, ADD_UP},
    f"UPDATE rules_profiles_countedtransfer SET reserved_at = now() - interval '1 day' WHERE transfer_id = {ONE}": {
        RESERVED
    },
    f"UPDATE rules_profiles_countedtransfer SET ended = true WHERE transfer_id = {ONE}": {RESERVED, ADD_UP},
    f"UPDATE rules_profiles_countedtransfer SET ended = false WHERE transfer_id = {ABORTED}": {RESERVED, ADD_UP},
    f"UPDATE rules_profiles_countedtransfer SET payer_key = 5 WHERE transfer_id = {ONE}": {ADD_UP},
    f"DELETE FROM rules_profiles_countedtransfer WHERE transfer_id = {ONE}": {ADD_UP},
    f"DELETE FROM rules_profiles_unfoldedcount WHERE transfer_id = {ONE}": {ADD_UP},
    "UPDATE rules_profiles_profile SET counted = counted + 1": {ADD_UP},
    "UPDATE rules_profiles_profile SET sent = sent + 1": {ADD_UP},
}


def test_the_invariants_find_each_damage(world: World) -> None:
    activate(limit(above=5))
    commands = [pay(world, 1, 2) for _ in range(3)]
    engine.run(commands)
    run(reject(world, "blue", commands[0].transfer_id))
    assert world.breaks() == []
    for statement, expected in DAMAGE.items():
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL session_replication_role = replica")
                cursor.execute(statement)
                assert cursor.rowcount >= 1, statement
            assert set(world.breaks()) == expected, statement
            transaction.set_rollback(True)
    assert world.breaks() == []


def test_what_was_counted_stays_as_it_was(world: World) -> None:
    activate(limit(above=5))
    run(pay(world, 1, 2))
    for change in ("amount = 1", "payer_key = 1", "ended = true, payer_key = 1"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE rules_profiles_countedtransfer SET {change}")
    for table in ("rules_profiles_countedtransfer", "rules_profiles_profile"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table}")
