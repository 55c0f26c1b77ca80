"""The scheme's rules in a chaos run: exact limits and holds, and what must be true about held transfers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from bench.messages import CURRENCY

HELD_S = 2
_MOST = 30  # payments in a minute to the DFSP that everybody pays least, and from one that pays much
_MOST_TO_A_CUSTOMER = 6
_HOLDS = "SELECT transfer_id, state, held_at, ended_at FROM ledger_heldtransfer"


@dataclass(frozen=True)
class Hold:
    """A transfer that the hub held."""

    state: str  # HELD, RELEASED, ENDED; REFUSED by people, of whom a run has none
    held_at: datetime
    ended_at: datetime | None

    @property
    def seconds(self) -> float:
        """How long it was held."""
        return (self.ended_at - self.held_at).total_seconds() if self.ended_at is not None else 0.0


def holds(connection: psycopg.Connection[Any]) -> dict[str, Hold]:
    """All transfers that were ever held."""
    return {row[0]: Hold(*row[1:]) for row in connection.execute(_HOLDS)}


def document(names: list[str], *, whole_payments: bool) -> dict[str, Any]:
    """The rules of a run. Transfers without quotes name no parties, so their limits are those of DFSPs."""
    hot, blue, red, tight = names
    rules = [
        _limit("payee_dfsp.received_count", _MOST, code="5240", when={"payee_dfsps": [tight]}),
        _limit("payer_dfsp.sent_count", _MOST, code="4240", when={"payer_dfsps": [blue]}),
        _limit(
            "payer_dfsp.sent_value",
            {"amount": str(_MOST * 4), "currency": CURRENCY},
            code="4241",
            when={"payer_dfsps": [blue], "currencies": [CURRENCY]},
        ),
        _hold("transfer", at_least=8, when={"payer_dfsps": [red, hot]}),
        {
            "kind": "fraud",
            "gate": "transfer",
            "if": {"fact": "payer_dfsp.sent_count", "is": "above", "value": 100, "window": "PT1M"},
            "then": {"action": "alert"},
            "mode": "shadow",
        },
    ]
    if whole_payments:
        rules += [
            _limit("payee.received_count", _MOST_TO_A_CUSTOMER, code="5240", when={"payee_dfsps": [red]}),
            _hold("quote", at_least=7, when={"payee_dfsps": [blue]}),
        ]
    numbered = [{"id": f"rule-{each}", "title": f"Rule {each}", **rule} for each, rule in enumerate(rules)]
    return {"language": 1, "name": "Chaos", "rules": numbered}


def _limit(fact: str, most: object, *, code: str, when: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "kind": "scheme",
        "gate": "transfer",
        "when": when,
        "if": {"fact": fact, "is": "above", "value": most, "window": "PT1M"},
        "then": {"action": "refuse", "code": code},
    }


def _hold(gate: str, *, at_least: int, when: dict[str, list[str]]) -> dict[str, Any]:
    amount = {"amount": str(at_least), "currency": CURRENCY}
    return {
        "kind": "scheme",
        "gate": gate,
        "when": {**when, "currencies": [CURRENCY]},
        "if": {"fact": "amount", "is": "at_least", "value": amount},
        "then": {"action": "hold", "for": f"PT{HELD_S}S"},
    }
