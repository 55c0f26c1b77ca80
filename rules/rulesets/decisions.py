"""Stores the verdicts about payments, and raises alerts.

The hub stores each verdict that has an effect, and each verdict with a rule that fired. From all other verdicts, the
hub stores one in a hundred.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from rules import facts as facts_of_payments
from rules.alerts.services import RULE, SKIPPED, Sighting, raise_alerts
from rules.decide import Hit, Verdict
from rules.facts import Facts
from rules.rulesets import sql_for_payments
from rules.rulesets.sql_for_payments import DecisionRow

_ONE_IN = 100
_MOST_NAMED = 100  # the largest number of skipped rules that one report names


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict about one payment at one gate. `subject` is the id of the quote, transfer or lookup.

    `gate` is the gate of the facts, "answer" for the payee's terms, or "release" for a held transfer.
    """

    subject: str
    facts: Facts
    verdict: Verdict
    gate: str = ""


def save(version: int | None, judged: Sequence[Judged]) -> None:
    """Stores the verdicts that the hub keeps, and raises the alerts that these verdicts require.

    If there are decisions, runs one SQL statement for all of them. If there are alerts, runs one SQL statement for all
    of them. Without an active version, only kill switches have judged the payments. In this case, the hub stores only
    refusals.
    """
    if version is None:
        judged = [each for each in judged if each.verdict.outcome != "ALLOW"]
    rows = [_row(version, each) for each in judged if is_kept(each.subject, each.verdict)]
    if rows:
        sql_for_payments.add_decisions(rows)
    raise_alerts(sighting for each in judged for sighting in _sightings(version, each))


def raises_alert(hit: Hit) -> bool:
    """Returns whether this hit of a rule raises an alert. A hit raises an alert only if it has an effect. In addition,
    one of three conditions must be true: the rule's action is an alert, the check was skipped, or the rule is a fraud
    rule."""
    return hit.counts and (hit.action == "alert" or hit.skipped or hit.kind == "fraud")


def _sightings(version: int | None, judged: Judged) -> Iterator[Sighting]:
    """Yields the reports about a payment. All skipped checks of one party form one report.

    If each skipped check had its own report, a transfer without a quote could cause one report for each rule.
    """
    skipped: dict[int, list[Sighting]] = {}
    for hit in judged.verdict.hits:
        if not raises_alert(hit):
            continue
        sighting = _sighting(version, judged, hit)
        if hit.skipped:
            skipped.setdefault(sighting.key, []).append(sighting)
        else:
            yield sighting
    for first, *others in skipped.values():
        also = [each.rule for each in others[:_MOST_NAMED]]
        yield replace(first, details={**(first.details or {}), "also": also}) if also else first


def _sighting(version: int | None, judged: Judged, hit: Hit) -> Sighting:
    facts = judged.facts
    is_payees = _is_about_payee(hit)
    party = facts.payee if is_payees else facts.payer
    dfsp = (facts.payee_dfsp or "") if is_payees else facts.payer_dfsp
    return Sighting(
        kind=SKIPPED if hit.skipped else RULE,
        party=party,
        dfsp=dfsp or facts.payer_dfsp,
        rule=hit.rule,
        rules_version=version,
        gate=facts.gate,
        subject=judged.subject,
        payer_dfsp=facts.payer_dfsp,
        payee_dfsp=facts.payee_dfsp or "",
        amount=facts.amount if facts.gate != "lookup" else None,
        currency=facts.currency or "",
        details=msgspec.to_builtins(hit),
    )


def _is_about_payee(hit: Hit) -> bool:
    """Returns whether the alert belongs to the payee.

    The alert belongs to the payee if the rule's error code blames the payee, or if the rule reads facts only about the
    payee.
    """
    if hit.code is not None and hit.code[0] in "45":
        return hit.code[0] == "5"
    sides = {reading.fact.partition(".")[0] for reading in hit.readings}
    return bool(sides & {"payee", "alias"}) and not sides & {"payer", "pair"}


def is_kept(subject: str, verdict: Verdict) -> bool:
    """Returns whether the verdict about this payment is stored."""
    # If a kill switch refuses a payment, no rule has fired.
    return bool(verdict.hits) or verdict.outcome != "ALLOW" or is_sampled(subject)


def is_sampled(subject: str) -> bool:
    """If no rule fired for a payment, the hub stores the verdict only for one payment in a hundred. Returns
    whether, in this case, the hub stores the verdict about this payment.

    The result for a payment is always the same.
    """
    return zlib.crc32(subject.encode()) % _ONE_IN == 0


def _row(version: int | None, judged: Judged) -> DecisionRow:
    facts, verdict = judged.facts, judged.verdict
    hits: Any = msgspec.to_builtins(verdict.hits)
    return DecisionRow(
        gate=judged.gate or facts.gate,
        subject=judged.subject,
        version=version,
        outcome=verdict.outcome,
        code=verdict.code,
        hits=hits,
        is_sampled=is_sampled(judged.subject),
        facts_digest=facts_of_payments.digest(facts),
        facts=facts_of_payments.to_bytes(facts),
        payer_dfsp=facts.payer_dfsp,
        payee_dfsp=facts.payee_dfsp or "",
        payer_key=facts.payer,
        payee_key=facts.payee,
        currency=facts.currency,
        amount=facts.amount if facts.gate != "lookup" else None,
        at=facts.now,
    )
