"""The tables of funds in and out, and of the cover that is on hold for settlements: columns and constraints."""

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from ledger.states import State


class CoverHold(models.Model):
    """The amount that a net sender still owes the settlement bank for a settlement.

    An amount on hold is not part of the cover.
    """

    account = models.ForeignKey("ledger.Account", on_delete=models.PROTECT, related_name="holds")
    # this column is not a foreign key, because the ledger must not depend on the settlement app
    settlement_number = models.BigIntegerField()
    amount = models.BigIntegerField()
    # the amount that the bank had already moved for the settlement when the hold began
    paid_before = models.BigIntegerField()
    remaining = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())
    # the time when two people confirmed that the participant settles in another way
    released_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "settlement_number"], name="one_hold_per_account_and_settlement"
            ),
            models.CheckConstraint(
                condition=Q(amount__gt=0, paid_before__gte=0, remaining__gte=0)
                & Q(remaining__lte=F("amount") - F("paid_before")),
                name="a_hold_is_of_what_is_owed_at_most",
            ),
            models.CheckConstraint(
                condition=Q(released_at__isnull=True) | Q(remaining=0), name="what_is_released_is_not_on_hold"
            ),
        ]
        triggers = [
            pgtrigger.Protect(
                name="a_hold_keeps_its_terms",
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "((NEW.account_id, NEW.settlement_number, NEW.amount, NEW.paid_before, NEW.created_at)"
                    " IS DISTINCT FROM"
                    " (OLD.account_id, OLD.settlement_number, OLD.amount, OLD.paid_before, OLD.created_at)"
                    " OR OLD.released_at IS NOT NULL)"
                ),
            ),
            pgtrigger.Protect(name="a_hold_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.remaining} of {self.account_id} for settlement {self.settlement_number}"


class FundsMovement(models.Model):
    """A movement of funds into or out of a participant's SETTLEMENT account. A movement of funds out has two steps: a
    request, and its commit or abort.
    """

    class Kind(models.TextChoices):
        FUNDS_IN = "FUNDS_IN"
        FUNDS_OUT = "FUNDS_OUT"

    transfer_id = models.CharField(max_length=36, primary_key=True)
    account = models.ForeignKey("ledger.Account", on_delete=models.PROTECT, related_name="funds_movements")
    kind = models.CharField(max_length=16, choices=Kind)
    amount = models.BigIntegerField()
    state = models.CharField(max_length=9, choices=[(state.value, state.value) for state in State])
    reason = models.CharField(max_length=512)
    external_reference = models.CharField(max_length=512, blank=True)
    # If the bank has used this withdrawal to pay a part of a settlement's amount on hold, this column contains the
    # hold.
    hold = models.ForeignKey(CoverHold, on_delete=models.PROTECT, related_name="withdrawals", null=True)
    from_hold = models.BigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now())
    completed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="a_movement_of_funds_is_of_a_positive_amount"),
            models.CheckConstraint(
                condition=~Q(kind="FUNDS_IN") | Q(state="COMMITTED"), name="funds_in_are_there_at_once"
            ),
            models.CheckConstraint(
                condition=Q(hold__isnull=True, from_hold=0)
                | Q(hold__isnull=False, kind="FUNDS_OUT", from_hold__gt=0, from_hold__lte=F("amount")),
                name="only_a_withdrawal_takes_from_a_hold",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="a_movement_of_funds_moves_only_along_its_states",
                operation=pgtrigger.Insert | pgtrigger.Update,
                when=pgtrigger.Before,
                func="""
                    IF TG_OP = 'INSERT' THEN
                        IF NEW.kind = 'FUNDS_OUT' AND NEW.state <> 'RESERVED' THEN
                            RAISE EXCEPTION 'withdrawal % can not begin as %', NEW.transfer_id, NEW.state
                                USING ERRCODE = 'check_violation';
                        END IF;
                    ELSIF OLD.state <> 'RESERVED' OR NEW.state NOT IN ('COMMITTED', 'ABORTED') THEN
                        RAISE EXCEPTION 'movement % can not go from % to %', OLD.transfer_id, OLD.state, NEW.state
                            USING ERRCODE = 'check_violation';
                    ELSIF (NEW.transfer_id, NEW.account_id, NEW.kind, NEW.amount, NEW.reason, NEW.created_at)
                        IS DISTINCT FROM
                          (OLD.transfer_id, OLD.account_id, OLD.kind, OLD.amount, OLD.reason, OLD.created_at) THEN
                        RAISE EXCEPTION 'the terms of movement % do not change', OLD.transfer_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
            pgtrigger.Protect(name="a_movement_of_funds_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.transfer_id}"
