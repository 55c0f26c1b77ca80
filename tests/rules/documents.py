"""Rule sets, facts and counters for the tests of the language: single ones by hand, and random ones."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zlib import crc32

from rules.facts import Facts
from rules.language.counter_types import Need
from rules.language.fact_catalogue import FACTS, FactSpec

NOON = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)  # a Friday, noon in Dar es Salaam

TZS = "TZS"


def money(amount: str, currency: str = TZS) -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def rule(rule_id: str = "a-rule", **members: Any) -> dict[str, Any]:
    """A rule that refuses payments above 100 TZS at the quote, unless members say otherwise. None leaves one out."""
    found = {
        "id": rule_id,
        "title": "A rule",
        "kind": "scheme",
        "gate": "quote",
        "if": {"fact": "amount", "is": "above", "value": money("100")},
        "then": {"action": "refuse", "code": "3140"},
        **members,
    }
    return {name: value for name, value in found.items() if value is not None}


def rule_set(*rules: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"language": 1, "name": "Scheme", "time_zone": "Africa/Dar_es_Salaam", "rules": list(rules), **members}


def facts(gate: str = "quote", **fields: Any) -> Facts:
    """A P2P payment of 100 TZS from green to blue, at noon."""
    return Facts(
        **{
            "gate": gate,
            "now": NOON,
            "payer_dfsp": "green",
            "payee_dfsp": "blue",
            "currency": TZS,
            "amount": 100_0000,
            "payer": 1,
            "payee": 2,
            "payee_alias": 2,
            "payer_id_type": "MSISDN",
            "payee_id_type": "MSISDN",
            "scenario": "TRANSFER",
            "initiator": "PAYER",
            "initiator_type": "CONSUMER",
            "payer_type": "CONSUMER",
            "expires_in_s": 60,
            **fields,
        }
    )


class FixedCounters:
    """Answers by the name of the fact, for example `payer.sent_count`; None for all others."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.asked: list[Need] = []

    def get(self, need: Need, facts: Facts) -> Any:
        self.asked.append(need)
        return self.values.get(f"{need.subject}.{need.measure}")


_CURRENCIES = ["TZS", "USD"]
_DFSPS = ["green", "blue", "red"]
_TEXTS = ["A", "B", "C"]
_AMOUNTS = ["0", "1", "2", "3"]
_DURATIONS = ["PT1M", "PT1H", "P1D"]
_TIMES = ["00:00", "06:00", "12:00", "23:59"]
_DATES = ["2026-11-27", "2026-11-28", "2026-12-25"]


def _some(chance: Random, values: list[str]) -> list[str]:
    return chance.sample(values, chance.randint(1, min(3, len(values))))


def _texts_of(spec: FactSpec) -> list[str]:
    if spec.name in ("payer.dfsp", "payee.dfsp"):
        return _DFSPS
    if spec.name == "currency":
        return _CURRENCIES
    if spec.domain is not None:
        return sorted(spec.domain)[:5]
    return ["12", "34"] if spec.name == "merchant_code" else _TEXTS


def _random_comparison(chance: Random, gate: str, currency: str) -> dict[str, Any]:
    spec = chance.choice([spec for spec in FACTS.values() if gate in spec.gates])
    operator = chance.choice(spec.operators)
    found: dict[str, Any] = {"fact": spec.name, "is": operator}
    if spec.has_window:
        found["window"] = chance.choice(_DURATIONS)
    if spec.has_key:
        found["key"] = chance.choice(_TEXTS)
    if operator in ("true", "false", "present", "absent"):
        return found
    match spec.unit:
        case "amount":
            found["value"] = {"amount": chance.choice(_AMOUNTS), "currency": currency}
        case "count" | "percent":
            found["value"] = chance.randint(0, 3)
        case "duration":
            found["value"] = chance.choice(["PT0S", *_DURATIONS])
        case "time":
            start, end = chance.sample(_TIMES, 2)
            found["value"] = {"from": start, "to": end}
        case "date":
            found["value"] = _some(chance, _DATES)
        case _:
            found["value"] = _some(chance, _texts_of(spec))
    return found


def _random_condition(chance: Random, gate: str, currency: str, depth: int = 0) -> dict[str, Any]:
    kind = chance.choice(["comparison", "comparison", "all", "any", "not"]) if depth < 3 else "comparison"
    if kind == "comparison":
        return _random_comparison(chance, gate, currency)
    if kind == "not":
        return {"not": _random_condition(chance, gate, currency, depth + 1)}
    return {kind: [_random_condition(chance, gate, currency, depth + 1) for _ in range(chance.randint(1, 3))]}


def _random_rule(chance: Random, number: int, gates: list[str]) -> dict[str, Any]:
    gate, currency = chance.choice(gates), chance.choice(_CURRENCIES)
    when: dict[str, Any] = {}
    if chance.random() < 0.5:
        when["currencies"] = [currency]
    if gate != "lookup" and chance.random() < 0.5:
        when["scenarios"] = _some(chance, ["TRANSFER", "PAYMENT", "REFUND"])
    for side in ("payer_dfsps", "payee_dfsps"):
        if chance.random() < 0.25:
            when[side] = _some(chance, _DFSPS)
    actions: list[dict[str, Any]] = [{"action": "alert"}, {"action": "refuse", "code": "3140"}]
    if gate != "lookup":
        actions += [{"action": "hold", "for": "PT1H", "bypass": "paid_before"}, {"action": "hold", "until": "06:00"}]
    return {
        "id": f"rule-{number}",
        "title": "A rule",
        "kind": chance.choice(["scheme", "fraud"]),
        "gate": gate,
        "when": when,
        "if": _random_condition(chance, gate, currency),
        "then": chance.choice(actions),
        "mode": chance.choice(["live", "live", "shadow", "draft"]),
        "on_missing": chance.choice(["open", "closed"]),
    }


def random_rule_set(chance: Random, gates: list[str]) -> dict[str, Any]:
    """A rule set of the right form, with few different values, so that conditions are often true."""
    rules = [_random_rule(chance, number, gates) for number in range(chance.randint(1, 8))]
    return rule_set(*rules, time_zone=chance.choice(["UTC", "Africa/Dar_es_Salaam", "Asia/Kathmandu"]))


def random_payment(chance: Random, gate: str) -> Facts:
    """The facts of a payment, with much that is absent or missing."""

    def maybe(value: Any) -> Any:
        return value if chance.random() < 0.7 else None

    def some(values: list[str]) -> frozenset[str]:
        return frozenset(value for value in values if chance.random() < 0.3)

    text, is_lookup = _TEXTS, gate == "lookup"
    currency, payee_dfsp = chance.choice(_CURRENCIES), chance.choice(_DFSPS)
    expires_in_s = chance.choice([0, 60, 61, 3600])
    sets = ["MULE_ACCOUNT", "OTHER", *_TEXTS]
    return Facts(
        gate=gate,
        now=NOON + timedelta(minutes=chance.randint(0, 3000)),
        payer_dfsp=chance.choice(_DFSPS),
        payee_dfsp=maybe(payee_dfsp) if is_lookup else payee_dfsp,
        currency=maybe(currency) if is_lookup else currency,
        amount=chance.randint(0, 4) * 10_000,
        has_details=gate != "transfer" or chance.random() < 0.7,
        quoted=chance.random() < 0.5,
        payer=maybe(1),
        payee=maybe(2),
        payer_id_type="MSISDN",
        payee_id_type=chance.choice(["MSISDN", "ALIAS"]),
        scenario=chance.choice(["TRANSFER", "PAYMENT", "REFUND"]),
        sub_scenario=maybe(chance.choice(text)),
        initiator="PAYER",
        initiator_type=chance.choice(["CONSUMER", "AGENT"]),
        payer_type=maybe(chance.choice(["CONSUMER", "AGENT"])),
        refund_of=maybe("a-transaction"),
        merchant_code=maybe(chance.choice(["12", "34"])),
        kyc_tier=maybe(chance.choice(text)),
        expires_in_s=maybe(expires_in_s) if gate == "quote" else expires_in_s,
        present=some(text),
        extensions={key: chance.choice(text) for key in some(text)},
        quoted_amount=maybe(chance.randint(0, 4) * 10_000),
        quoted_currency=chance.choice(_CURRENCIES),
        payer_lists=some(sets),
        payee_lists=some(sets),
        payer_markers=some(sets),
        payee_markers=some(sets),
        bulk=chance.random() < 0.5,
        fx=chance.random() < 0.5,
    )


class RandomCounters:
    """Answers each need with a value that depends on the need only; some needs have none."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.asked: list[Need] = []

    def get(self, need: Need, facts: Facts) -> Any:
        self.asked.append(need)
        number = crc32(f"{self.seed} {need}".encode()) % 6
        if number == 5:
            return None
        if need.measure in ("paid_before", "moved", "found", "parties_swapped", "within_original"):
            return number % 2 == 0
        return number * 10_000 if need.measure.endswith("value") else number * (60 if need.measure == "age" else 1)
