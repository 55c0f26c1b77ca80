"""Stores the verdicts about payments: each with an effect or a hit of a rule, and one in a hundred of the others."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from rules import facts as facts_of_payments
from rules.decide import Verdict
from rules.facts import Facts
from rules.rulesets import store
from rules.rulesets.store import DecisionRow

_ONE_IN = 100


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict about one payment at one gate. `subject` is the id of the quote, transfer or lookup."""

    subject: str
    facts: Facts
    verdict: Verdict


def save(version: int, judged: Sequence[Judged]) -> None:
    """Stores those of these verdicts that are kept, by one statement. No statement where there are none."""
    rows = [_row(version, each) for each in judged if _is_kept(each)]
    if rows:
        store.add_decisions(rows)


def _is_kept(judged: Judged) -> bool:
    # A kill switch refuses without a hit of a rule.
    return bool(judged.verdict.hits) or judged.verdict.outcome != "ALLOW" or is_sampled(judged.subject)


def is_sampled(subject: str) -> bool:
    """Returns whether the verdict about this payment is kept without a hit. The same payment always gives the same."""
    return zlib.crc32(subject.encode()) % _ONE_IN == 0


def _row(version: int, judged: Judged) -> DecisionRow:
    facts, verdict = judged.facts, judged.verdict
    hits: Any = msgspec.to_builtins(verdict.hits)
    return DecisionRow(
        gate=facts.gate,
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
