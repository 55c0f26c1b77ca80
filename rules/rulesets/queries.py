"""Database queries that read versions of the rules, and decisions, for pages and reports."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from rules.language.checks_of_well_formed_rules import accept
from rules.language.faults import RuleSetRefused
from rules.language.needed_counters import limits_that_refunds_pass as limits_of_a_set
from rules.language.needed_lists_and_markers import list_names, marker_kinds
from rules.rulesets.models import Activation, Decision, RuleSetVersion, Variance


def active() -> Activation | None:
    """Returns the activation that applies now. If people have switched the rules off, the activation has no version."""
    return _began().first()


def active_at(moment: datetime) -> Activation | None:
    """Returns the activation that applied at this time. If people had switched the rules off, the activation has no
    version."""
    found = Activation.objects.filter(valid_from__lte=moment, cancelled_at__isnull=True)
    return found.filter(Q(valid_until__isnull=True) | Q(valid_until__gt=moment)).order_by("-valid_from", "-id").first()


def before_active() -> Activation | None:
    """Returns the activation that a roll-back repeats. This is the latest activation with a different version. An
    activation without a version also counts as an activation with a different version."""
    now = active()
    if now is None:
        return None
    is_other = Q(version__isnull=False) if now.version_id is None else ~Q(version=now.version_id)
    return _began(may_have_ended=True).filter(is_other).exclude(pk=now.pk).first()


def _began(*, may_have_ended: bool = False) -> "QuerySet[Activation]":
    found = Activation.objects.filter(valid_from__lte=Now(), cancelled_at__isnull=True).select_related("version")
    if not may_have_ended:
        found = found.filter(Q(valid_until__isnull=True) | Q(valid_until__gt=Now()))
    return found.order_by("-valid_from", "-id")


def planned() -> "QuerySet[Activation]":
    """Returns the activations that have not begun, the next activation first."""
    found = Activation.objects.filter(valid_from__gt=Now(), cancelled_at__isnull=True).select_related("version")
    return found.order_by("valid_from", "id")


def limits_that_refunds_pass(version: RuleSetVersion) -> list[str]:
    """Returns the ids of the version's limits that a payer DFSP could avoid by marking a payment as a refund."""
    try:
        return limits_of_a_set(accept(version.content).rules)
    except RuleSetRefused:
        return []


def live_rules_about(*, party_list: str = "", marker: str = "") -> list[str]:
    """Returns the ids of those live rules of the active version that use this list or this kind of marker."""
    now = active()
    if now is None or now.version is None:
        return []
    try:
        rule_set = accept(now.version.content)
    except RuleSetRefused:
        return []
    live = [rule for rule in rule_set.rules if rule.mode == "live"]
    return [rule.id for rule in live if party_list in list_names([rule]) or marker in marker_kinds([rule])]


def list_names_of(version: RuleSetVersion) -> frozenset[str]:
    """Returns the names of the lists that the version's rules use."""
    try:
        return list_names(accept(version.content).rules)
    except RuleSetRefused:
        return frozenset()


def version(number: int) -> RuleSetVersion | None:
    return RuleSetVersion.objects.filter(pk=number).first()


def exceptions() -> list[Variance]:
    """Returns the exceptions that apply now, sorted by rule and DFSP."""
    latest = Variance.objects.order_by("rule", "dfsp", "-id").distinct("rule", "dfsp").values("pk")
    return list(Variance.objects.filter(pk__in=latest, until__gt=Now()).order_by("rule", "dfsp"))


MOST_ABOUT_ONE = 100
"""The largest number of decisions that the pages show about one id. A usual payment has at most a few decisions, but a
DFSP can send any number of requests with one id."""
_ABOUT = """
    SELECT d.id FROM unnest(%s::text[], %s::text[]) AS n (subject, payer_dfsp)
    CROSS JOIN LATERAL (
        SELECT d.id FROM rules_rulesets_decision d
        WHERE d.subject = n.subject AND d.payer_dfsp = n.payer_dfsp LIMIT %s
    ) d
"""


def decisions_about(named: Collection[tuple[str, str]]) -> "QuerySet[Decision]":
    """Returns the stored decisions about these quotes and transfers, with the earliest first. Each quote or transfer is
    named by its id and its payer DFSP, because another DFSP can use the same id.

    Each decision lists every rule that fired. For each such rule, the decision contains the conditions, the values in
    the payment, and the thresholds.
    """
    columns = [[subject for subject, _ in named], [payer for _, payer in named]]
    return Decision.objects.filter(pk__in=RawSQL(_ABOUT, [*columns, MOST_ABOUT_ONE])).order_by("id")  # noqa: S611 (a constant)


def refusals_of_lookups(subjects: Collection[str], *, since: datetime, until: datetime) -> list[Decision]:
    """Returns the stored refusals of these lookups between the two times."""
    refusals = Decision.objects.filter(
        subject__in=list(subjects), gate="lookup", outcome=Decision.Outcome.REFUSE, at__range=(since, until)
    )
    return list(refusals.order_by("id").defer("facts"))
