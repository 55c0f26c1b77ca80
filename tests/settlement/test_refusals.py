"""Refusals of the settlement API: the caller gets the reason, and nothing changes."""

from typing import Any

import pytest

from ledger import accounts_and_funds as ledger
from ledger.models import Entry
from settlement.models import SettlementEvent
from tests.api.caller import description_of, error_of
from tests.settlement.operator_steps import (
    STEPS,
    add_model,
    close,
    open_window,
    pay,
    set_cap,
    settle,
    settle_all,
    settlement_api,
    state_of,
    step,
)
from tests.world import World, amount

RECORDED, RESERVED, COMMITTED, SETTLED = STEPS


@pytest.fixture
def paid(world: World) -> World:
    """A world with a model and one transfer of 100 from green to blue."""
    assert add_model().status_code == 201
    pay(world, "green", "blue", 100)
    return world


def settling_entries() -> int:
    return Entry.objects.filter(kind__startswith="NET_").count()


def account_of(settlement: dict[str, Any], participant: int) -> int:
    number: int = next(p["accounts"][0]["id"] for p in settlement["participants"] if p["id"] == participant)
    return number


def test_steps_are_taken_one_at_a_time_and_never_back(paid: World) -> None:
    settlement = settle(close())
    for done, state in enumerate(STEPS):
        for wrong in (*STEPS[:done][:-1], *STEPS[done + 1 :]):
            answer = step(settlement, wrong)
            for participant in answer["participants"]:
                (account,) = participant["accounts"]
                assert account["errorInformation"]["errorCode"] == "3000"
                assert "State change not allowed" in account["errorInformation"]["errorDescription"]
            assert answer["state"] == state_of(settlement)
        assert step(settlement, state)["state"] == state
    assert paid.position("green") == paid.position("blue") == 0
    assert paid.breaks() == []


def test_the_same_step_again_is_taken_with_its_new_reason_and_posts_nothing(paid: World) -> None:
    settlement = settle(close())
    for state in STEPS:
        step(settlement, state)
        entries, events = settling_entries(), SettlementEvent.objects.count()
        assert step(settlement, state)["state"] == state
        assert settling_entries() == entries
        assert SettlementEvent.objects.count() == events + 2
    assert settling_entries() == 2
    assert paid.breaks() == []


def test_a_refused_account_does_not_stop_the_others(paid: World) -> None:
    settlement = settle(close())
    green, blue = paid.ids["green"], paid.ids["blue"]
    good = {"reason": "r", "state": RECORDED}
    hers, his = account_of(settlement, green), account_of(settlement, blue)
    wishes = [
        {"id": green, "accounts": [{"id": hers, **good}, {"id": hers, **good}, {"id": his, **good}, {"id": 0, **good}]},
        {"id": paid.ids["grey"], "accounts": [{"id": his, **good}]},
        {"id": 10**12, "accounts": [{"id": 1, **good}]},
    ]
    answer = settlement_api("PUT", f"/settlements/{settlement['id']}", {"participants": wishes})
    assert answer.status_code == 200
    said = [
        account.get("state") or account["errorInformation"]["errorDescription"].split(" - ")[1]
        for participant in answer.json()["participants"]
        for account in participant["accounts"]
    ]
    assert said == [
        RECORDED,
        "Account already processed once",
        "Participant and account mismatch",
        "Account not found",
        "Participant not found",
        "Participant not found",
    ]
    states = {
        p["id"]: p["accounts"][0]["state"]
        for p in settlement_api("GET", f"/settlements/{settlement['id']}").json()["participants"]
    }
    assert states == {green: RECORDED, blue: "PENDING_SETTLEMENT"}
    assert paid.breaks() == []


def test_one_participant_and_one_account_are_shown_and_moved_alone(paid: World) -> None:
    settlement = settle(close())
    green, blue = paid.ids["green"], paid.ids["blue"]
    base = f"/settlements/{settlement['id']}/participants/{green}"
    hers = account_of(settlement, green)
    shown = settlement_api("GET", base).json()
    assert [p["id"] for p in shown["participants"]] == [green]
    assert settlement_api("GET", f"{base}/accounts/{hers}").json()["participants"] == shown["participants"]
    assert error_of(settlement_api("GET", f"{base}/accounts/{hers + 1000}")) == (400, "3100")
    assert error_of(settlement_api("GET", f"/settlements/{settlement['id']}/participants/{paid.ids['grey']}")) == (
        400,
        "3100",
    )
    body = {"state": RECORDED, "reason": "r", "externalReference": "bank-17"}
    (moved,) = settlement_api("PUT", f"{base}/accounts/{hers}", body).json()["participants"]
    assert moved["accounts"][0]["state"] == RECORDED
    assert moved["accounts"][0]["externalReference"] == "bank-17"
    his = {"accounts": [{"id": account_of(settlement, blue), "state": RECORDED, "reason": "r"}]}
    answer = settlement_api("PUT", f"/settlements/{settlement['id']}/participants/{blue}", his)
    assert answer.json()["state"] == RECORDED


@pytest.mark.parametrize("last", [None, RECORDED, RESERVED])
def test_an_aborted_settlement_leaves_positions_as_they_were_and_its_windows_to_another(
    paid: World, last: str | None
) -> None:
    window = close()
    settlement = settle(window)
    for state in STEPS[: STEPS.index(last) + 1] if last else ():
        step(settlement, state)
    for _ in range(2):  # the same again changes nothing more
        answer = settlement_api("PUT", f"/settlements/{settlement['id']}", {"state": "ABORTED", "reason": "wrong"})
        assert answer.status_code == 200
        assert answer.json()["state"] == "ABORTED"
        assert [w["state"] for w in answer.json()["settlementWindows"]] == ["ABORTED"]
        assert (paid.position("green"), paid.position("blue")) == (amount(100), -amount(100))
        assert paid.breaks() == []
    assert "errorInformation" in step(settlement, RECORDED)["participants"][0]["accounts"][0]
    again = settle(window)
    settle_all(again)
    assert paid.position("green") == paid.position("blue") == 0
    assert state_of(settlement) == "ABORTED"
    assert paid.breaks() == []


def test_a_settlement_half_of_which_is_reserved_aborts_as_a_whole(paid: World) -> None:
    settlement = settle(close())
    step(settlement, RECORDED)
    step(settlement, RESERVED, only=paid.ids["blue"])
    assert paid.position("blue") == 0
    body = {"state": "ABORTED", "reason": "wrong"}
    assert settlement_api("PUT", f"/settlements/{settlement['id']}", body).json()["state"] == "ABORTED"
    assert paid.position("blue") == -amount(100)
    assert paid.breaks() == []


def test_what_one_account_has_committed_is_not_aborted(paid: World) -> None:
    settlement = settle(close())
    step(settlement, RECORDED)
    step(settlement, RESERVED)
    step(settlement, COMMITTED, only=paid.ids["green"])
    answer = settlement_api("PUT", f"/settlements/{settlement['id']}", {"state": "ABORTED", "reason": "wrong"})
    assert error_of(answer) == (400, "3100")
    assert state_of(settlement) == RESERVED
    assert step(settlement, COMMITTED)["state"] == COMMITTED
    assert paid.breaks() == []


@pytest.mark.parametrize("short_of", ["cap", "cover"])
def test_a_receiver_that_spent_what_it_is_owed_waits_for_cap_or_funds(world: World, short_of: str) -> None:
    """Nobody's net debit cap is raised unasked; the others go on."""
    add_model(requireLiquidityCheck=True)
    pay(world, "green", "blue", 100)
    window = close()
    ndc, cover = (1000, 5000) if short_of == "cap" else (9000, 1000)
    ledger.change_ndc(
        world.account("blue").participant, currency="TZS", ndc=amount(ndc), alarm_percentage=None, actor="test"
    )
    if short_of == "cover":
        taken = "22222222-2222-4222-8222-222222222222"
        settlement_account = world.account("blue", "SETTLEMENT")
        ledger.prepare_funds_out(
            settlement_account,
            transfer_id=taken,
            amount=amount(5000 - cover),
            reason="",
            external_reference="",
            actor="test",
        )
        ledger.end_funds_out(settlement_account, transfer_id=taken, commits=True, reason="", actor="test")
    pay(world, "blue", "red", 1050)  # of the next window; blue's position: 950
    settlement = settle(window)
    step(settlement, RECORDED)
    answer = step(settlement, RESERVED)
    (his,) = next(p["accounts"] for p in answer["participants"] if p["id"] == world.ids["blue"])
    assert his["errorInformation"]["errorCode"] == ("4200" if short_of == "cap" else "4001")
    assert answer["state"] == RECORDED
    assert world.position("blue") == amount(950)
    assert world.account("blue").net_debit_cap == amount(ndc)
    if short_of == "cap":
        ledger.change_ndc(
            world.account("blue").participant, currency="TZS", ndc=amount(1050), alarm_percentage=None, actor="test"
        )
    else:
        world.funds_in("blue", 50)
    assert step(settlement, RESERVED)["state"] == RESERVED
    assert world.position("blue") == amount(1050)
    assert step(settlement, COMMITTED)["state"] == COMMITTED
    assert world.breaks() == []


def test_without_a_liquidity_check_a_receiver_is_reset_whatever_it_spent(world: World) -> None:
    add_model(requireLiquidityCheck=False)
    pay(world, "green", "blue", 100)
    window = close()
    pay(world, "blue", "red", 1050)
    settle_all(settle(window))
    assert world.position("blue") == amount(1050)  # above its cap: only new reservations are refused
    assert world.breaks() == []


def test_without_automatic_reset_a_settlement_posts_nothing(world: World) -> None:
    add_model(autoPositionReset=False, requireLiquidityCheck=True)
    pay(world, "green", "blue", 100)
    window = close()
    set_cap(world, "blue", 0)
    pay(world, "blue", "red", 100)  # with a reset it would stand above its cap; without one nothing is to be checked
    settle_all(settle(window))
    assert settling_entries() == 0
    assert world.position("green") == amount(100)
    assert world.breaks() == []


def test_only_closed_windows_with_something_to_settle_are_settled(paid: World) -> None:
    closed = close()

    def refused(*windows: int, model: str = "DEFERREDNET") -> str:
        body = {"settlementModel": model, "reason": "r", "settlementWindows": [{"id": number} for number in windows]}
        answer = settlement_api("POST", "/settlements", body)
        assert error_of(answer) == (400, "3100")
        return description_of(answer)

    assert "not found" in refused(10**9)
    assert "Settlement model not found" in refused(closed, model="NOSUCH")
    assert "Inapplicable" in refused(open_window())
    assert "Inapplicable" in refused(closed, open_window())
    refused(closed, closed)
    settle(closed)
    assert "Inapplicable" in refused(closed)
    assert paid.breaks() == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "3100"),
        ("?participantId=0&state=open", "3101"),
        ("?participantId=x", "3101"),
        ("?state=DONE", "3101"),
        ("?currency=TZ", "3101"),
        ("?fromDateTime=yesterday", "3101"),
        ("?nosuch=1", "3101"),
        ("?participantId=99999999999999999999", "3101"),
    ],
)
@pytest.mark.parametrize("path", ["/settlementWindows", "/settlements"])
def test_filters_are_checked(world: World, path: str, query: str, code: str) -> None:
    assert error_of(settlement_api("GET", path + query)) == (400, code)


def test_windows_and_settlements_are_found_by_every_filter(paid: World) -> None:
    first = close()
    settlement = settle(first)
    green, grey = paid.ids["green"], paid.ids["grey"]
    pay(paid, "red", "blue", 1)
    second = open_window()

    def windows(query: str) -> list[int]:
        answer = settlement_api("GET", f"/settlementWindows?{query}")
        assert answer.status_code == 200
        return [window["settlementWindowId"] for window in answer.json()]

    assert windows("state=OPEN") == [second]
    assert windows("state=PENDING_SETTLEMENT") == [first]
    assert windows("state=SETTLED") == []
    assert windows(f"participantId={green}") == [first]
    assert windows(f"participantId={paid.ids['red']}") == [second]
    assert windows(f"participantId={grey}") == []
    assert windows("currency=TZS") == [first, second]
    assert windows("currency=KES") == []
    assert windows("fromDateTime=2020-01-01T00:00:00Z&toDateTime=2090-01-01") == [first, second]
    assert windows("toDateTime=2020-01-01T00:00:00.000Z") == []
    shown = {number: settlement_api("GET", f"/settlementWindows/{number}").json() for number in (first, second)}
    assert windows(f"toDateTime={shown[first]['createdDate']}") == [first]
    assert windows(f"fromDateTime={shown[second]['createdDate']}&toDateTime={shown[second]['createdDate']}") == [second]
    assert windows("toDateTime=9999-12-31T23:59:59.999Z") == [first, second]

    def settlements(query: str) -> list[int]:
        answer = settlement_api("GET", f"/settlements?{query}")
        assert answer.status_code == 200
        return [found["id"] for found in answer.json()]

    mine = [settlement["id"]]
    assert settlements("state=PENDING_SETTLEMENT") == mine
    assert settlements("state=SETTLED") == []
    assert settlements(f"participantId={green}&currency=TZS") == mine
    assert settlements(f"participantId={grey}") == []
    assert settlements(f"settlementWindowId={first}&accountId={account_of(settlement, green)}") == mine
    assert settlements(f"settlementWindowId={second}") == []
    assert settlements("fromDateTime=2020-01-01T00:00:00Z&toDateTime=2090-01-01T00:00:00Z") == mine
    assert (
        settlements("fromSettlementWindowDateTime=2020-01-01T00:00:00Z&toSettlementWindowDateTime=2090-01-01") == mine
    )
    assert settlements("toSettlementWindowDateTime=2020-01-01T00:00:00Z") == []
    assert settlements(f"toDateTime={settlement['createdDate']}") == mine
    assert settlements(f"toSettlementWindowDateTime={shown[first]['createdDate']}") == mine


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "9" * 30])
@pytest.mark.parametrize("path", ["/settlementWindows/{}", "/settlements/{}", "/settlements/1/participants/{}"])
def test_a_number_that_is_none_is_refused(world: World, path: str, number: str) -> None:
    assert error_of(settlement_api("GET", path.format(number))) == (400, "3101")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        {},
        {"state": "SETTLED", "reason": "r"},
        {"state": "ABORTED"},
        {"participants": []},
        {"participants": [{"id": 1, "accounts": []}]},
        {"participants": [{"id": "one", "accounts": [{"id": 1, "state": RECORDED, "reason": "r"}]}]},
        {"participants": [{"id": 1, "accounts": [{"id": 1, "state": "SETTLING", "reason": "r"}]}]},
        {"participants": [{"id": 1, "accounts": [{"id": 1, "reason": "r"}]}]},
        {"participants": [{"id": 1, "accounts": [{"id": 2**63, "state": RECORDED, "reason": "r"}]}]},
        {"participants": [{"id": "-1", "accounts": [{"id": 1, "state": RECORDED, "reason": "r"}]}]},
        {"participants": [{"id": 1, "accounts": [{"id": str(2**63), "state": RECORDED, "reason": "r"}]}]},
        {"participants": [{"id": 1, "accounts": [{"id": None, "state": RECORDED, "reason": "r"}]}]},
        {
            "state": "ABORTED",
            "reason": "r",
            "participants": [{"id": 1, "accounts": [{"id": 1, "state": RECORDED, "reason": "r"}]}],
        },
    ],
    ids=str,
)
def test_a_body_that_makes_no_sense_is_refused_and_nothing_moves(paid: World, body: Any) -> None:
    settlement = settle(close())
    events = SettlementEvent.objects.count()
    status, code = error_of(settlement_api("PUT", f"/settlements/{settlement['id']}", body))
    assert status == 400
    assert code in ("3100", "3101", "3102")
    assert SettlementEvent.objects.count() == events
    assert error_of(settlement_api("POST", "/settlements", body))[0] == 400


def test_unknown_settlements_and_windows_are_refused(world: World) -> None:
    assert error_of(settlement_api("GET", "/settlements/77")) == (400, "3100")
    assert error_of(settlement_api("PUT", "/settlements/77", {"state": "ABORTED", "reason": "r"})) == (400, "3100")
    wish = {"state": RECORDED, "reason": "r"}
    one_account = "/settlements/77/participants/1/accounts/1"
    assert error_of(settlement_api("PUT", one_account, wish)) == (400, "3100")
    assert error_of(settlement_api("PUT", one_account, {"state": RECORDED})) == (400, "3102")
    assert error_of(settlement_api("GET", "/settlementWindows/77777")) == (400, "3100")
    assert settlement_api("GET", "/health").json()["services"][0] == {"name": "datastore", "status": "OK"}
