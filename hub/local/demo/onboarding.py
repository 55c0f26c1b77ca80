"""Onboards the banks with the hub's administration API, like a provisioning script. Can be run again."""

import uuid

from hub.local.demo.banks import Bank
from hub.local.demo.http import call, call_until_answered
from hub.local.errors import LocalError

CURRENCY = "TZS"
NET_DEBIT_CAP = 5_000_000
FUNDS_IN = 20_000_000
SETTLEMENT_MODEL = "DEFERREDNET"
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
    """Creates hub accounts, a settlement model, each bank's cap, endpoint and funds, and its customers' aliases."""
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


def _onboard(base: str, bank: Bank) -> None:
    mine = f"{base}/participants/{bank.name}"
    _ask("POST", f"{base}/participants", {"name": bank.name, "currency": CURRENCY}, may_exist=True)
    limit = {"type": "NET_DEBIT_CAP", "value": NET_DEBIT_CAP}
    terms = {"currency": CURRENCY, "limit": limit, "initialPosition": 0}
    _ask("POST", f"{mine}/initialPositionAndLimits", terms, may_exist=True)
    _ask("POST", f"{mine}/endpoints", {"type": "FSPIOP_CALLBACK_URL", "value": bank.callback_url})
    _, accounts = call("GET", f"{mine}/accounts")
    settlement = next(account for account in accounts if account["ledgerAccountType"] == "SETTLEMENT")
    _ask(
        "POST",
        f"{mine}/accounts/{settlement['id']}",
        {
            # The id is the same each time, so that the hub records the funds only once.
            "transferId": str(uuid.uuid5(_NAMESPACE, bank.name)),
            "externalReference": "opening deposit",
            "action": "recordFundsIn",
            "reason": "liquidity cover",
            "amount": {"amount": str(FUNDS_IN), "currency": CURRENCY},
        },
    )


def _ask(method: str, url: str, body: object, *, may_exist: bool = False) -> None:
    status, answer = call(method, url, body)
    # The reference hub's answer if something exists already is 400, or 500 for limits.
    if not (200 <= status < 300 or (may_exist and status in (400, 500) and "already" in str(answer))):
        raise LocalError(f"{method} {url} was refused with {status}: {answer}", where=url, do="make clean, then again.")
