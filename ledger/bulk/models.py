"""The tables of bulk transfers: columns and constraints. A bulk's items are rows of `Transfer`."""

import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from hub.participants.models import Participant
from ledger.bulk.states import BulkState


class BulkTransfer(models.Model):
    """A bulk of transfers, and its outcome. The row stores the messages of the bulk once, so that the items need not
    store these messages."""

    bulk_transfer_id = models.CharField(max_length=36, primary_key=True)
    bulk_quote_id = models.CharField(max_length=36)
    payer = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    payee = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", null=True, db_index=False)
    payee_name = models.CharField(max_length=32)
    state = models.CharField(max_length=9, choices=[(state.value, state.value) for state in BulkState])
    reason = models.CharField(max_length=40, null=True)
    error_code = models.CharField(max_length=4, null=True)
    error_description = models.CharField(max_length=128, null=True)
    expires_at = models.DateTimeField()
    item_count = models.PositiveSmallIntegerField()
    reserved_items = models.PositiveSmallIntegerField()
    # Ids in the bulk's request that other transfers had already used. The hub refuses these ids with 3106, and the bulk
    # has no transfers with these ids.
    ids_used_before = ArrayField(models.CharField(max_length=36))
    version = models.CharField(max_length=4)
    digest = models.BinaryField(max_length=32)
    request = models.BinaryField()
    request_headers = models.JSONField()
    answer_version = models.CharField(max_length=4, null=True)
    answer_digest = models.BinaryField(max_length=32, null=True)
    answer = models.BinaryField(null=True)
    answer_headers = models.JSONField(null=True)
    received_at = models.DateTimeField(db_default=Now())
    completed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["received_at"]
        indexes = [
            # finds old messages for the erasure
            models.Index(fields=["received_at"], name="bulk_by_arrival"),
            # finds expired bulks for the sweep, payer by payer
            models.Index(fields=["payer", "expires_at"], condition=Q(state="ACCEPTED"), name="bulk_accepted_by_payer"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(item_count__gte=1, item_count__lte=1000, reserved_items__lte=F("item_count")),
                name="a_bulk_has_one_to_a_thousand_items",
            ),
            models.CheckConstraint(
                condition=Q(state="REJECTED") | Q(reserved_items__gte=1, payee__isnull=False),
                name="a_bulk_of_which_nothing_was_reserved_is_rejected",
            ),
            models.CheckConstraint(
                condition=Q(state="ACCEPTED", completed_at__isnull=True)
                | (~Q(state="ACCEPTED") & Q(completed_at__isnull=False)),
                name="a_bulk_that_ended_says_when",
            ),
            models.CheckConstraint(
                condition=~Q(state="REJECTED") | Q(reason__isnull=False, error_code__isnull=False),
                name="a_rejected_bulk_says_why",
            ),
            models.CheckConstraint(
                condition=~Q(state="COMPLETED")
                | Q(answer__isnull=False, answer_digest__isnull=False, completed_at__lt=F("expires_at")),
                name="a_completed_bulk_was_answered_in_time",
            ),
            # Each item has a foreign key that references this constraint. This key has the columns bulk, payer, payee
            # and expiration.
            models.UniqueConstraint(
                fields=["bulk_transfer_id", "payer", "payee_name", "expires_at"], name="a_bulk_has_one_payer_and_payee"
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="a_bulk_moves_only_along_its_states",
                operation=pgtrigger.Insert | pgtrigger.Update,
                when=pgtrigger.Before,
                func="""
                    IF TG_OP = 'INSERT' THEN
                        IF NEW.state NOT IN ('ACCEPTED', 'REJECTED') THEN
                            RAISE EXCEPTION 'bulk %% can not begin as %%', NEW.bulk_transfer_id, NEW.state
                                USING ERRCODE = 'check_violation';
                        END IF;
                    ELSIF OLD.completed_at < now() - interval '1 day' AND NEW.request = ''::bytea
                        AND NEW.answer IS NOT DISTINCT FROM (CASE WHEN OLD.answer IS NOT NULL THEN ''::bytea END)
                        AND (NEW.bulk_transfer_id, NEW.bulk_quote_id, NEW.payer_id, NEW.payee_id, NEW.payee_name,
                             NEW.state, NEW.reason, NEW.error_code, NEW.error_description, NEW.expires_at,
                             NEW.item_count, NEW.reserved_items, NEW.ids_used_before, NEW.version, NEW.digest,
                             NEW.request_headers, NEW.answer_version, NEW.answer_digest, NEW.answer_headers,
                             NEW.received_at, NEW.completed_at)
                        IS NOT DISTINCT FROM
                            (OLD.bulk_transfer_id, OLD.bulk_quote_id, OLD.payer_id, OLD.payee_id, OLD.payee_name,
                             OLD.state, OLD.reason, OLD.error_code, OLD.error_description, OLD.expires_at,
                             OLD.item_count, OLD.reserved_items, OLD.ids_used_before, OLD.version, OLD.digest,
                             OLD.request_headers, OLD.answer_version, OLD.answer_digest, OLD.answer_headers,
                             OLD.received_at, OLD.completed_at) THEN
                        RETURN NEW;  -- its messages are kept no longer
                    ELSIF OLD.state <> 'ACCEPTED' OR NEW.state NOT IN ('COMPLETED', 'REJECTED') THEN
                        RAISE EXCEPTION 'bulk %% can not go from %% to %%', OLD.bulk_transfer_id, OLD.state, NEW.state
                            USING ERRCODE = 'check_violation';
                    ELSIF (NEW.bulk_transfer_id, NEW.payer_id, NEW.payee_id, NEW.payee_name, NEW.expires_at,
                           NEW.digest, NEW.item_count, NEW.reserved_items, NEW.ids_used_before)
                        IS DISTINCT FROM
                          (OLD.bulk_transfer_id, OLD.payer_id, OLD.payee_id, OLD.payee_name, OLD.expires_at,
                           OLD.digest, OLD.item_count, OLD.reserved_items, OLD.ids_used_before) THEN
                        RAISE EXCEPTION 'the terms of bulk %% do not change', OLD.bulk_transfer_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """.replace("%%", "%"),
            ),
            pgtrigger.Protect(name="a_bulk_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return self.bulk_transfer_id
