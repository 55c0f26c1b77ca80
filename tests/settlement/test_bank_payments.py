"""The bank's payments are recorded as funds in and out in the transaction that settles, once, and never in part."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hub.audit.models import Approval, Entry
from hub.audit.trail import broken_links
from hub.sql_execution import execute
from ledger import accounts_and_funds, queries, settlement_funds_in_and_out, settlement_postings
from ledger.accounts_and_funds import RecordedWithSettlement
from ledger.models import Account, CoverHold, FundsMovement
from portal import changes
from portal.changes import NotApproved
from portal.changes.settlements_and_cover_holds import payment_terms
from portal.permissions import Role
from portal.visitor import visitor_for
from settlement import services
from settlement.models import Payment, Settlement, StatementLine
from settlement.services import bank_payments, bank_statements
from settlement.states import State
from tests.concurrency.together import together
from tests.ledger.test_guards import Guard, prove
from tests.portal.people import browser, person
from tests.portal.test_participants import approve, latest, text_of
from tests.portal.test_requests_checked_when_made import statement_of, take_in
from tests.settlement.operator_steps import add_model, close, pay
from tests.world import World, amount


def settlement_with_statement(world: World, **model: Any) -> Settlement:
    """green owes 100 and red owes 30 to blue; all are reset in the hub, and the bank's statement matches."""
    add_model(**model)
    pay(world, "green", "blue", 100)
    pay(world, "red", "blue", 30)
    made = services.create(model_name="DEFERREDNET", window_ids=[close()], reason="test", actor="test")
    services.advance(made.pk, to=State.PS_TRANSFERS_COMMITTED, reason="test", actor="test")
    settlement = Settlement.objects.select_related("model").get(pk=made.pk)
    take_in(settlement)
    return settlement


def held(world: World, name: str) -> int:
    """A participant's money at the bank, in whole units."""
    return -queries.value_of(world.account(name, "SETTLEMENT")) // 10_000


def cover(world: World, name: str) -> int:
    return queries.cover_of(world.account(name, "SETTLEMENT")) // 10_000


def settle(settlement: Settlement) -> None:
    """As the approval does."""
    statement = bank_payments.evidence(settlement)
    assert statement is not None
    with transaction.atomic():
        bank_payments.settle(
            settlement.pk,
            statement_id=statement.pk,
            agreed=[each.terms() for each in bank_payments.proposed(settlement, statement)],
            reason="paid",
            actor="test",
            references={},
        )


def withdraw(world: World, name: str, text: int, reference: str, *, ends: bool = True) -> str:
    account, transfer_id = world.account(name, "SETTLEMENT"), str(uuid.uuid4())
    said = {"reason": "test", "external_reference": reference, "actor": "test"}
    accounts_and_funds.prepare_funds_out(account, transfer_id=transfer_id, amount=amount(text), **said)
    if ends:
        accounts_and_funds.end_funds_out(account, transfer_id=transfer_id, commits=True, **said)
    return transfer_id


def funds_in(world: World, name: str, text: int, reference: str) -> None:
    accounts_and_funds.record_funds_in(
        world.account(name, "SETTLEMENT"),
        transfer_id=str(uuid.uuid4()),
        amount=amount(text),
        reason="test",
        external_reference=reference,
        actor="test",
    )


@pytest.mark.django_db
def test_every_payment_is_recorded_with_settled_and_the_hold_ends(world: World) -> None:
    settlement = settlement_with_statement(world)
    assert (held(world, "green"), cover(world, "green")) == (5000, 4900)
    settle(settlement)
    settlement.refresh_from_db()
    assert settlement.state == "SETTLED"
    assert [held(world, name) for name in ("green", "red", "blue")] == [4900, 4970, 5130]
    assert [cover(world, name) for name in ("green", "red", "blue")] == [4900, 4970, 5130]
    assert set(CoverHold.objects.values_list("remaining", flat=True)) == {0}
    assert Payment.objects.count() == 3
    assert set(FundsMovement.objects.filter(reason="paid").values_list("external_reference", flat=True)) == {
        str(settlement.pk)
    }
    assert world.breaks() == []
    with pytest.raises(bank_payments.NotPaid):
        settle(settlement)
    assert held(world, "green") == 4900


@pytest.mark.django_db
def test_what_was_recorded_by_hand_or_released_is_not_recorded_again(world: World) -> None:
    settlement = settlement_with_statement(world)
    withdraw(world, "green", 60, str(settlement.pk))
    account = world.account("red", "SETTLEMENT")
    accounts_and_funds.release_hold(account, settlement_number=settlement.pk, reason="cash", actor="test")
    line = settlement.accounts.get(account__participant__name="blue")
    funds_in(world, "blue", 50, f"B{line.pk}")  # the bank's reference in the statement
    funds_in(world, "blue", 7, "something else")
    settle(settlement)
    assert [held(world, name) for name in ("green", "red", "blue")] == [4900, 5000, 5137]
    assert {
        (each.account.account.participant.name, each.otherwise // 10_000, each.movement is not None)
        for each in Payment.objects.select_related("account__account__participant", "movement")
    } == {("green", 60, True), ("red", 30, False), ("blue", 50, True)}
    assert world.breaks() == []


def references_of(settlement: Settlement, name: str) -> list[str]:
    """Every reference that names this participant's payment."""
    account = settlement.accounts.get(account__participant__name=name)
    line = StatementLine.objects.get(account=account)
    return [str(settlement.pk), account.transfer_id, line.reference, line.bank_reference]


@pytest.mark.django_db
def test_what_a_settlement_has_recorded_is_not_recorded_again_by_hand(world: World) -> None:
    settlement = settlement_with_statement(world)
    account = world.account("green", "SETTLEMENT")
    reserved = withdraw(world, "green", 100, "the bank's number is not known yet", ends=False)
    settle(settlement)
    for reference in references_of(settlement, "blue"):
        with pytest.raises(RecordedWithSettlement):
            funds_in(world, "blue", 130, reference)
    for reference in references_of(settlement, "green"):
        with pytest.raises(RecordedWithSettlement):
            withdraw(world, "green", 100, reference)
        said = {"reason": "paid", "external_reference": reference, "actor": "test"}
        with pytest.raises(RecordedWithSettlement):
            accounts_and_funds.end_funds_out(account, transfer_id=reserved, commits=True, **said)
    accounts_and_funds.end_funds_out(account, transfer_id=reserved, commits=False, reason="paid", actor="test")
    assert [held(world, name) for name in ("green", "red", "blue")] == [4900, 4970, 5130]
    # Other money is no payment of the settlement: money in the other direction, of others, or without a reference.
    funds_in(world, "green", 1, str(settlement.pk))
    funds_in(world, "grey", 1, str(settlement.pk))
    funds_in(world, "blue", 1, "")
    assert [held(world, name) for name in ("green", "grey", "blue")] == [4901, 5001, 5131]
    assert world.breaks() == []


@pytest.mark.django_db
def test_a_reserved_withdrawal_or_a_change_meanwhile_settles_nothing(world: World) -> None:
    settlement = settlement_with_statement(world)
    statement = bank_payments.evidence(settlement)
    assert statement is not None
    before = [each.terms() for each in bank_payments.proposed(settlement, statement)]
    said = {"statement_id": statement.pk, "reason": "paid", "actor": "test", "references": {}}
    transfer_id = withdraw(world, "green", 60, str(settlement.pk), ends=False)
    with pytest.raises(bank_payments.NotPaid, match="green has a reserved withdrawal"):
        settle(settlement)
    with pytest.raises(bank_payments.Differs), transaction.atomic():
        bank_payments.settle(settlement.pk, agreed=before, **said)
    accounts_and_funds.end_funds_out(
        world.account("green", "SETTLEMENT"), transfer_id=transfer_id, commits=False, reason="no", actor="test"
    )
    with pytest.raises(bank_payments.Differs), transaction.atomic():
        bank_payments.settle(settlement.pk, agreed=before, **said | {"statement_id": statement.pk + 1})
    settlement.refresh_from_db()
    assert (settlement.state, Payment.objects.count(), held(world, "green")) == ("PS_TRANSFERS_COMMITTED", 0, 5000)
    with transaction.atomic():
        bank_payments.settle(settlement.pk, agreed=before, **said)
    assert world.breaks() == []


@pytest.mark.django_db
def test_the_number_of_statements_of_a_proposal_is_fixed(world: World, django_assert_max_num_queries: object) -> None:
    settlement = settlement_with_statement(world)
    statement = bank_payments.evidence(settlement)
    assert statement is not None
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        bank_payments.proposed(settlement, statement)


def _statements(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> list[str]:
    """Every statement that the work sends to PostgreSQL. The ledger's own statements go past what Django counts."""
    sent: list[str] = []

    def counted(statement: str, parameters: Any = ()) -> Any:
        sent.append(statement)
        return execute(statement, parameters)

    with monkeypatch.context() as patched, CaptureQueriesContext(connection) as captured:
        for module in (settlement_funds_in_and_out, settlement_postings):
            patched.setattr(module, "execute", counted)
        work()
    return sent + [query["sql"] for query in captured.captured_queries]


@pytest.mark.django_db
def test_the_number_of_statements_that_settle_does_not_depend_on_the_participants(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = settlement_with_statement(world)
    for_three = _statements(monkeypatch, lambda: settle(three))
    pay(world, "green", "blue", 100)
    made = services.create(model_name="DEFERREDNET", window_ids=[close()], reason="test", actor="test")
    services.advance(made.pk, to=State.PS_TRANSFERS_COMMITTED, reason="test", actor="test")
    two = Settlement.objects.select_related("model").get(pk=made.pk)
    take_in(two)
    for_two = _statements(monkeypatch, lambda: settle(two))
    assert (three.accounts.count(), two.accounts.count()) == (3, 2)
    assert len(for_three) == len(for_two), (len(for_three), len(for_two))
    assert [
        (entry.subject, entry.action) for entry in Entry.objects.filter(action__startswith="funds_").order_by("id")
    ][-3:] == [("green", "funds_out_reserved"), ("green", "funds_out_committed"), ("blue", "funds_in")]
    assert list(broken_links()) == []


@pytest.mark.django_db
def test_a_request_to_record_payments_is_checked_and_locks_no_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settlement = settlement_with_statement(world)
    maker = visitor_for(person(Role.SETTLEMENT, name="asha"))
    statement = bank_payments.evidence(settlement)
    assert statement is not None
    payload = payment_terms(settlement, statement, "paid")

    def ask() -> Approval:
        subject = f"settlement {settlement.pk}"
        return changes.ask(maker, "settle_with_payments", subject=subject, payload=payload, reason="paid")

    sent = _statements(monkeypatch, ask)
    assert [each for each in sent if "UPDATE" in each] == []
    transfer_id = withdraw(world, "green", 60, str(settlement.pk), ends=False)
    payload = payment_terms(settlement, statement, "paid")
    with pytest.raises(NotApproved, match="green has a reserved withdrawal"):
        ask()
    said = {"transfer_id": transfer_id, "commits": False, "reason": "no", "actor": "test"}
    accounts_and_funds.end_funds_out(world.account("green", "SETTLEMENT"), **said)
    with pytest.raises(NotApproved, match="The data has changed"):
        ask()
    payload = payment_terms(settlement, statement, "paid")
    Account.objects.filter(pk=world.account("green", "SETTLEMENT").pk).update(is_active=False)
    with pytest.raises(NotApproved, match="not active"):
        ask()
    assert Approval.objects.count() == 1


@pytest.fixture
def two(world: World) -> tuple[Client, Client]:
    return browser(Role.SETTLEMENT), browser(Role.RISK)


@pytest.mark.django_db
def test_the_page_proposes_and_two_people_settle(world: World, two: tuple[Client, Client]) -> None:
    officer, checker = two
    settlement = settlement_with_statement(world)
    path = f"/portal/settlement/{settlement.pk}/"
    page = text_of(officer, path)
    for part in ("Record payments and settle", "Payments to record", "100.00", "30.00", "130.00"):
        assert part in page, part
    asked = officer.post(f"{path}pay/", {"reason": "the bank paid"})
    assert asked.status_code == 302, asked.content.decode()
    assert "Open request" in text_of(officer, path)
    told = text_of(checker, f"/portal/approvals/{latest().pk}/")
    for part in ("green, funds out", "100.00", "blue, funds in", "130.00", "Total of funds out", "every line matches"):
        assert part in told, part
    assert held(world, "green") == 5000
    assert "has taken effect" in approve(checker)
    assert held(world, "green") == 4900
    page = text_of(officer, path)
    assert "Payments of the bank" in page
    assert "Next step" not in page
    assert officer.get(f"{path}pay/").status_code == 404
    assert world.breaks() == []


@pytest.mark.django_db
def test_funds_recorded_by_hand_meanwhile_withdraw_the_request(world: World, two: tuple[Client, Client]) -> None:
    officer, checker = two
    settlement = settlement_with_statement(world)
    officer.post(f"/portal/settlement/{settlement.pk}/pay/", {"reason": "the bank paid"})
    assert changes.withdraw_outdated() == 0
    withdraw(world, "green", 60, str(settlement.pk))
    assert "The hub has withdrawn this request" in approve(checker)
    assert latest().state == "WITHDRAWN"
    assert held(world, "green") == 4940


@pytest.mark.django_db
def test_funds_recorded_by_hand_meanwhile_lead_the_page_back_to_the_next_step(
    world: World, two: tuple[Client, Client]
) -> None:
    officer, _checker = two
    settlement = settlement_with_statement(world)
    path = f"/portal/settlement/{settlement.pk}/"
    officer.post(f"{path}pay/", {"reason": "the bank paid"})
    transfer_id = withdraw(world, "green", 60, str(settlement.pk), ends=False)
    assert changes.withdraw_outdated() == 1  # the withdrawal is a part of green's payment, whatever its outcome
    said = {"transfer_id": transfer_id, "commits": True, "reason": "paid", "actor": "test"}
    accounts_and_funds.end_funds_out(world.account("green", "SETTLEMENT"), **said)
    page = text_of(officer, path)
    assert "Record payments and settle" in page
    assert "Open request" not in page


@pytest.mark.django_db
def test_requests_by_hand_from_before_the_settlement_book_no_payment_a_second_time(
    world: World, two: tuple[Client, Client]
) -> None:
    officer, checker = two
    settlement = settlement_with_statement(world)
    number = str(settlement.pk)
    asked = {}
    for name, movement, text in (
        ("blue", "funds-in", "130"),
        ("green", "funds-out", "100"),
        ("red", "funds-out", "30"),
    ):
        said = {"amount": text, "reference": number, "reason": "r"}
        assert officer.post(f"/portal/participants/{name}/TZS/{movement}/", said).status_code == 302
        asked[name] = latest().pk
    assert changes.withdraw_outdated() == 0
    settle(settlement)
    for name in ("blue", "green"):
        page = checker.post(f"/portal/approvals/{asked[name]}/approve/", follow=True).content.decode()
        assert "The hub has withdrawn this request" in page
    assert changes.withdraw_outdated() == 1
    assert set(Approval.objects.values_list("state", flat=True)) == {"WITHDRAWN"}
    answer = officer.post(
        "/portal/participants/blue/TZS/funds-in/", {"amount": "1", "reference": number, "reason": "r"}
    )
    assert f"The hub has already recorded this payment, together with settlement {number}." in answer.content.decode()
    assert [held(world, name) for name in ("green", "red", "blue")] == [4900, 4970, 5130]


@pytest.mark.django_db
def test_a_model_that_leaves_the_positions_gets_no_payments_which_would_count_twice(world: World) -> None:
    settlement = settlement_with_statement(world, autoPositionReset=False)
    assert not bank_payments.is_for_funds(settlement)
    with pytest.raises(bank_payments.NotPaid):
        settle(settlement)
    assert held(world, "blue") == 5000


@pytest.mark.django_db
def test_the_page_names_the_next_step_what_is_late_and_what_differs(
    world: World, two: tuple[Client, Client], settings: object
) -> None:
    officer, _checker = two
    add_model()
    pay(world, "green", "blue", 100)
    made = services.create(model_name="DEFERREDNET", window_ids=[close()], reason="test", actor="test")
    path = f"/portal/settlement/{made.pk}/"
    settings.SETTLEMENT_LATE_S = 0  # type: ignore[attr-defined]
    page = text_of(officer, path)
    assert "Fix the net amounts of the participants." in page
    assert ">late<" in page
    settings.SETTLEMENT_LATE_S = 3600  # type: ignore[attr-defined]
    assert ">late<" not in text_of(officer, path)
    services.advance(made.pk, to=State.PS_TRANSFERS_COMMITTED, reason="test", actor="test")
    assert "Upload the bank" in text_of(officer, path)
    take_in(made, wrong=True)
    page = text_of(officer, path)
    for part in ("What differs from the bank", ">Debit</span> 100.00 TZS", ">Debit</span> 101.00 TZS", "OTHER_AMOUNT"):
        assert part in page, part
    assert officer.get(f"{path}pay/").status_code == 404
    bank_statements.take_in(made.pk, name="s", octets=statement_of(made), actor="test")
    assert "What differs from the bank" not in text_of(officer, path)


def _decide(checker: User, approval: Approval) -> str:
    try:
        changes.approve(visitor_for(checker), approval.pk)
    except NotApproved as reason:
        return str(reason)
    return "approved"


@pytest.mark.django_db(transaction=True)
def test_two_checkers_and_two_requests_at_once_record_the_payments_once(committed_world: World) -> None:
    world = committed_world
    settlement = settlement_with_statement(world)
    maker = person(Role.SETTLEMENT, name="asha")
    checkers = [person(Role.RISK, name=name) for name in ("juma", "neema", "baraka", "zuri")]
    statement = bank_payments.evidence(settlement)
    assert statement is not None
    asked = [
        changes.ask(
            visitor_for(maker),
            "settle_with_payments",
            subject=f"settlement {settlement.pk}",
            payload=payment_terms(settlement, statement, "paid"),
            reason="paid",
        )
        for _ in range(2)
    ]
    said = together([partial(_decide, checker, asked[n % 2]) for n, checker in enumerate(checkers)])
    assert said.count("approved") == 1, said
    assert [held(world, name) for name in ("green", "red", "blue")] == [4900, 4970, 5130]
    assert FundsMovement.objects.filter(reason="paid").count() == Payment.objects.count() == 3
    assert world.breaks() == []


@pytest.mark.django_db(transaction=True)
def test_payments_and_withdrawals_by_hand_at_once_never_pay_twice(committed_world: World) -> None:
    world = committed_world
    settlement = settlement_with_statement(world)

    def by_hand() -> str:
        try:
            return withdraw(world, "green", 100, str(settlement.pk))
        except RecordedWithSettlement:
            return "recorded already"

    def pay_all() -> str:
        try:
            settle(settlement)
        except (bank_payments.NotPaid, bank_payments.Differs):
            return "no"
        return "settled"

    together([by_hand, pay_all])
    if Settlement.objects.get(pk=settlement.pk).state != "SETTLED":
        settle(Settlement.objects.select_related("model").get(pk=settlement.pk))
    assert held(world, "green") == 4900
    assert world.breaks() == []


GUARDS = [
    Guard(
        "payments_are_only_ever_added",
        "settlement_payment",
        "UPDATE settlement_payment SET otherwise = otherwise + 1",
        "what_the_bank_paid_is_recorded_once",
        is_trigger=True,
    ),
    Guard(
        "a_payment_is_of_what_the_bank_moved",
        "settlement_payment",
        """INSERT INTO settlement_payment (account_id, movement_id, line_id, otherwise)
           SELECT (SELECT min(sa.id) FROM settlement_settlementaccount sa WHERE sa.state <> 'SETTLED' AND sa.net > 0),
                  (SELECT min(m.transfer_id) FROM ledger_fundsmovement m
                   WHERE NOT EXISTS (SELECT FROM settlement_payment p WHERE p.movement_id = m.transfer_id)),
                  (SELECT min(l.id) FROM settlement_statementline l
                   WHERE NOT EXISTS (SELECT FROM settlement_payment p WHERE p.line_id = l.id)),
                  0""",
        "what_the_bank_paid_is_recorded_once",
        is_trigger=True,
    ),
]


def live(world: World) -> None:
    """Leaves a settlement with payments, and one that waits for its bank with a statement."""
    settle(settlement_with_statement(world))
    pay(world, "blue", "red", 10)
    other = services.create(model_name="DEFERREDNET", window_ids=[close()], reason="test", actor="test")
    services.advance(other.pk, to=State.PS_TRANSFERS_COMMITTED, reason="test", actor="test")
    take_in(other)


@pytest.fixture
def lived_in(db: None) -> World:
    return World.after(live)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_what_a_guard_refuses_would_break_an_invariant(lived_in: World, guard: Guard) -> None:
    prove(guard, lived_in)


@pytest.mark.django_db
def test_a_payment_has_one_account_one_movement_and_one_line(world: World) -> None:
    settle(settlement_with_statement(world))
    copy = """INSERT INTO settlement_payment (account_id, movement_id, line_id, otherwise)
              SELECT account_id, movement_id, line_id, otherwise FROM settlement_payment LIMIT 1"""
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(copy)
