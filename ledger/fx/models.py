"""The tables of conversions: columns and constraints, no behaviour."""

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from hub.participants.models import NO_TEST_MONEY, Participant
from hub.test_currency import TEST_CURRENCY
from ledger.fx.snapshot import Side
from ledger.fx.states import FX_TERMINAL, LIVE, FxState

_LIVE = sorted(state.value for state in LIVE)


def only_erased(of: str) -> str:
    """Returns the body of a trigger. A history row must not change, with one exception: after a day, the hub may erase
    the row's message.
    """
    kept = f"id {of} state reason at headers".split()
    new, old = (", ".join(f"{row}.{column}" for column in kept) for row in ("NEW", "OLD"))
    return f"""
        IF TG_OP = 'UPDATE' THEN
            IF ({new}) IS NOT DISTINCT FROM ({old})
                AND NEW.body = ''::bytea AND OLD.body IS NOT NULL AND OLD.at < now() - interval '1 day' THEN
                RETURN NEW;
            END IF;
        END IF;
        RAISE EXCEPTION 'history is only ever added to' USING ERRCODE = 'check_violation';
    """


class FxTransfer(models.Model):
    """A conversion. The hub decides whether to reserve a conversion when the request for the conversion arrives. A
    conversion ends together with its determining transfer.

    The hub also stores refused conversions.

    The conversion's own posting moves an amount from the debit account to the credit account. The determining transfer
    debits or credits the bridge account.
    """

    commit_request_id = models.CharField(max_length=36, primary_key=True)
    # This column is not a foreign key, because a payer's conversion arrives before its transfer, and this transfer may
    # never arrive.
    determining_transfer_id = models.CharField(max_length=36)
    side = models.CharField(max_length=5, choices=[(side.value, side.value) for side in Side])
    initiator = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    fxp = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", null=True, db_index=False)
    fxp_name = models.CharField(max_length=32)
    source_currency = models.CharField(max_length=3)
    source_amount = models.BigIntegerField()
    target_currency = models.CharField(max_length=3)
    target_amount = models.BigIntegerField()
    state = models.CharField(max_length=9, choices=[(state.value, state.value) for state in FxState])
    reason = models.CharField(max_length=40, null=True)
    error_code = models.CharField(max_length=4, null=True)
    error_description = models.CharField(max_length=128, null=True)
    condition = models.CharField(max_length=48)
    fulfilment = models.CharField(max_length=48, null=True)
    expires_at = models.DateTimeField()
    held_until = models.DateTimeField()
    version = models.CharField(max_length=4)
    digest = models.BinaryField(max_length=32)
    fulfil_digest = models.BinaryField(max_length=32, null=True)
    fulfil_version = models.CharField(max_length=4, null=True)
    debit_account = models.ForeignKey(
        "ledger.Account", on_delete=models.PROTECT, related_name="+", null=True, db_index=False
    )
    credit_account = models.ForeignKey(
        "ledger.Account", on_delete=models.PROTECT, related_name="+", null=True, db_index=False
    )
    bridge_account = models.ForeignKey(
        "ledger.Account", on_delete=models.PROTECT, related_name="+", null=True, db_index=False
    )
    received_at = models.DateTimeField(db_default=Now())
    agreed_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["received_at"]
        indexes = [
            # finds all conversions of a transfer
            models.Index(fields=["determining_transfer_id"], name="fx_transfer_by_determining"),
            # for the portal's lists, the latest first: all conversions, or those of one initiator or FXP
            models.Index(fields=["received_at"], name="fx_transfer_by_arrival"),
            models.Index(fields=["initiator", "received_at"], name="fx_transfer_by_initiator"),
            models.Index(fields=["fxp", "received_at"], name="fx_transfer_by_fxp"),
            # finds expired conversions for the sweep, initiator by initiator
            models.Index(
                fields=["initiator", "held_until"], condition=Q(state__in=_LIVE), name="fx_transfer_live_by_initiator"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["determining_transfer_id", "initiator"],
                condition=Q(state__in=_LIVE),
                name="one_live_conversion_per_transfer_and_initiator",
            ),
            models.CheckConstraint(
                condition=Q(source_amount__gt=0, target_amount__gt=0), name="a_conversion_is_of_positive_amounts"
            ),
            models.CheckConstraint(
                condition=~Q(source_currency=F("target_currency")), name="a_conversion_is_of_two_currencies"
            ),
            models.CheckConstraint(
                condition=Q(state="ABORTED", debit_account__isnull=True)
                | Q(
                    fxp__isnull=False,
                    debit_account__isnull=False,
                    credit_account__isnull=False,
                    bridge_account__isnull=False,
                ),
                name="a_conversion_that_was_reserved_names_its_accounts",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["AGREED", "COMMITTED"])
                | Q(fulfilment__isnull=False, fulfil_digest__isnull=False, agreed_at__isnull=False),
                name="an_agreed_conversion_has_its_fulfilment",
            ),
            models.CheckConstraint(
                condition=Q(agreed_at__isnull=True) | Q(agreed_at__lt=F("expires_at")),
                name="no_conversion_is_agreed_late",
            ),
            models.CheckConstraint(
                condition=Q(state__in=_LIVE, completed_at__isnull=True)
                | Q(state__in=sorted(state.value for state in FX_TERMINAL), completed_at__isnull=False),
                name="a_conversion_that_ended_says_when",
            ),
            models.CheckConstraint(
                condition=~Q(state="ABORTED") | Q(reason__isnull=False, error_code__isnull=False),
                name="an_aborted_conversion_says_why",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="test_money_is_never_converted",
                operation=pgtrigger.Insert,
                when=pgtrigger.Before,
                condition=pgtrigger.Condition(f"'{TEST_CURRENCY}' IN (NEW.source_currency, NEW.target_currency)"),
                func=NO_TEST_MONEY,
            ),
            pgtrigger.Trigger(
                name="a_conversion_moves_only_along_its_states",
                operation=pgtrigger.Insert | pgtrigger.Update,
                when=pgtrigger.Before,
                func="""
                    IF TG_OP = 'INSERT' THEN
                        IF NEW.state NOT IN ('RESERVED', 'ABORTED') THEN
                            RAISE EXCEPTION 'conversion %% can not begin as %%', NEW.commit_request_id, NEW.state
                                USING ERRCODE = 'check_violation';
                        END IF;
                    ELSIF (OLD.state, NEW.state) NOT IN (('RESERVED', 'AGREED'), ('RESERVED', 'ABORTED'),
                                                         ('AGREED', 'COMMITTED'), ('AGREED', 'ABORTED')) THEN
                        RAISE EXCEPTION 'conversion %% can not go from %% to %%',
                            OLD.commit_request_id, OLD.state, NEW.state USING ERRCODE = 'check_violation';
                    ELSIF (NEW.commit_request_id, NEW.determining_transfer_id, NEW.side, NEW.initiator_id, NEW.fxp_id,
                           NEW.source_currency, NEW.source_amount, NEW.target_currency, NEW.target_amount,
                           NEW.condition, NEW.expires_at, NEW.digest, NEW.debit_account_id, NEW.credit_account_id,
                           NEW.bridge_account_id)
                        IS DISTINCT FROM
                          (OLD.commit_request_id, OLD.determining_transfer_id, OLD.side, OLD.initiator_id, OLD.fxp_id,
                           OLD.source_currency, OLD.source_amount, OLD.target_currency, OLD.target_amount,
                           OLD.condition, OLD.expires_at, OLD.digest, OLD.debit_account_id, OLD.credit_account_id,
                           OLD.bridge_account_id) THEN
                        RAISE EXCEPTION 'the terms of conversion %% do not change', OLD.commit_request_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """.replace("%%", "%"),
            ),
            # A conversion commits only together with its determining transfer. The database checks this rule at the end
            # of the transaction.
            pgtrigger.Trigger(
                name="a_conversion_commits_with_its_transfer",
                operation=pgtrigger.Update,
                when=pgtrigger.After,
                timing=pgtrigger.Deferred,
                condition=pgtrigger.Condition("NEW.state = 'COMMITTED'"),
                func="""
                    IF NOT EXISTS (SELECT FROM ledger_transfer t
                                   WHERE t.transfer_id = NEW.determining_transfer_id AND t.state = 'COMMITTED'
                                     AND NEW.commit_request_id IN (t.payer_conversion_id, t.payee_conversion_id)) THEN
                        RAISE EXCEPTION 'conversion % commits without its transfer', NEW.commit_request_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NULL;
                """,
            ),
            pgtrigger.Protect(name="a_conversion_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return self.commit_request_id


class FxTransferEvent(models.Model):
    """A conversion's history. Each row has a message as evidence. The database allows only one change of a history row:
    the erasure of an old message.
    """

    fx_transfer = models.ForeignKey(FxTransfer, on_delete=models.PROTECT, related_name="events", db_index=False)
    state = models.CharField(max_length=9)
    reason = models.CharField(max_length=40, null=True)
    at = models.DateTimeField()
    body = models.BinaryField(null=True)
    headers = models.JSONField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["fx_transfer", "state"], condition=Q(state__in=_LIVE), name="a_conversion_is_in_a_state_once"
            ),
            models.UniqueConstraint(
                fields=["fx_transfer"],
                condition=Q(state__in=sorted(state.value for state in FX_TERMINAL)),
                name="a_conversion_ends_once",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="history_of_conversions_is_only_ever_added",
                operation=pgtrigger.Update | pgtrigger.Delete,
                when=pgtrigger.Before,
                func=only_erased("fx_transfer_id"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.fx_transfer_id} {self.state}"
