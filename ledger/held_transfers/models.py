"""The table of held transfers: columns, constraints and triggers."""

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class HeldTransfer(models.Model):
    """The hold of one transfer. The row remains after the hold has ended. During a hold, the hub does not send the
    transfer's POST to the payee.
    """

    class State(models.TextChoices):
        HELD = "HELD"
        RELEASED = "RELEASED"  # the release of the transfer also added the payee's POST to the outbox
        REFUSED = "REFUSED"  # people or the rules refused the transfer, and the hub has aborted the transfer
        ENDED = "ENDED"  # the transfer expired before its release

    transfer = models.OneToOneField("ledger.Transfer", on_delete=models.PROTECT, primary_key=True, related_name="hold")
    state = models.CharField(max_length=8, choices=State, default=State.HELD)
    until = models.DateTimeField()  # the time at which the hub itself releases the transfer
    rules_version = models.BigIntegerField()
    quote_id = models.CharField(max_length=36, null=True)  # NULL if the quote did not pass through this hub
    held_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    # The people who released or refused the transfer, or a name for the rules if the rules refused the transfer. Empty
    # if the hub released the transfer because the hold was over.
    actor = models.CharField(max_length=320, blank=True, default="", db_default="")
    # The error code of a refusal. The next tick aborts the transfer.
    refusal_code = models.CharField(max_length=4, null=True)

    class Meta:
        ordering = ["held_at"]
        indexes = [
            models.Index(fields=["until"], condition=Q(state="HELD"), name="held_transfer_by_release"),
            # for the portal's list of ended holds; the hold with the latest beginning comes first
            models.Index(fields=["held_at", "transfer"], condition=~Q(state="HELD"), name="held_transfer_ended"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="HELD", ended_at__isnull=True) | (~Q(state="HELD") & Q(ended_at__isnull=False)),
                name="a_hold_that_ended_says_when",
            ),
            models.CheckConstraint(
                condition=Q(refusal_code__isnull=True) | (~Q(actor="") & ~Q(state="RELEASED")),
                name="only_people_refuse_a_held_transfer",
            ),
            models.CheckConstraint(
                condition=~Q(state="REFUSED") | Q(refusal_code__isnull=False), name="a_refused_hold_has_its_code"
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="a_hold_ends_once_and_keeps_its_terms",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                func="""
                    IF OLD.state <> 'HELD' THEN
                        RAISE EXCEPTION 'the hold of transfer % has ended', OLD.transfer_id
                            USING ERRCODE = 'check_violation';
                    ELSIF OLD.refusal_code IS NOT NULL
                        AND (NEW.refusal_code, NEW.actor) IS DISTINCT FROM (OLD.refusal_code, OLD.actor) THEN
                        RAISE EXCEPTION 'transfer % was refused', OLD.transfer_id USING ERRCODE = 'check_violation';
                    ELSIF (NEW.transfer_id, NEW.until, NEW.rules_version, NEW.quote_id, NEW.held_at)
                        IS DISTINCT FROM
                            (OLD.transfer_id, OLD.until, OLD.rules_version, OLD.quote_id, OLD.held_at) THEN
                        RAISE EXCEPTION 'the terms of a hold do not change' USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
            pgtrigger.Protect(name="a_held_transfer_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.transfer_id} {self.state} until {self.until:%Y-%m-%d %H:%M}"
