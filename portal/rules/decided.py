"""The rules' decisions about one payment: each evaluated rule with its conditions, values and thresholds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from msgspec import DecodeError, to_builtins

from hub.sweeps.models import Erasure
from ledger.models import Transfer
from portal.customer_data_retention import HITS
from portal.rules import sentences
from quotes.models import Quote
from rules import facts as facts_of_payments
from rules.facts import Gate
from rules.language.interpret import applies, reader_of
from rules.language.values_of_conditions import read_conditions
from rules.recorded_counters import RecordedCounters
from rules.rulesets import active_rules, queries
from rules.rulesets.models import Decision
from rules.transfer_gate import rules_at_transfer


@dataclass(frozen=True, slots=True)
class Shown:
    """One condition in words: the fact, the payment's value, the threshold, and whether the condition was true."""

    fact: str
    value: str
    threshold: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class JudgedRule:
    """A rule that was evaluated for a payment. `effect` is empty for a rule that did not fire."""

    id: str
    title: str
    effect: str
    is_shadow: bool
    is_excused: bool
    is_skipped: bool
    readings: Sequence[Shown]
    only_for: Sequence[str] = ()
    """The payments to which the rule applies, in words. Empty if the rule applies to this payment."""

    @property
    def is_refusal(self) -> bool:
        return self.effect.startswith("REFUSE")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A decision of the rules about a lookup, a quote or a transfer. The rules that fired come first."""

    decision: Decision
    gate: Any
    rules: Sequence[JudgedRule]

    @property
    def fired(self) -> Sequence[JudgedRule]:
        return [rule for rule in self.rules if rule.effect]

    @property
    def others(self) -> Sequence[JudgedRule]:
        return [rule for rule in self.rules if not rule.effect]


@dataclass(frozen=True, slots=True)
class NotStored:
    """A quote or a transfer that arrived while a version was active, but about which no decision is stored. So no rule
    hit the payment, unless the hub has already deleted the decisions of that time."""

    gate: Any
    at: datetime
    version: int
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class Decided:
    """The decisions of the rules about one payment, as the payment's page shows them."""

    judgements: Sequence[Judgement]
    not_stored: Sequence[NotStored]

    def __bool__(self) -> bool:
        return bool(self.judgements or self.not_stored)


def of_payment(
    *, payer: str, quote: Quote | None, transfer: Transfer | None = None, bulk_quote_id: str | None = None
) -> Decided:
    """Returns the stored decisions about the quote and the transfer, with the earliest first. Also returns which of the
    two have no stored decision. If the quote is a payment of a bulk quote, includes the decisions about the bulk quote.
    `payer` is the name of the payment's payer DFSP.
    """
    steps: list[tuple[Gate, str, datetime]] = []
    if quote is not None:
        steps.append(("quote", quote.pk, quote.created_at))
    if transfer is not None:
        steps.append(("transfer", transfer.pk, transfer.received_at))
    subjects = [subject for _, subject, _ in steps] + ([] if bulk_quote_id is None else [bulk_quote_id])
    decisions = queries.decisions_about([(subject, payer) for subject in subjects]).select_related("version")
    stored = {(decision.gate, decision.subject) for decision in decisions}
    missing = [(gate, at) for gate, subject, at in steps if (gate, subject) not in stored]
    return Decided([_judgement(decision) for decision in decisions], _not_stored(missing))


def _not_stored(steps: Sequence[tuple[Gate, datetime]]) -> list[NotStored]:
    if not steps:
        return []
    deleted = Erasure.objects.filter(kind=HITS.kind).values_list("up_to", flat=True).first()
    found = []
    for gate, at in steps:
        activation = queries.active_at(at)
        if activation is not None and activation.version_id is not None:
            is_deleted = deleted is not None and at < deleted
            found.append(NotStored(sentences.GATES[gate], at, activation.version_id, is_deleted))
    return found


def _judgement(decision: Decision) -> Judgement:
    rules = decision.version.content.get("rules", ()) if decision.version is not None else ()
    titles = {rule["id"]: rule["title"] for rule in rules}
    fired = [_fired(hit, titles) for hit in decision.hits]
    return Judgement(
        decision, sentences.MOMENTS[decision.gate], [*fired, *_not_fired(decision, {rule.id for rule in fired})]
    )


def _fired(hit: Mapping[str, Any], titles: Mapping[str, str]) -> JudgedRule:
    return JudgedRule(
        hit["rule"],
        titles.get(hit["rule"], ""),
        " ".join(filter(None, [hit["action"].upper(), hit.get("code")])),
        bool(hit.get("shadow")),
        bool(hit.get("excused")),
        bool(hit.get("skipped")),
        shown_readings(hit.get("readings") or ()),
    )


def shown_readings(readings: Iterable[Mapping[str, Any]]) -> list[Shown]:
    """Returns the stored values of conditions in words."""
    found = []
    for each in readings:
        currency = each.get("currency", "")
        found.append(
            Shown(
                sentences.fact_text(each["fact"], window_s=each.get("window_s", 0), key=each.get("key", "")),
                sentences.value_text(each["unit"], each["value"], currency=currency),
                sentences.operator_text(each["unit"], each["operator"], each["threshold"], currency=currency),
                each["holds"],
            )
        )
    return found


def _not_fired(decision: Decision, fired: set[str]) -> list[JudgedRule]:
    """Returns the rules that did not fire. Evaluates these rules again with the stored facts and the stored counters.

    If a cheaper condition already excluded the rule, the hub did not read the counter. The value of the counter is then
    unknown.
    """
    if decision.facts is None or decision.version is None or decision.gate not in sentences.GATES:
        return []
    try:
        facts = facts_of_payments.from_bytes(bytes(decision.facts))
        read = _read(decision.version.pk, bytes(decision.version.digest))
        compiled = read.by_gate[cast(Gate, decision.gate)]
        if decision.gate == "transfer":
            compiled = rules_at_transfer(facts, compiled, read.without_quote, read.judged_again)
    except (DecodeError, active_rules.CannotBeRead):
        return []
    found = []
    for rule in compiled.rules:
        if rule.id not in fired:
            readings = shown_readings(map(to_builtins, read_conditions(rule, facts, compiled, RecordedCounters())))
            is_shadow = rule.mode == "shadow"
            is_for_others = applies(rule.when, facts, reader_of(compiled, facts, RecordedCounters().get)) is False
            only_for = sentences.sentence_of(rule).trigger if is_for_others else ()
            found.append(JudgedRule(rule.id, rule.title, "", is_shadow, False, False, readings, only_for))
    return found


# The cache is correct, because a version never changes. The cache is useful, because the compilation of a large version
# takes a long time.
@lru_cache(maxsize=8)
def _read(number: int, _digest: bytes) -> active_rules.Version:
    return active_rules.read(number)
