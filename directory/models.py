"""The aliases in the hub's own oracle, the registered external oracles, and open lookups."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from hub.participants.models import Participant


class PartyIdentifier(models.Model):
    """A row contains one alias of a customer, such as an MSISDN, and the customer's DFSP.

    The row has no other data about the customer.
    """

    type = models.CharField(max_length=32)
    identifier = models.CharField(max_length=128)
    sub_id = models.CharField(max_length=128, blank=True, default="")
    currency = models.CharField(max_length=3, blank=True, default="")
    fsp = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="party_identifiers")
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["type", "identifier", "sub_id", "currency"], name="an_alias_belongs_to_one_dfsp_per_currency"
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} of {self.fsp}"


class Oracle(models.Model):
    """An external registry of aliases of one type. The hub sends HTTP requests to this registry.

    A registry whose currency is empty serves all currencies.
    """

    class EndpointType(models.TextChoices):
        URL = "URL"

    type = models.CharField(max_length=32)
    endpoint_type = models.CharField(max_length=8, choices=EndpointType, default=EndpointType.URL)
    endpoint = models.CharField(max_length=512)
    currency = models.CharField(max_length=3, blank=True, default="")
    is_default = models.BooleanField(default=False)  # for a request without a currency, the hub asks this oracle first
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["type", "endpoint_type", "currency"], name="one_oracle_answers_for_a_type_in_a_currency"
            )
        ]

    def __str__(self) -> str:
        return f"oracle {self.pk} for {self.type} {self.currency}".rstrip()


class PartyLookup(models.Model):
    """A forwarded GET /parties. A lookup waits until its answer arrives or is overdue.

    After a lookup ends, the hub keeps the lookup's row for PARTY_ANSWER_S. During this time the DFSP can still send a
    late answer, or repeat its answer.
    """

    requester = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    owner = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    subject = models.CharField(max_length=64)  # the outbox keeps the order of messages with the same subject
    error_path = models.CharField(max_length=1024)
    version = models.CharField(max_length=8)
    asked_at = models.DateTimeField(db_default=Now())
    answer_by = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)  # the time of the answer, or of the error to the requester
    answers = models.PositiveSmallIntegerField(db_default=0)  # the number of forwarded answers

    class Meta:
        ordering = ["id"]
        constraints = [
            # with this index, the hub finds the lookup to which an answer belongs
            models.UniqueConstraint(fields=["requester", "subject", "owner"], name="one_lookup_waits_for_an_answer")
        ]
        indexes = [
            # this index is for the sweep, which ends the overdue lookups of one requester after another
            models.Index(
                fields=["requester", "answer_by"],
                condition=Q(ended_at__isnull=True),
                name="lookup_waiting_by_requester",
            ),
            # this index is for the sweep that deletes old lookups
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="lookup_ended"),
        ]

    def __str__(self) -> str:
        return f"lookup by {self.requester_id} at {self.owner_id}"


class TrialLookup(models.Model):
    """A lookup of a test number. The hub sends this lookup to a DFSP before the DFSP goes live.

    `subject` is a digest of the request's path, which contains the number. `shown` has only the last characters of the
    number.
    """

    class Fault(models.TextChoices):
        NOT_ACCEPTED = "NOT_ACCEPTED"  # the hub could not send the request, or the response was an error
        OTHER_NUMBER = "OTHER_NUMBER"
        OTHER_DFSP = "OTHER_DFSP"  # the answer's fspId is not the DFSP that got the trial lookup
        ERROR = "ERROR"

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+")
    alias_type = models.CharField(max_length=32)
    shown = models.CharField(max_length=8)
    subject = models.CharField(max_length=64)
    asked_by = models.CharField(max_length=320)
    asked_at = models.DateTimeField(db_default=Now())
    answered_at = models.DateTimeField(null=True)
    is_right = models.BooleanField(null=True)
    fault = models.CharField(max_length=12, choices=Fault, blank=True, default="")
    detail = models.CharField(max_length=512, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(answered_at__isnull=True, is_right__isnull=True)
                | Q(answered_at__isnull=False, is_right__isnull=False),
                name="an_answered_trial_is_right_or_wrong",
            ),
            models.CheckConstraint(condition=~Q(is_right=True) | Q(fault=""), name="a_right_answer_has_no_fault"),
        ]

    def __str__(self) -> str:
        return f"trial lookup {self.pk} at {self.participant_id}"


class EndedLookup(models.Model):
    """The times of a lookup whose row was removed. The hub keeps these times until the portal's payment history has
    counted the lookup. A row contains no alias.
    """

    requester = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    owner = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    is_answered = models.BooleanField()  # answered in time

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"lookup by {self.requester_id} at {self.owner_id}, ended {self.ended_at:%Y-%m-%d %H:%M:%S}"
