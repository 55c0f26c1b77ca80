"""Finds the profiles of a payment: the profiles that rules read, and the profiles that count the payment."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rules.facts import Facts
from rules.language.compiled_types import CompiledRules
from rules.language.counter_types import LIMITS, Need, Subject
from rules.language.needed_counters import comparisons, counter_names, is_limit
from rules.language.rule_types import Trigger
from rules.party_keys import dfsp_key, pair_key, transaction_key
from rules.profiles.counted_payments import Keys

_OF_PROFILES = frozenset(
    {
        "sent_count",
        "sent_value",
        "received_count",
        "received_value",
        "distinct_payees",
        "distinct_payers",
        "age",
        "idle",
        "moved",
        "within_original",
    }
)
REFUND = "REFUND"


def key_of_subject(subject: Subject, facts: Facts) -> int | None:
    """Returns the key of a subject of this payment, or None if the payment does not have this subject."""
    match subject:
        case "payer":
            return facts.payer
        case "payee":
            return facts.payee
        case "alias":
            return facts.payee if facts.payee_alias is None else facts.payee_alias
        case "payer_dfsp":
            return dfsp_key(facts.payer_dfsp)
        case "payee_dfsp":
            return None if facts.payee_dfsp is None else dfsp_key(facts.payee_dfsp)
        case "pair":
            return None if facts.payer is None or facts.payee is None else pair_key(facts.payer, facts.payee)
        case "original":
            named = facts.original or facts.refund_of
            return None if named is None else transaction_key(named)


def other_key_of_original(facts: Facts) -> int | None:
    """Returns the key of a second profile with refunds of the same original, or None.

    The hub counts the refunds of an original under the original's transfer id. But the hub counts a refund under the id
    in the refund if the original is not committed yet. Earlier releases of the hub always counted refunds in this way.
    """
    return None if facts.original_transaction is None else transaction_key(facts.original_transaction)


def keys_of_subjects(subjects: Collection[Subject], facts: Facts) -> set[int]:
    """Returns the keys of all profiles of these subjects."""
    keys = {key_of_subject(subject, facts) for subject in subjects}
    if "original" in subjects:
        keys.add(other_key_of_original(facts))
    return {key for key in keys if key is not None}


def is_refund(facts: Facts) -> bool:
    """Returns whether the payment is a refund. Refunds are counted separately from other payments.

    Only the use case decides whether a payment is a refund. If the id of an original payment made a payment a refund,
    any payment could avoid all limits by naming an original payment.
    """
    return facts.scenario == REFUND


def keys_to_count(facts: Facts, counted_too: Collection[Subject]) -> Keys:
    """Returns the profiles that count the payment.

    The result always includes the profiles of the parties. The result includes another profile only if a rule needs
    this profile.
    """
    assert facts.payee_dfsp is not None
    return Keys(
        payer=facts.payer,
        payee=facts.payee,
        alias=facts.payee_alias if facts.payee_alias != facts.payee else None,
        payer_dfsp=dfsp_key(facts.payer_dfsp) if "payer_dfsp" in counted_too else None,
        payee_dfsp=dfsp_key(facts.payee_dfsp) if "payee_dfsp" in counted_too else None,
        pair=key_of_subject("pair", facts) if "pair" in counted_too else None,
        original=key_of_subject("original", facts) if is_refund(facts) else None,
    )


def subjects_read(needs: Collection[Need]) -> frozenset[Subject]:
    """Returns the subjects whose profiles these counters read."""
    return frozenset(need.subject for need in needs if need.measure in _OF_PROFILES)


def asks_for(needs: Collection[Need], *measures: str) -> bool:
    """Returns whether the rules need one of these measures."""
    return any(need.measure in measures for need in needs)


@dataclass(frozen=True, slots=True)
class Limit:
    """A live rule that refuses payments because of exact counters. The object names the subjects of these counters, and
    describes the payments to which the rule applies.
    """

    when: Trigger
    subjects: frozenset[Subject]


def limits_of(compiled: CompiledRules) -> Sequence[Limit]:
    """Returns the limits among these rules."""
    found = []
    for rule in compiled.rules:
        if not is_limit(rule):
            continue
        names = [name for each in comparisons(rule.whole_condition) for name in counter_names(each, rule.when)]
        subjects = frozenset(subject for subject, measure, *_ in names if measure in LIMITS)
        if subjects:
            found.append(Limit(rule.when, subjects))
    return found


def may_look_at(when: Trigger, facts: Facts) -> bool:
    """Returns whether a rule with this trigger applies to the payment.

    Returns True if a fact that the trigger needs is missing.
    """
    return (
        (not when.currencies or facts.currency in when.currencies)
        and (not when.payer_dfsps or facts.payer_dfsp in when.payer_dfsps)
        and (not when.payee_dfsps or facts.payee_dfsp in when.payee_dfsps)
        and (not when.scenarios or not facts.has_details or facts.scenario in when.scenarios)
    )


def keys_to_lock(facts: Facts, limits: Sequence[Limit]) -> set[int]:
    """Returns the profiles that must not change while the hub judges the payment.

    If no limit applies to the payment, returns no profile. A limit that does not apply to this payment can still read
    this payment's profiles. In this case, the hub can count this payment either before or after the payments to which
    the limit applies.
    """
    subjects: set[Subject] = set()
    for limit in limits:
        if not limit.subjects <= subjects and may_look_at(limit.when, facts):
            subjects |= limit.subjects
    return keys_of_subjects(subjects, facts)
