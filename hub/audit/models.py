"""The audit trail (actor, action, time, states before and after), and requests for a second person's approval.

The hub only adds entries to the audit trail, and each entry contains a hash that depends on the previous entry. The
content of a request never changes, and a request is decided only once.
"""

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class Entry(models.Model):
    at = models.DateTimeField()
    actor = models.CharField(max_length=128)
    address = models.GenericIPAddressField(null=True)  # the client's address, if an HTTP request caused the change
    action = models.CharField(max_length=64)
    subject = models.CharField(max_length=128)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "entries"
        indexes = [
            # one subject's history
            models.Index(fields=["subject", "id"], name="audit_by_subject"),
            # for the portal's search by time
            models.Index(fields=["at"], name="audit_by_time"),
        ]
        triggers = [
            pgtrigger.Protect(name="audit_entries_are_only_ever_added", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor} {self.action} {self.subject}"


class Approval(models.Model):
    """A change that a person or a program requests, and that another person approves or rejects."""

    class State(models.TextChoices):
        PENDING = "PENDING"
        APPROVED = "APPROVED"  # the database transaction that set this state also made the change
        REFUSED = "REFUSED"
        WITHDRAWN = "WITHDRAWN"

    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=128)
    payload = models.JSONField()
    payload_hash = models.BinaryField(max_length=32)
    reason = models.CharField(max_length=512)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    # If a program requested the change: the API client or command, and the person who holds the client's secret.
    client = models.CharField(max_length=128, default="", db_default="")
    holder = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    asked_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=State, default=State.PENDING)
    checker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True)
    decided_at = models.DateTimeField(null=True)
    decision = models.CharField(max_length=512, blank=True)
    # How many people must approve the request, in addition to the requester.
    checkers_needed = models.PositiveSmallIntegerField(default=1, db_default=1)
    mailed_at = models.DateTimeField(null=True)  # when the hub sent e-mails to the people who may approve the request

    class Meta:
        ordering = ["-id"]
        indexes = [
            # the requests that wait for approval
            models.Index(fields=["expires_at"], condition=Q(state="PENDING"), name="approval_pending"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(checkers_needed__gte=1, checkers_needed__lte=5), name="a_request_needs_one_to_five_checkers"
            ),
            models.CheckConstraint(condition=~Q(maker=F("checker")), name="nobody_checks_what_they_asked_for"),
            models.CheckConstraint(condition=~Q(holder=F("checker")), name="nobody_checks_what_their_client_asked_for"),
            models.CheckConstraint(
                condition=Q(maker__isnull=False, client="", holder__isnull=True)
                | (Q(maker__isnull=True) & ~Q(client="")),
                name="a_request_is_a_persons_or_a_clients",
            ),
            models.CheckConstraint(
                condition=Q(state="PENDING", checker__isnull=True, decided_at__isnull=True)
                | Q(state="WITHDRAWN", checker__isnull=True, decided_at__isnull=False)
                | Q(state__in=["APPROVED", "REFUSED"], checker__isnull=False, decided_at__isnull=False),
                name="a_decision_has_its_checker_and_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="APPROVED") | Q(decided_at__lt=F("expires_at")), name="what_expired_is_not_approved"
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="an_approval_keeps_its_terms_and_ends_once",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                func="""
                    IF OLD.state <> 'PENDING' THEN
                        RAISE EXCEPTION 'approval % was decided', OLD.id USING ERRCODE = 'check_violation';
                    ELSIF (NEW.id, NEW.kind, NEW.subject, NEW.payload, NEW.payload_hash, NEW.reason, NEW.maker_id,
                           NEW.client, NEW.holder_id, NEW.asked_at, NEW.expires_at, NEW.checkers_needed)
                        IS DISTINCT FROM
                          (OLD.id, OLD.kind, OLD.subject, OLD.payload, OLD.payload_hash, OLD.reason, OLD.maker_id,
                           OLD.client, OLD.holder_id, OLD.asked_at, OLD.expires_at, OLD.checkers_needed) THEN
                        RAISE EXCEPTION 'the terms of approval % do not change', OLD.id
                            USING ERRCODE = 'check_violation';
                    ELSIF NEW.state = 'APPROVED' AND OLD.checkers_needed > 1 + (
                        SELECT count(*) FROM audit_consent c
                        WHERE c.approval_id = OLD.id AND c.checker_id <> NEW.checker_id) THEN
                        RAISE EXCEPTION 'approval % needs % checkers', OLD.id, OLD.checkers_needed
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
            pgtrigger.Protect(name="an_approval_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    @property
    def asked_by(self) -> str:
        """The name of the person or program that requested the change."""
        return self.maker.get_username() if self.maker else self.client


class Consent(models.Model):
    """The approval of one person for a request that needs several people. The last person who approves is the request's
    `checker`: after this person's approval, the hub makes the change."""

    approval = models.ForeignKey(Approval, on_delete=models.PROTECT, related_name="consents", db_index=False)
    checker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["approval", "checker"], name="a_person_consents_once_to_a_request"),
        ]
        triggers = [
            pgtrigger.Protect(name="consents_are_only_added", operation=pgtrigger.Update | pgtrigger.Delete),
            pgtrigger.Trigger(
                name="a_consent_is_anothers_and_early",
                operation=pgtrigger.Insert,
                when=pgtrigger.Before,
                func="""
                    PERFORM FROM audit_approval a WHERE a.id = NEW.approval_id AND a.state = 'PENDING'
                        AND a.maker_id IS DISTINCT FROM NEW.checker_id AND a.holder_id IS DISTINCT FROM NEW.checker_id;
                    IF NOT FOUND THEN
                        RAISE EXCEPTION 'approval % was decided, or its requester consents', NEW.approval_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.checker_id} to approval {self.approval_id}"
