"""Rule sets, facts and counters for the tests of the language: single ones by hand, and random ones by Hypothesis."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from hypothesis import strategies as st

from rules.facts import Facts
from rules.language.counter_needs import Need
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


# Random ones. Few different values, so that conditions are often true.

_CURRENCIES = ["TZS", "USD"]
_DFSPS = ["green", "blue", "red"]
_TEXTS = ["A", "B", "C"]
_AMOUNTS = ["0", "1", "2", "3"]
_DURATIONS = ["PT1M", "PT1H", "P1D"]
_TIMES = ["00:00", "06:00", "12:00", "23:59"]
_DATES = ["2026-11-27", "2026-11-28", "2026-12-25"]


def _some(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def _texts_of(spec: FactSpec) -> list[str]:
    if spec.name in ("payer.dfsp", "payee.dfsp"):
        return _DFSPS
    if spec.name == "currency":
        return _CURRENCIES
    if spec.domain is not None:
        return sorted(spec.domain)[:5]
    return ["12", "34"] if spec.name == "merchant_code" else _TEXTS


@st.composite
def _comparisons(draw: st.DrawFn, gate: str, currency: str) -> dict[str, Any]:
    spec = draw(st.sampled_from([spec for spec in FACTS.values() if gate in spec.gates]))
    operator = draw(st.sampled_from(spec.operators))
    found: dict[str, Any] = {"fact": spec.name, "is": operator}
    if spec.has_window:
        found["window"] = draw(st.sampled_from(_DURATIONS))
    if spec.has_key:
        found["key"] = draw(st.sampled_from(_TEXTS))
    if operator in ("true", "false", "present", "absent"):
        return found
    match spec.unit:
        case "amount":
            found["value"] = {"amount": draw(st.sampled_from(_AMOUNTS)), "currency": currency}
        case "count" | "percent":
            found["value"] = draw(st.integers(0, 3))
        case "duration":
            found["value"] = draw(st.sampled_from(["PT0S", *_DURATIONS]))
        case "time":
            start, end = draw(st.permutations(_TIMES).map(lambda times: times[:2]))
            found["value"] = {"from": start, "to": end}
        case "date":
            found["value"] = draw(_some(_DATES))
        case _:
            found["value"] = draw(_some(_texts_of(spec)))
    return found


def _conditions(gate: str, currency: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        _comparisons(gate, currency),
        lambda inner: st.one_of(
            st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda part: {"not": part}, inner),
        ),
        max_leaves=6,
    )


@st.composite
def _rules(draw: st.DrawFn, gates: list[str]) -> dict[str, Any]:
    gate, currency = draw(st.sampled_from(gates)), draw(st.sampled_from(_CURRENCIES))
    when: dict[str, Any] = {}
    if draw(st.booleans()):
        when["currencies"] = [currency]
    if gate != "lookup" and draw(st.booleans()):
        when["scenarios"] = draw(_some(["TRANSFER", "PAYMENT", "REFUND"]))
    for side in ("payer_dfsps", "payee_dfsps"):
        if draw(st.integers(0, 3)) == 0:
            when[side] = draw(_some(_DFSPS))
    actions: list[dict[str, Any]] = [{"action": "alert"}, {"action": "refuse", "code": "3140"}]
    if gate != "lookup":
        actions += [
            {"action": "hold", "for": "PT1H", "bypass": "paid_before"},
            {"action": "hold", "until": "06:00"},
        ]
    return {
        "title": "A rule",
        "kind": draw(st.sampled_from(["scheme", "fraud"])),
        "gate": gate,
        "when": when,
        "if": draw(_conditions(gate, currency)),
        "then": draw(st.sampled_from(actions)),
        "mode": draw(st.sampled_from(["live", "live", "shadow", "draft"])),
        "on_missing": draw(st.sampled_from(["open", "closed"])),
    }


@st.composite
def rule_sets(draw: st.DrawFn, gates: list[str]) -> dict[str, Any]:
    """Random rule sets of the right form."""
    rules = draw(st.lists(_rules(gates), min_size=1, max_size=5))
    return rule_set(
        *({"id": f"rule-{number}", **each} for number, each in enumerate(rules)),
        time_zone=draw(st.sampled_from(["UTC", "Africa/Dar_es_Salaam", "Asia/Kathmandu"])),
    )


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


def payments(gate: str) -> st.SearchStrategy[Facts]:
    """Random facts at a gate, with much that is absent or missing."""
    text = st.sampled_from(_TEXTS)
    sets = st.frozensets(st.sampled_from(["MULE_ACCOUNT", "OTHER", *_TEXTS]))
    amounts = st.integers(0, 4).map(lambda whole: whole * 10_000)
    is_lookup = gate == "lookup"
    currency = st.sampled_from(_CURRENCIES)
    return st.builds(
        Facts,
        gate=st.just(gate),
        now=st.integers(0, 3000).map(lambda minutes: NOON + timedelta(minutes=minutes)),
        payer_dfsp=st.sampled_from(_DFSPS),
        payee_dfsp=_maybe(st.sampled_from(_DFSPS)) if is_lookup else st.sampled_from(_DFSPS),
        currency=_maybe(currency) if is_lookup else currency,
        amount=amounts,
        has_details=st.booleans() if gate == "transfer" else st.just(True),
        quoted=st.booleans(),
        payer=_maybe(st.just(1)),
        payee=_maybe(st.just(2)),
        payer_id_type=st.just("MSISDN"),
        payee_id_type=st.sampled_from(["MSISDN", "ALIAS"]),
        scenario=st.sampled_from(["TRANSFER", "PAYMENT", "REFUND"]),
        sub_scenario=_maybe(text),
        initiator=st.just("PAYER"),
        initiator_type=st.sampled_from(["CONSUMER", "AGENT"]),
        payer_type=_maybe(st.sampled_from(["CONSUMER", "AGENT"])),
        refund_of=_maybe(st.just("a-transaction")),
        merchant_code=_maybe(st.sampled_from(["12", "34"])),
        kyc_tier=_maybe(text),
        expires_in_s=_maybe(st.sampled_from([0, 60, 61, 3600])) if gate == "quote" else st.sampled_from([0, 60, 3600]),
        present=st.frozensets(text),
        extensions=st.dictionaries(text, text),
        quoted_amount=_maybe(amounts),
        quoted_currency=currency,
        payer_lists=sets,
        payee_lists=sets,
        payer_markers=sets,
        payee_markers=sets,
        bulk=st.booleans(),
        fx=st.booleans(),
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
