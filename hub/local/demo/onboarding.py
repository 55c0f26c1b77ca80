"""Onboards the banks through the hub's administration API, like a provisioning script. A second run changes nothing."""

import uuid

from hub.local.demo.banks import Bank, Fxp
from hub.local.demo.http import call, call_until_answered
from hub.local.errors import LocalError

CURRENCY = "TZS"
FOREIGN = "KES"  # some customers of one bank use this currency, and the FXP converts this currency
WITH_FOREIGN = "bluewallet"
NET_DEBIT_CAP = 5_000_000
FUNDS_IN = 20_000_000
SETTLEMENT_MODEL = "DEFERREDNET"
_FOREIGN_MODEL = "DEFERREDNETKES"
_FOREIGN_CAP, _FOREIGN_FUNDS_IN = 1_000_000, 4_000_000
_MODEL = {
    "name": SETTLEMENT_MODEL,
    "settlementGranularity": "NET",
    "settlementInterchange": "MULTILATERAL",
    "settlementDelay": "DEFERRED",
    "requireLiquidityCheck": True,
    "ledgerAccountType": "POSITION",
    "settlementAccountType": "SETTLEMENT",
    "autoPositionReset": True,
}
_NAMESPACE = uuid.UUID("5e2b1a34-6d0f-4c55-9a43-0d1b6a6f7c11")


def onboard(hub_url: str, banks: list[Bank]) -> None:
    """Creates the hub's accounts and a settlement model. Gives each bank a net debit cap, an endpoint, funds and the
    aliases of its customers.
    """
    base = f"{hub_url}/api/ledger/v1"
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        _ask("POST", f"{base}/participants/Hub/accounts", {"type": account_type, "currency": CURRENCY}, may_exist=True)
    _ask("POST", f"{base}/settlementModels", _MODEL, may_exist=True)
    for bank in banks:
        _onboard(base, bank)
    for bank in banks:
        status, answer = call_until_answered("POST", f"{bank.url}/register")
        if status != 200:
            raise LocalError(f"{bank.name}'s phone numbers were not registered: {answer}", where=bank.url)


def onboard_fxp(hub_url: str, fxp: Fxp) -> None:
    """Adds a second currency to the hub and to the bank that uses this currency. Adds the FXP, which converts between
    the two currencies in both directions."""
    base = f"{hub_url}/api/ledger/v1"
    for account_type in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
        _ask("POST", f"{base}/participants/Hub/accounts", {"type": account_type, "currency": FOREIGN}, may_exist=True)
    model = _MODEL | {"name": _FOREIGN_MODEL, "currency": FOREIGN}
    _ask("POST", f"{base}/settlementModels", model, may_exist=True)
    _ask("POST", f"{base}/participants", {"name": fxp.name, "currency": CURRENCY}, may_exist=True)
    endpoint = {"type": "FSPIOP_CALLBACK_URL", "value": fxp.callback_url}
    _ask("POST", f"{base}/participants/{fxp.name}/endpoints", endpoint)
    for name in (fxp.name, WITH_FOREIGN):
        _ask("POST", f"{base}/participants", {"name": name, "currency": FOREIGN}, may_exist=True)
        _fund(base, name, FOREIGN, _FOREIGN_CAP, _FOREIGN_FUNDS_IN)
    _fund(base, fxp.name, CURRENCY, NET_DEBIT_CAP, FUNDS_IN)
    for source, target in ((CURRENCY, FOREIGN), (FOREIGN, CURRENCY)):
        pair = {"sourceCurrency": source, "targetCurrency": target}
        _ask("POST", f"{base}/participants/{fxp.name}/currencyPairs", pair, may_exist=True)


def _onboard(base: str, bank: Bank) -> None:
    mine = f"{base}/participants/{bank.name}"
    _ask("POST", f"{base}/participants", {"name": bank.name, "currency": CURRENCY}, may_exist=True)
    _ask("POST", f"{mine}/endpoints", {"type": "FSPIOP_CALLBACK_URL", "value": bank.callback_url})
    _fund(base, bank.name, CURRENCY, NET_DEBIT_CAP, FUNDS_IN)


def _fund(base: str, name: str, currency: str, cap: int, funds: int) -> None:
    """In one currency, sets a participant's net debit cap, and records money that the participant has paid in (funds
    in)."""
    mine = f"{base}/participants/{name}"
    terms = {"currency": currency, "limit": {"type": "NET_DEBIT_CAP", "value": cap}, "initialPosition": 0}
    _ask("POST", f"{mine}/initialPositionAndLimits", terms, may_exist=True)
    _, accounts = call("GET", f"{mine}/accounts")
    settlement = next(
        account
        for account in accounts
        if account["ledgerAccountType"] == "SETTLEMENT" and account["currency"] == currency
    )
    # At each start, the id of these funds is the same, so that the hub does not record the funds a second time.
    subject = name if currency == CURRENCY else f"{name} {currency}"
    _ask(
        "POST",
        f"{mine}/accounts/{settlement['id']}",
        {
            "transferId": str(uuid.uuid5(_NAMESPACE, subject)),
            "externalReference": "opening deposit",
            "action": "recordFundsIn",
            "reason": "liquidity cover",
            "amount": {"amount": str(funds), "currency": currency},
        },
    )


def _ask(method: str, url: str, body: object, *, may_exist: bool = False) -> None:
    status, answer = call(method, url, body)
    # If an object already exists, the reference hub responds with 400. If the object is a limit, the reference hub
    # responds with 500.
    if not (200 <= status < 300 or (may_exist and status in (400, 500) and "already" in str(answer))):
        raise LocalError(f"{method} {url} was refused with {status}: {answer}", where=url, do="make clean, then again.")
