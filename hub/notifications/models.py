"""Notifications to people and other systems, one row for each recipient. The table of notifications is also the queue
of the sender."""

from urllib.parse import urlsplit

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Notification(models.Model):
    """A notification: an e-mail or a webhook. The text of a notification is stored until the notification is sent. The
    database contains a secret text only in encrypted form."""

    class Channel(models.TextChoices):
        EMAIL = "EMAIL"
        WEBHOOK = "WEBHOOK"

    class State(models.TextChoices):
        PENDING = "PENDING"
        SENT = "SENT"
        GIVEN_UP = "GIVEN_UP"  # operators can send the notification again, unless its text was secret
        WITHDRAWN = "WITHDRAWN"  # its content is no longer true, so the hub does not send it

    kind = models.CharField(max_length=32)
    channel = models.CharField(max_length=7, choices=Channel)
    recipient = models.CharField(max_length=512)  # an e-mail address, or a URL; the URL can contain a secret
    subject = models.CharField(max_length=200)
    text = models.TextField(blank=True)  # the text of an e-mail, or the JSON body of a webhook
    is_secret = models.BooleanField()
    sealed = models.BinaryField(null=True)  # the encrypted text of a secret notification
    state = models.CharField(max_length=9, choices=State, db_default=State.PENDING)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(db_default=0)
    leased_until = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=300, db_default="")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            # for claims: finds due rows in order, and finds other claimed rows of the same recipient
            models.Index(fields=["channel", "recipient", "due_at"], condition=Q(state="PENDING"), name="notify_due"),
            # given-up rows, for the portal
            models.Index(fields=["id"], condition=Q(state="GIVEN_UP"), name="notify_given_up"),
            # for the deletion of rows that ended long ago
            models.Index(fields=["ended_at"], condition=~Q(state="PENDING"), name="notify_ended"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="PENDING") | Q(sealed__isnull=True), name="only_what_waits_keeps_a_secret"
            ),
            models.CheckConstraint(
                condition=Q(is_secret=False, sealed__isnull=True) | Q(is_secret=True, text="", channel="EMAIL"),
                name="a_secret_is_sealed_and_goes_by_email",
            ),
            models.CheckConstraint(
                condition=Q(state="PENDING", ended_at__isnull=True) | (~Q(state="PENDING") & Q(ended_at__isnull=False)),
                name="what_ended_has_its_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.shown_recipient}"

    @property
    def shown_recipient(self) -> str:
        """The recipient as pages show it. For a webhook, this is only the URL's host, because the URL's path can be a
        secret."""
        if self.channel == self.Channel.EMAIL:
            return self.recipient
        return f"{urlsplit(self.recipient).hostname}/…"
