"""Test money (XTS) moves between accounts, and is never settled or converted, whatever operators do."""

import io
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.http import HttpResponse
from django.test import override_settings
from django.utils import timezone

from fspiop.errors import FspiopError
from fspiop.time import format_datetime
from hub.audit.models import Entry
from hub.participants import offboarding
from hub.participants import services as participants
from hub.participants.models import CurrencyPair, Participant
from ledger import accounts_and_funds, engine
from ledger.models import Account, FxTransfer, SettlementWindow
from portal.certification import certifier_participant
from settlement.models import SettlementModel, WindowContent
from settlement.services import closing_participants
from settlement.window_nets import of_window
from tests import fx_world
from tests.api.caller import admin, description_of, dfsp, error_of
from tests.keys import CONDITION
from tests.settlement.operator_steps import add_model, close, onboard_in, pay, settle, settle_all
from tests.world import World, fulfil, prepare, run


def test_test_money_is_in_no_total_and_no_settlement(world: World) -> None:
    onboard_in(world, "XTS")
    assert add_model().status_code == 201  # settles all currencies without a model of their own
    pay(world, "green", "blue", 5, "XTS")
    pay(world, "green", "blue", 7)
    window = SettlementWindow.objects.get(state="OPEN")
    assert {net.currency for net in of_window(window)} == {"TZS"}
    number = close()
    assert [content.currency for content in WindowContent.objects.filter(window_id=number)] == ["TZS"]
    assert {net.currency for net in of_window(SettlementWindow.objects.get(pk=number))} == {"TZS"}
    settle_all(settle(number))
    assert world.position("green", "XTS") == 50_000
    assert world.position("green") == 0
    assert world.breaks() == []


def test_a_window_of_test_money_alone_is_settled_at_once(world: World) -> None:
    onboard_in(world, "XTS")
    pay(world, "green", "blue", 5, "XTS")
    number = close()
    assert SettlementWindow.objects.get(pk=number).state == "SETTLED"
    assert world.breaks() == []


ENDPOINT = "http://127.0.0.1:9/endpoint"


def make_certifier() -> None:
    participants.create(name=settings.CERTIFIER_NAME, is_certifier=True, actor="test")


def conversion() -> dict[str, object]:
    return {
        "commitRequestId": str(uuid.uuid4()),
        "determiningTransferId": str(uuid.uuid4()),
        "initiatingFsp": "green",
        "counterPartyFsp": "blue",
        "sourceAmount": {"amount": "5", "currency": "XTS"},
        "targetAmount": {"amount": "5", "currency": "TZS"},
        "condition": CONDITION,
        "expiration": format_datetime(datetime.now(UTC) + timedelta(seconds=60)),
    }


def convert() -> HttpResponse:
    headers = {"accept": "application/vnd.interoperability.fxTransfers+json;version=2"}
    return dfsp("POST", "/fxTransfers", conversion(), version="2.0", headers=headers)


PAIR = {"sourceCurrency": "XTS", "targetCurrency": "TZS"}


def test_a_hub_that_never_certified_a_dfsp_converts_xts_as_mojaloops_suites_do(committed_world: World) -> None:
    world = committed_world
    onboard_in(world, "XTS")
    assert admin("POST", "/participants/blue/currencyPairs", PAIR).status_code == 201
    assert convert().status_code == 202
    assert FxTransfer.objects.filter(source_currency="XTS").count() == 1
    assert world.breaks() == []


def agreed_conversion(world: World) -> tuple[str, str]:
    """(conversion, transfer): red has agreed to convert green's XTS to TZS for a transfer that does not exist yet."""
    world.onboard("red", ndc=1000, cover=5000, currency="XTS")
    transfer_id = str(uuid.uuid4())
    c = fx_world.agreed(world, transfer_id, fxp="red", source=("XTS", 5), target=("TZS", 100))
    return c.commit_request_id, transfer_id


def commit(world: World, transfer_id: str) -> None:
    run(prepare(world, "green", "blue", 100, transfer_id=transfer_id))
    run(fulfil(world, "blue", transfer_id))


@pytest.mark.parametrize("certifier_comes", ["never", "before the commit", "after the commit"])
def test_a_conversion_of_xts_from_before_the_certifier_commits_and_the_ledger_is_right(
    committed_world: World, certifier_comes: str
) -> None:
    world = committed_world
    onboard_in(world, "XTS")
    conversion_id, transfer_id = agreed_conversion(world)
    if certifier_comes == "before the commit":
        certifier_participant.set_up(endpoint=ENDPOINT)
    commit(world, transfer_id)
    if certifier_comes == "after the commit":
        certifier_participant.set_up(endpoint=ENDPOINT)
    assert fx_world.fx_state_of(conversion_id) == "COMMITTED"
    assert world.position("red", "XTS") == -50_000
    call_command("check_ledger", stdout=io.StringIO())


def test_the_ledger_is_wrong_if_xts_was_converted_after_the_certifier_came(world: World) -> None:
    onboard_in(world, "XTS")
    _, transfer_id = agreed_conversion(world)
    commit(world, transfer_id)
    make_certifier()
    Participant.objects.filter(is_certifier=True).update(created_at=timezone.now() - timedelta(hours=1))
    assert world.breaks() == ["test_money_never_settles"]


def test_a_conversion_that_meets_the_new_certifier_is_refused_like_all_later_ones(committed_world: World) -> None:
    """The certifier comes after the view's check."""
    onboard_in(committed_world, "XTS")
    make_certifier()
    command = fx_world.fx_prepare(
        committed_world, str(uuid.uuid4()), fxp="blue", source=("XTS", 5), target=("TZS", 100)
    )
    with pytest.raises(FspiopError, match="XTS is for tests, and is never converted") as refused:
        engine.submit(command)
    assert (refused.value.code, refused.value.http_status) == ("3100", 400)
    assert not FxTransfer.objects.exists()


def test_a_conversion_that_arrives_while_the_certifier_is_made_waits_and_is_refused(committed_world: World) -> None:
    """Otherwise it could arrive after the certifier was created, and `check_ledger` would never accept it."""
    onboard_in(committed_world, "XTS")
    answers: list[int] = []

    def send() -> None:
        answers.append(convert().status_code)
        connection.close()

    sending = threading.Thread(target=send)
    with transaction.atomic():
        certifier_participant._certifier()
        sending.start()
        sending.join(0.5)
        assert answers == []
    sending.join(10)
    assert answers == [400]
    assert committed_world.breaks() == []


@pytest.fixture
def unmarked(world: World) -> Iterator[Participant]:
    """The certification created this participant, but a migration under another CERTIFIER_NAME did not mark it."""
    found = participants.create(name="tester", actor="certification")
    with override_settings(CERTIFIER_NAME="tester"):
        yield found


def test_a_certifier_that_is_not_marked_yet_is_marked(unmarked: Participant) -> None:
    assert certifier_participant.set_up(endpoint=ENDPOINT).participant.is_certifier
    unmarked.refresh_from_db()
    assert unmarked.is_certifier
    assert Entry.objects.filter(subject="tester", action="participant_marked_as_certifier").count() == 1
    certifier_participant.set_up(endpoint=ENDPOINT)
    assert Entry.objects.filter(subject="tester", action="participant_marked_as_certifier").count() == 1


def test_an_old_participant_does_not_become_the_certifier_of_a_hub_that_has_converted_xts_since(
    world: World, unmarked: Participant
) -> None:
    onboard_in(world, "XTS")
    agreed_conversion(world)
    with pytest.raises(FspiopError, match="choose another CERTIFIER_NAME"):
        certifier_participant.set_up(endpoint=ENDPOINT)
    unmarked.refresh_from_db()
    assert not unmarked.is_certifier
    assert world.breaks() == []


def test_an_unmarked_certifier_is_not_marked_while_a_participant_offers_to_convert_xts(
    unmarked: Participant,
) -> None:
    blue = Participant.objects.get(name="blue")
    participants.offer_pair(blue, source_currency="KES", target_currency="XTS", actor="test")
    with pytest.raises(FspiopError, match="withdraw all currency pairs with XTS"):
        certifier_participant.set_up(endpoint=ENDPOINT)


def test_no_hub_certifies_while_a_participant_offers_to_convert_xts(world: World) -> None:
    blue = Participant.objects.get(name="blue")
    participants.offer_pair(blue, source_currency="KES", target_currency="XTS", actor="test")
    with pytest.raises(FspiopError, match="withdraw all currency pairs with XTS"):
        make_certifier()
    participants.withdraw_pair(blue, source_currency="KES", target_currency="XTS", actor="test")
    make_certifier()


def test_nobody_settles_or_converts_test_money(world: World) -> None:
    make_certifier()
    onboard_in(world, "XTS")
    refused = add_model("TESTS", currency="XTS")
    assert error_of(refused) == (400, "3100")
    assert "never settled" in description_of(refused)
    pair = admin("POST", "/participants/blue/currencyPairs", PAIR)
    assert error_of(pair) == (400, "3100")
    assert error_of(convert()) == (400, "3100")
    assert not FxTransfer.objects.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE settlement_settlementmodel SET currency = 'XTS'",
        "INSERT INTO settlement_windowcontent (window_id, currency, ledger_account_type, state, is_gross)"
        " SELECT id, 'XTS', 'POSITION', 'CLOSED', false FROM ledger_settlementwindow",
        "UPDATE participants_currencypair SET source_currency = 'XTS'",
        "INSERT INTO ledger_fxtransfer (commit_request_id, source_currency) VALUES ('c', 'XTS')",
    ],
)
def test_the_database_refuses_it_too(world: World, statement: str) -> None:
    make_certifier()
    assert add_model("OF_TZS", currency="TZS").status_code == 201
    blue = Participant.objects.get(name="blue")
    participants.offer_pair(blue, source_currency="TZS", target_currency="KES", actor="test")
    assert SettlementModel.objects.exists()
    assert CurrencyPair.objects.exists()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_test_money_keeps_no_participant_open(world: World) -> None:
    onboard_in(world, "XTS")
    grey = world.onboard("brown", ndc=1000, cover=5000, currency="XTS")
    pay(world, "brown", "blue", 5, "XTS")
    close()
    participants.set_directions(grey, may_send=False, may_receive=False, actor="test")
    offboarding.begin(grey, actor="test")
    grey.refresh_from_db()
    left = closing_participants.left_of(grey)
    assert (left.positions, left.funds) == ([], [])
    closing_participants.revoke_all(grey, actor="test")
    closing_participants.close(grey, actor="test")
    grey.refresh_from_db()
    assert grey.closed_at is not None
    assert grey.closed_at <= timezone.now()
    assert not Account.objects.filter(participant=grey, closed_at=None).exists()
    assert world.breaks() == []
    assert accounts_and_funds.reserved_for(grey) == 0
