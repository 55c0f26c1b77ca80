"""The tables of versions of the scheme's rules, of activations, of exceptions, and of decisions about payments."""

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class RuleSetVersion(models.Model):
    """The rules of the scheme as one document. A stored version never changes.

    Each change of the rules creates a new version.
    """

    number = models.BigAutoField(primary_key=True)
    language = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=128)
    content = models.JSONField()
    digest = models.BinaryField(max_length=32)  # the SHA-256 of the canonical JSON
    author = models.CharField(max_length=128)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["digest"], name="equal_rules_are_one_version")]
        triggers = [pgtrigger.Protect(name="a_version_never_changes", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


class Activation(models.Model):
    """The period in which a version judges payments. If a period has no version, no rules judge payments in this
    period.

    If two periods overlap, the period that began later determines the version during the overlap. When a limited period
    ends, the version of the earlier period is active again.
    """

    version = models.ForeignKey(RuleSetVersion, on_delete=models.PROTECT, related_name="activations", null=True)
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(null=True)
    reason = models.CharField(max_length=512)
    actor = models.CharField(max_length=320)  # the requester and the approver, as in the audit trail
    created_at = models.DateTimeField(db_default=Now())
    cancelled_at = models.DateTimeField(null=True)  # set if the activation was cancelled before the period began

    class Meta:
        ordering = ["-valid_from", "-id"]
        indexes = [models.Index(fields=["-valid_from", "-id"], name="activation_latest_first")]
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gt=F("valid_from")),
                name="an_activation_begins_before_it_ends",
            ),
            models.CheckConstraint(
                condition=Q(cancelled_at__isnull=True) | Q(cancelled_at__lt=F("valid_from")),
                name="an_activation_is_cancelled_before_it_begins",
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="an_activation_keeps_its_terms",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "(OLD.cancelled_at IS NOT NULL OR to_jsonb(NEW) - 'cancelled_at' <> to_jsonb(OLD) - 'cancelled_at')"
                ),
            ),
            pgtrigger.Protect(name="an_activation_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"version {self.version_id} from {self.valid_from:%Y-%m-%d %H:%M}"


class Variance(models.Model):
    """An exception from one rule for one DFSP, until a date.

    If there are several rows for a rule and a DFSP, the latest row applies.
    """

    rule = models.CharField(max_length=64)  # the rule's id, which is the same in every version
    dfsp = models.CharField(max_length=32)
    until = models.DateTimeField()
    reason = models.CharField(max_length=512)
    actor = models.CharField(max_length=320)  # the requester and the approver, as in the audit trail
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        triggers = [pgtrigger.Protect(name="a_variance_never_changes", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.dfsp} is exempt from {self.rule} until {self.until:%Y-%m-%d}"


class Decision(models.Model):
    """The verdict of one version about one payment at one gate. If a rule fired, the table contains the verdict. Of the
    remaining verdicts, the table contains one in a hundred.

    The key of a party is a keyed hash from `rules.party_keys`. The facts include the counters that the decision has
    read. So a replay can make the same decision again. The hub erases the facts of a decision after `RETENTION_DAYS`
    days.
    """

    class Outcome(models.TextChoices):
        ALLOW = "ALLOW"
        ALERT = "ALERT"
        HOLD = "HOLD"
        REFUSE = "REFUSE"

    gate = models.CharField(max_length=8)  # "release" for the release of a held transfer
    subject = models.CharField(max_length=64)  # the id of the quote or transfer
    # NULL if a kill switch refused the payment while no version was active.
    version = models.ForeignKey(RuleSetVersion, on_delete=models.PROTECT, related_name="+", db_index=False, null=True)
    outcome = models.CharField(max_length=6, choices=Outcome)
    code = models.CharField(max_length=4, null=True)
    hits = models.JSONField()
    is_sampled = models.BooleanField()
    facts_digest = models.BinaryField(max_length=32)
    facts = models.BinaryField(null=True)
    payer_dfsp = models.CharField(max_length=32)
    payee_dfsp = models.CharField(max_length=32)
    payer_key = models.BigIntegerField(null=True)
    payee_key = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, null=True)
    amount = models.BigIntegerField(null=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            # A DFSP can send any number of requests with one id, such as an FX quote that the rules refuse again and
            # again. So the hub finds the decision about a transfer by the gate too, and a refused quote by its payer.
            models.Index(fields=["subject", "gate"], name="decision_by_subject_and_gate"),
            models.Index(
                fields=["subject", "payer_dfsp", "-id"],
                condition=Q(gate="quote", outcome="REFUSE", facts__isnull=False),
                name="decision_refused_quote",
            ),
            models.Index(fields=["at"], name="decision_by_time"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=~Q(outcome="REFUSE") | Q(code__isnull=False), name="a_refusal_by_a_rule_has_its_code"
            )
        ]
        triggers = [
            pgtrigger.Protect(
                name="a_decision_never_changes",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "(NEW.facts IS NOT NULL OR OLD.at > now() - interval '1 day'"
                    " OR to_jsonb(NEW) - 'facts' <> to_jsonb(OLD) - 'facts')"
                ),
            ),
            pgtrigger.Protect(
                name="a_decision_is_kept_for_a_day",
                operation=pgtrigger.Delete,
                condition=pgtrigger.Condition("(OLD.at > now() - interval '1 day')"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.gate} {self.subject}: {self.outcome}"
