"""Held transfers: reserved, but sent to the payee only when the clock or two people release them."""

import json
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from fspiop.errors import FspiopError
from hub.audit.models import Entry
from hub.outbox.models import Message
from hub.sql_execution import execute
from ledger import engine, invariants, store
from ledger.commands_and_outcomes import (
    Aborted,
    Expire,
    Ignored,
    Outcome,
    Refused,
    RefuseHeld,
    Repeated,
    Reserved,
    Unknown,
)
from ledger.fx.commands_and_outcomes import FxOutcome, FxRefused, FxReserved
from ledger.held_transfers import queries, services
from ledger.models import HeldTransfer, Transfer, TransferEvent
from ledger.tasks import expire_transfers, release_held_transfers
from portal import changes
from portal.permissions import Role
from portal.visitor import visitor_for
from rules.lists import matches
from rules.markers import matches as markers
from rules.party_keys import key_of
from rules.profiles.models import CountedTransfer
from rules.rulesets.models import Decision
from tests.api import messages
from tests.api.caller import dfsp
from tests.bulks import bulk_prepare, run_bulk
from tests.concurrency.together import together
from tests.directory.requests import counted_statements
from tests.fx_world import fx_prepare, open_scheme
from tests.fx_world import run as run_fx
from tests.portal.people import person
from tests.rules.rule_sets import activate, hold, rule
from tests.rules.two_people import decide
from tests.world import World, amount, fulfil, messages_about, prepare, reject, run, state_of

DAY = 24 * 3600.0


def held(world: World, text: int = 20, *, expires_in: float = DAY) -> str:
    """A transfer of green to blue that is held for an hour."""
    if not HeldTransfer.objects.exists():
        activate(hold("PT1H", gate="transfer"))
    command = prepare(world, "green", "blue", text, expires_in=expires_in)
    assert isinstance(run(command), Reserved)
    return command.transfer_id


def time_passes(transfer_id: str, seconds: float = 3600) -> None:
    """What has happened to a transfer was so much earlier."""
    past = timedelta(seconds=seconds)
    with transaction.atomic():
        execute("SET LOCAL session_replication_role = replica")
        HeldTransfer.objects.filter(pk=transfer_id).update(until=F("until") - past, held_at=F("held_at") - past)
        Transfer.objects.filter(pk=transfer_id).update(
            expires_at=F("expires_at") - past, received_at=F("received_at") - past
        )
        CountedTransfer.objects.filter(pk=transfer_id).update(reserved_at=F("reserved_at") - past)


def hold_state(transfer_id: str) -> str:
    return HeldTransfer.objects.values_list("state", flat=True).get(pk=transfer_id)


def test_a_held_transfer_is_reserved_and_nobody_is_told(world: World) -> None:
    transfer_id = held(world)
    assert state_of(transfer_id) == "RESERVED"
    assert world.position("green") == amount(20)
    assert messages_about(transfer_id) == []
    found = queries.hold_of(transfer_id)
    assert found is not None
    assert timedelta(seconds=3590) < found.until - found.held_at <= timedelta(hours=1)
    assert Decision.objects.get(subject=transfer_id).outcome == "HOLD"
    assert release_held_transfers() == 0
    below = prepare(world, "green", "blue", 10)
    run(below)
    assert messages_about(below.transfer_id) == [("blue", "POST", "prepare")]
    assert world.breaks() == []


def test_the_clock_releases_it_and_the_payee_gets_the_payers_message(committed_world: World) -> None:
    world = committed_world
    activate(hold("PT1H", gate="transfer"))
    body = messages.transfer(amount={"currency": "TZS", "amount": "20"}, expiration=messages.moment(DAY))
    assert dfsp("POST", "/transfers", body).status_code == 202
    transfer_id = body["transferId"]
    stored = bytes(TransferEvent.objects.get(transfer_id=transfer_id).body or b"")
    assert not Message.objects.exists()
    time_passes(transfer_id)
    assert release_held_transfers() == 1
    message = Message.objects.get()
    assert (message.destination.name, message.method, message.path) == ("blue", "POST", "/transfers")
    assert bytes(message.body) == stored
    assert json.loads(stored) == body
    assert (message.headers["fspiop-source"], message.headers["fspiop-destination"]) == ("green", "blue")
    assert message.source_id == world.ids["green"]
    assert hold_state(transfer_id) == "RELEASED"
    assert release_held_transfers() == 0
    assert dfsp("PUT", f"/transfers/{transfer_id}", messages.fulfilment(), source="blue").status_code == 200
    assert state_of(transfer_id) == "COMMITTED"
    assert world.breaks() == []


def test_a_payee_knows_nothing_of_a_held_transfer(world: World) -> None:
    transfer_id = held(world)
    for answer in (fulfil(world, "blue", transfer_id), reject(world, "blue", transfer_id)):
        assert isinstance(run(answer), Unknown)

    def told(source: str, asked: str = transfer_id) -> dict[str, Any]:
        Message.objects.all().delete()
        dfsp("GET", f"/transfers/{asked}", source=source)
        body: dict[str, Any] = json.loads(bytes(Message.objects.get().body))
        return body

    unknown = told("blue", str(uuid.uuid4()))
    assert unknown["errorInformation"]["errorCode"] == "3208"
    assert (told("blue"), told("green")) == (unknown, {"transferState": "RESERVED"})
    assert state_of(transfer_id) == "RESERVED"
    time_passes(transfer_id, DAY + 1)
    assert expire_transfers() == 1
    assert told("blue") == unknown  # the payee never received the transfer
    for answer in (fulfil(world, "blue", transfer_id), reject(world, "blue", transfer_id)):
        assert isinstance(run(answer), Unknown)
    assert told("green")["transferState"] == "ABORTED"


def test_a_payee_can_convert_the_money_of_a_held_transfer_only_after_the_release(world: World) -> None:
    open_scheme(world)
    transfer_id = held(world)

    def converted() -> FxOutcome | Outcome:
        return run_fx(fx_prepare(world, transfer_id, initiator="blue", source=("TZS", 20), target=("KES", 5)))

    outcome = converted()
    assert isinstance(outcome, FxRefused)
    assert outcome.conversion.reason == "TRANSFER_IS_NOT_OPEN"
    assert world.position("fxp", "KES") == 0
    services.release(transfer_id, reason="called", actor="asha, approved by ben")
    assert isinstance(converted(), FxReserved)


def test_a_repeated_prepare_changes_nothing(world: World) -> None:
    activate(hold("PT1H", gate="transfer"))
    command = prepare(world, "green", "blue", 20, expires_in=DAY)
    assert isinstance(run(command), Reserved)
    assert isinstance(run(command), Repeated)
    assert messages_about(command.transfer_id) == [("green", "PUT", "state")]
    assert HeldTransfer.objects.count() == 1


def test_its_expiry_ends_it_and_only_the_payer_is_told(world: World) -> None:
    transfer_id = held(world)
    time_passes(transfer_id, DAY + 1)
    assert release_held_transfers() == 0  # too late
    assert expire_transfers() == 1
    assert (state_of(transfer_id), hold_state(transfer_id)) == ("ABORTED", "ENDED")
    assert messages_about(transfer_id) == [("green", "PUT", "end-to-payer")]
    assert world.position("green") == 0
    assert world.breaks() == []


def test_what_can_not_be_released_in_time_is_refused_at_once(world: World) -> None:
    activate(hold("PT1H", gate="transfer"))
    command = prepare(world, "green", "blue", 20, expires_in=3602)
    outcome = run(command)
    assert isinstance(outcome, Refused)
    assert (outcome.transfer.reason, outcome.transfer.error_code) == ("REFUSED_BY_RULE", "3142")
    assert outcome.transfer.error_description.startswith("The scheme delays this payment until 2")
    assert Decision.objects.get(subject=command.transfer_id).outcome == "REFUSE"
    assert not HeldTransfer.objects.exists()
    assert world.position("green") == 0
    assert world.breaks() == []


def test_the_delay_of_the_quote_binds_the_transfer(committed_world: World) -> None:
    activate(hold("PT1H"))
    money = {"currency": "TZS", "amount": "20"}
    quote = messages.quote(amount=money)
    dfsp("POST", "/quotes", quote, destination="blue")
    terms = messages.terms(transferAmount=money, expiration=messages.moment(DAY))
    dfsp("PUT", f"/quotes/{quote['quoteId']}", terms, source="blue", destination="green")
    activate(hold("PT2H", over="500"))  # other rules, by which this payment would not be held
    body = messages.transfer(amount=money, expiration=messages.moment(DAY))
    dfsp("POST", "/transfers", body)
    found = HeldTransfer.objects.get()
    assert found.pk == body["transferId"]
    assert timedelta(seconds=3590) < found.until - found.held_at <= timedelta(hours=1)


def test_a_delay_beyond_the_payees_terms_is_refused_with_the_earliest_time(committed_world: World) -> None:
    activate(hold("PT1H"))
    money = {"currency": "TZS", "amount": "20"}
    quote = messages.quote(amount=money)
    path = f"/quotes/{quote['quoteId']}"
    dfsp("POST", "/quotes", quote, destination="blue")
    Message.objects.all().delete()
    terms = messages.terms(transferAmount=money, expiration=messages.moment(3600))
    assert dfsp("PUT", path, terms, source="blue", destination="green").status_code == 200
    told = Message.objects.get()
    error = json.loads(bytes(told.body))["errorInformation"]
    assert (told.destination.name, told.path, told.signed_by_hub) == ("green", path + "/error", True)
    assert error["errorCode"] == "3142"
    assert "must not expire before 2" in error["errorDescription"]
    assert Decision.objects.get(gate="answer").code == "3142"
    # A repeated answer changes nothing, and a repeated request gets the error again.
    dfsp("PUT", path, terms, source="blue", destination="green")
    assert Message.objects.count() == 1
    Message.objects.all().delete()
    dfsp("POST", "/quotes", quote, destination="blue")
    again = Message.objects.get()
    assert (again.path, bytes(again.body), again.signed_by_hub) == (told.path, bytes(told.body), True)


def test_a_transfer_is_not_held_beyond_its_terms(committed_world: World) -> None:
    activate(hold("PT1H", over="500"))
    money = {"currency": "TZS", "amount": "20"}
    quote = messages.quote(amount=money)
    dfsp("POST", "/quotes", quote, destination="blue")
    terms = messages.terms(transferAmount=money, expiration=messages.moment(3600))
    dfsp("PUT", f"/quotes/{quote['quoteId']}", terms, source="blue", destination="green")
    activate(hold("PT1H", gate="transfer"))  # the hub could not know this at the quote
    dfsp("POST", "/transfers", messages.transfer(amount=money, expiration=messages.moment(DAY)))
    transfer = Transfer.objects.get()
    assert (transfer.reason, transfer.error_code) == ("REFUSED_BY_RULE", "3142")
    assert "delays this payment until 2" in str(transfer.error_description)


MULES = rule(
    "mules",
    {"fact": "payee.markers", "is": "has_any", "value": ["MULE_ACCOUNT"]},
    {"action": "refuse", "code": "5541"},
    gate="transfer",
    kind="fraud",
)
_BY = {
    "file_marker": ({"party": key_of("MSISDN", "255655001001"), "kind": "MULE_ACCOUNT", "reason": "seen"}, "5541"),
    "kill_switch": (
        {"kind": "CORRIDOR", "on": True, "payer_dfsp": "green", "payee_dfsp": "blue", "reason": "fraud"},
        "3140",
    ),
}

_STOPPED = ("kill_switch", _BY["kill_switch"][0])


@pytest.mark.parametrize("kind", _BY)
@pytest.mark.parametrize("by_people", [False, True])
def test_what_was_marked_or_stopped_during_the_hold_is_not_sent(
    committed_world: World, kind: str, by_people: bool
) -> None:
    world = committed_world
    activate(hold("PT1H"), MULES)
    money = {"currency": "TZS", "amount": "20"}
    quote = messages.quote(amount=money)
    dfsp("POST", "/quotes", quote, destination="blue")
    terms = messages.terms(transferAmount=money, expiration=messages.moment(DAY))
    dfsp("PUT", f"/quotes/{quote['quoteId']}", terms, source="blue", destination="green")
    body = messages.transfer(amount=money, expiration=messages.moment(DAY))
    dfsp("POST", "/transfers", body)
    transfer_id = body["transferId"]
    Message.objects.all().delete()
    payload, code = _BY[kind]
    decide(kind, payload)
    matches.forget()
    markers.forget()
    if by_people:
        with pytest.raises(changes.NotApproved, match=code):
            people("release_held", transfer=transfer_id)
        assert hold_state(transfer_id) == "HELD"
        return
    time_passes(transfer_id)
    assert release_held_transfers() == 2  # refused, and then aborted
    transfer = Transfer.objects.get()
    assert (transfer.state, transfer.error_code, hold_state(transfer_id)) == ("ABORTED", code, "REFUSED")
    assert messages_about(transfer_id) == [("green", "PUT", "end-to-payer")]
    assert Decision.objects.get(gate="release").code == code
    assert world.breaks() == []


def test_the_transfers_of_a_batch_are_locked_before_any_hold_is_changed(world: World) -> None:
    ids = [held(world) for _ in "12"]
    decide(*_STOPPED)
    matches.forget()
    for each in ids:
        time_passes(each)
    with counted_statements() as sent:
        assert release_held_transfers() == 4  # refused, and then aborted
    locks = [n for n, each in enumerate(sent) if "ledger_transfer t" in each and "FOR NO KEY UPDATE" in each]
    changes_of_holds = [n for n, each in enumerate(sent) if each.lstrip().startswith('UPDATE "ledger_heldtransfer"')]
    assert len(changes_of_holds) == 2
    assert locks[0] < changes_of_holds[0]

    with counted_statements() as sent, pytest.raises(FspiopError, match="not held any more"):
        services.refuse(ids[0], code="4540", reason="late", actor="asha")
    assert "FOR NO KEY UPDATE" in sent[0]


def people(kind: str, **payload: Any) -> None:
    """One risk officer asks, and another one approves."""
    asha, ben = (visitor_for(person(Role.RISK, name=name)) for name in ("asha", "ben"))
    full = {"reason": "checked", **payload}
    approval = changes.ask(asha, kind, subject=payload["transfer"], payload=full, reason="checked")
    with pytest.raises(changes.NotApproved):
        changes.approve(asha, approval.pk)
    changes.approve(ben, approval.pk)


def test_two_people_release_it(world: World) -> None:
    transfer_id = held(world)
    people("release_held", transfer=transfer_id)
    assert messages_about(transfer_id) == [("blue", "POST", "prepare")]
    found = HeldTransfer.objects.get()
    assert (found.state, found.actor) == ("RELEASED", "asha, approved by ben")
    assert Entry.objects.filter(action="held_transfer_released", subject=transfer_id).count() == 1
    with pytest.raises(FspiopError, match="not held any more"):
        services.release(transfer_id, reason="again", actor="asha")
    run(fulfil(world, "blue", transfer_id))
    assert state_of(transfer_id) == "COMMITTED"
    assert world.breaks() == []


def test_two_people_refuse_it_with_a_code_of_the_scheme(world: World) -> None:
    transfer_id = held(world)
    people("refuse_held", transfer=transfer_id, code="4540")
    with pytest.raises(FspiopError, match="not held any more"):
        services.release(transfer_id, reason="after all", actor="asha")
    assert state_of(transfer_id) == "RESERVED"
    time_passes(transfer_id)
    assert release_held_transfers() == 1  # aborted, not released
    assert (state_of(transfer_id), hold_state(transfer_id)) == ("ABORTED", "REFUSED")
    transfer = Transfer.objects.get(pk=transfer_id)
    assert (transfer.reason, transfer.error_code) == ("REFUSED_WHILE_HELD", "4540")
    assert messages_about(transfer_id) == [("green", "PUT", "end-to-payer")]
    error = json.loads(bytes(Message.objects.get().body))["errorInformation"]
    assert error == {"errorCode": "4540", "errorDescription": "Payer may not send"}
    assert world.position("green") == 0
    assert world.breaks() == []


def test_a_refusal_needs_a_code_of_the_scheme(world: World) -> None:
    transfer_id = held(world)
    with pytest.raises(changes.NotApproved):
        people("refuse_held", transfer=transfer_id, code="4001")
    assert HeldTransfer.objects.get().refusal_code is None


def test_a_transfer_that_was_released_is_not_refused(world: World) -> None:
    transfer_id = held(world)
    services.release(transfer_id, reason="checked", actor="asha")
    with pytest.raises(FspiopError):
        services.refuse(transfer_id, code="4540", reason="late", actor="asha")
    (outcome,) = engine.run([RefuseHeld(transfer_id, error_code="4540")])
    assert isinstance(outcome, Ignored)
    assert state_of(transfer_id) == "RESERVED"


def test_a_bulk_contains_no_delayed_item(world: World) -> None:
    activate(hold("PT1H", gate="transfer"))
    command = bulk_prepare(world, "green", "blue", [20, 10], expires_in=DAY)
    run_bulk(command)
    assert sorted(Transfer.objects.values_list("state", "error_code")) == [("ABORTED", "3140"), ("RESERVED", None)]
    assert not HeldTransfer.objects.exists()
    assert world.breaks() == []


def test_the_database_keeps_a_hold_as_it_was_and_ends_it_once(world: World) -> None:
    transfer_id = held(world)
    rows = HeldTransfer.objects.filter(pk=transfer_id)
    faulty: list[dict[str, Any]] = [
        {"until": F("until") + timedelta(days=1)},
        {"state": "RELEASED"},  # without its time
        {"state": "REFUSED", "ended_at": F("until")},  # without its code
        {"refusal_code": "4540"},  # by nobody
    ]
    for values in faulty:
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.update(**values)
    with pytest.raises(DatabaseError), transaction.atomic():
        rows.delete()
    services.release(transfer_id, reason="checked", actor="asha")
    with pytest.raises(DatabaseError), transaction.atomic():
        rows.update(state="HELD", ended_at=None)


def breaks_after(world: World, *statements: str) -> list[str]:
    """What is broken after these statements, which are rolled back."""
    with transaction.atomic():
        execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            execute(statement)
        found = world.breaks()
        transaction.set_rollback(True)
    return found


def test_each_invariant_of_holds_is_broken_by_what_it_forbids(world: World) -> None:
    transfer_id = held(world)
    corruptions = {
        "what_is_held_is_reserved": "state = 'ENDED', ended_at = now()",
        "nothing_is_held_too_long": "until = now() - interval '1 minute'",
        "people_who_decide_about_a_held_transfer_are_in_the_audit_trail": "actor = 'nobody', refusal_code = '4540'",
        "everyone_is_told": "state = 'RELEASED', ended_at = now()",
    }
    for name, change in corruptions.items():
        assert name in breaks_after(world, f"UPDATE ledger_heldtransfer SET {change}")
    services.release(transfer_id, reason="checked", actor="asha")
    again = "UPDATE ledger_heldtransfer SET state = 'HELD', ended_at = NULL, actor = ''"
    assert breaks_after(world, again) == ["nobody_is_told_what_did_not_happen"]
    assert world.breaks() == []


def test_of_release_refusal_and_expiry_at_once_one_happens(committed_world: World) -> None:
    world = committed_world
    for _ in range(4):
        transfer_id = held(world)
        time_passes(transfer_id, 3600)
        other = str(uuid.uuid4())
        results = together(
            [
                partial(services.release, transfer_id, reason="ok", actor="asha"),
                partial(services.refuse, transfer_id, code="4540", reason="no", actor="ben"),
                release_held_transfers,
                release_held_transfers,
                lambda id=transfer_id: engine.run([Expire(id)]),  # type: ignore[misc]
                lambda id=other: engine.run([Expire(id)]),  # type: ignore[misc]
            ]
        )
        faults = [each for each in results if isinstance(each, BaseException) and not isinstance(each, FspiopError)]
        assert faults == []
        release_held_transfers()
        sent = messages_about(transfer_id)
        if hold_state(transfer_id) == "RELEASED":
            assert sent == [("blue", "POST", "prepare")]
            assert state_of(transfer_id) == "RESERVED"
        else:
            assert hold_state(transfer_id) == "REFUSED"
            assert sent == [("green", "PUT", "end-to-payer")]
    assert invariants.find_breaks() == []
    connection.close()


def test_a_late_expiry_does_not_overlook_a_release(committed_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release commits after the expiry has looked at the hold, and before it saves."""
    world = committed_world
    transfer_id = held(world)
    save = store.save
    tries: list[int] = []

    def saved_after_a_release(outcomes: Any, snapshot: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            together([partial(execute, _RELEASED_BY_ANOTHER, [transfer_id])])
        save(outcomes, snapshot)

    with monkeypatch.context() as patched:
        patched.setattr(store, "save", saved_after_a_release)
        (outcome,) = engine.run([RefuseHeld(transfer_id, error_code="4540")])
    assert isinstance(outcome, Ignored | Aborted)
    assert len(tries) == 2
    assert isinstance(outcome, Ignored)
    assert state_of(transfer_id) == "RESERVED"


_RELEASED_BY_ANOTHER = (
    "UPDATE ledger_heldtransfer SET state = 'RELEASED', ended_at = now(), actor = 'asha' WHERE transfer_id = %s"
)


def test_the_list_of_ended_holds_is_read_in_the_order_of_its_index(world: World) -> None:
    with transaction.atomic():
        # In tables with few rows, a plan with a sort is not more expensive, depending on what PostgreSQL knows of them.
        execute("SET LOCAL enable_seqscan = off")
        execute("SET LOCAL enable_sort = off")
        plan = queries.ended()[:50].explain()
    assert "held_transfer_ended" in plan, plan
    assert "Sort" not in plan, plan
