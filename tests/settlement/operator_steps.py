"""An operator's steps with windows and settlements through the API, and queries of their results."""

from typing import Any

from django.http import HttpResponse

from ledger import accounts_and_funds
from ledger.models import Account, SettlementWindow
from tests.api.caller import admin, call
from tests.world import CURRENCY, World, amount, fulfil, prepare, run

STEPS = ("PS_TRANSFERS_RECORDED", "PS_TRANSFERS_RESERVED", "PS_TRANSFERS_COMMITTED", "SETTLED")


def settlement_api(method: str, path: str, body: Any = None) -> HttpResponse:
    """One request to the settlement API."""
    return call(method, f"/api/settlement/v2{path}", body)


def add_model(name: str = "DEFERREDNET", /, **changes: Any) -> HttpResponse:
    """A default deferred net model, with these changes."""
    body = {
        "name": name,
        "settlementGranularity": "NET",
        "settlementInterchange": "MULTILATERAL",
        "settlementDelay": "DEFERRED",
        "requireLiquidityCheck": False,
        "ledgerAccountType": "POSITION",
        "autoPositionReset": True,
        "settlementAccountType": "SETTLEMENT",
    }
    return admin("POST", "/settlementModels", body | changes)


def pay(world: World, payer: str, payee: str, text: int | str, currency: str = "TZS") -> str:
    """A committed transfer's id."""
    p = prepare(world, payer, payee, text, currency=currency)
    run(p)
    run(fulfil(world, payee, p.transfer_id))
    return p.transfer_id


def set_cap(world: World, name: str, text: int | str) -> None:
    """A participant's net debit cap in the first currency."""
    participant = world.account(name).participant
    accounts_and_funds.change_ndc(participant, currency=CURRENCY, ndc=amount(text), alarm_percentage=None, actor="test")


def open_window() -> int:
    number: int = SettlementWindow.objects.get(state="OPEN").pk
    return number


def close() -> int:
    """Closes the open window; its number."""
    number = open_window()
    answer = settlement_api("POST", f"/settlementWindows/{number}", {"state": "CLOSED", "reason": "test"})
    assert answer.status_code == 200, answer.content
    return number


def settle(*windows: int, model: str = "DEFERREDNET") -> dict[str, Any]:
    """A new settlement as the API shows it."""
    body = {"settlementModel": model, "reason": "test", "settlementWindows": [{"id": number} for number in windows]}
    answer = settlement_api("POST", "/settlements", body)
    assert answer.status_code == 200, answer.content
    shown: dict[str, Any] = answer.json()
    return shown


def step(settlement: dict[str, Any], state: str, *, only: int | None = None) -> dict[str, Any]:
    """All accounts, or one participant's, one step on; the answer."""
    participants = [
        {
            "id": participant["id"],
            "accounts": [
                {"id": account["id"], "reason": "test", "state": state} for account in participant["accounts"]
            ],
        }
        for participant in settlement["participants"]
        if only in (None, participant["id"])
    ]
    answer = settlement_api("PUT", f"/settlements/{settlement['id']}", {"participants": participants})
    assert answer.status_code == 200, answer.content
    shown: dict[str, Any] = answer.json()
    return shown


def settle_all(settlement: dict[str, Any]) -> dict[str, Any]:
    """Every account through every step; the last answer."""
    answers = [step(settlement, state) for state in STEPS]
    assert answers[-1]["state"] == "SETTLED"
    return answers[-1]


def state_of(settlement: dict[str, Any]) -> str:
    """Its state now."""
    state: str = settlement_api("GET", f"/settlements/{settlement['id']}").json()["state"]
    return state


def onboard_in(world: World, currency: str) -> None:
    """green and blue in a further currency."""
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        answer = admin("POST", "/participants/Hub/accounts", {"type": account_type, "currency": currency})
        assert answer.status_code == 201
    for name in ("green", "blue"):
        world.onboard(name, ndc=1000, cover=5000, currency=currency)


def nets(settlement: dict[str, Any], world: World) -> dict[str, float]:
    """Each participant's net by name."""
    names = {number: name for name, number in world.ids.items()}
    return {
        names[participant["id"]]: account["netSettlementAmount"]["amount"]
        for participant in settlement["participants"]
        for account in participant["accounts"]
    }


def hub_account(currency: str = "TZS") -> Account:
    """Where both sides of a settlement meet."""
    return Account.objects.get(participant__is_hub=True, type="HUB_MULTILATERAL_SETTLEMENT", currency=currency)
