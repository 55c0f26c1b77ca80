"""The tables of certifications: the runs and their cases."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from hub.participants.models import Participant


class Certification(models.Model):
    """One run of the cases for one DFSP. After the end of the run, the row never changes."""

    class State(models.TextChoices):
        WAITING = "WAITING", _("Waiting")
        RUNNING = "RUNNING", _("Running")
        PASSED = "PASSED", _("Passed")
        FAILED = "FAILED", _("Failed")
        INTERRUPTED = "INTERRUPTED", _("Interrupted")

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=11, choices=State, default=State.WAITING)
    options = models.JSONField()  # `portal.certification.options.Options`
    asked_by = models.CharField(max_length=320)
    asked_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)  # when the process last reported that it is alive
    ended_at = models.DateTimeField(null=True)
    report = models.TextField(blank=True)  # the JSON exactly as it is signed
    # a compact JWS with the report as its payload; empty if the hub has no signing key
    signature = models.TextField(blank=True)
    fault = models.CharField(max_length=512, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["participant", "-ended_at"], name="certification_by_end")]
        constraints = [
            models.CheckConstraint(
                condition=~Q(state__in=["PASSED", "FAILED"]) | (~Q(report="") & Q(ended_at__isnull=False)),
                name="a_judged_certification_has_its_report",
            )
        ]
        triggers = [
            pgtrigger.Protect(
                name="an_ended_certification_never_changes",
                operation=pgtrigger.Update | pgtrigger.Delete,
                condition=pgtrigger.Condition("OLD.state IN ('PASSED', 'FAILED', 'INTERRUPTED')"),
            ),
            # Before its go-live, a DFSP may exchange test payments only during its certification.
            # `portal.certification.starting_and_ending_runs.let_pay` gives this permission. The trigger withdraws the
            # permission whenever a certification ends.
            pgtrigger.Trigger(
                name="the_end_of_a_certification_ends_its_payments",
                operation=pgtrigger.Update,
                when=pgtrigger.After,
                condition=pgtrigger.Condition("OLD.state = 'RUNNING' AND NEW.state <> 'RUNNING'"),
                func="""
                    UPDATE participants_participant SET tested_by_id = NULL
                    WHERE id = NEW.participant_id AND tested_by_id IS NOT NULL;
                    RETURN NULL;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"certification {self.pk} of {self.participant}: {self.state}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


OPEN = (Certification.State.WAITING, Certification.State.RUNNING)


class CertificationCase(models.Model):
    """One case of a run, with the messages and the faults of the case."""

    class Verdict(models.TextChoices):
        WAITING = "WAITING", _("Waiting")
        RUNNING = "RUNNING", _("Running")
        PASSED = "PASSED", _("Passed")
        FAILED = "FAILED", _("Failed")
        NOT_JUDGED = "NOT_JUDGED", _("Not judged")
        LEFT_OUT = "LEFT_OUT", _("Left out")

    certification = models.ForeignKey(Certification, on_delete=models.PROTECT, related_name="cases")
    number = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=40)  # `portal.certification.cases.Case.name`
    verdict = models.CharField(max_length=10, choices=Verdict, default=Verdict.WAITING)
    faults = models.JSONField(default=list)  # code and values of each fault: `portal.certification.faults`
    exchanges = models.JSONField(default=list)  # the messages: `portal.certification.shown_messages.Exchange`
    # the payment that a person at the DFSP must make now, or the payment whose state this person must report
    instruction = models.JSONField(null=True)
    # the state that a person reported, and the person: `portal.certification.outcomes_by_hand`
    reported = models.JSONField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["certification", "name"], name="a_case_runs_once_in_a_certification")
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}"
