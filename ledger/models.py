"""The ledger's tables. The models have columns and constraints, but no behaviour. The SQL statements that run for every
transfer are in `ledger.store`.

Amounts are whole ten-thousandths of a currency unit. Columns for sums have the type numeric. Even the sum of only nine
amounts of the largest size is too large for a bigint.
"""

from decimal import Decimal

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from hub.participants.models import Participant
from hub.test_currency import TEST_CURRENCY
from ledger.bulk.models import BulkTransfer
from ledger.funds_models import CoverHold, FundsMovement
from ledger.fx.models import FxTransfer, FxTransferEvent, only_erased
from ledger.held_transfers.models import HeldTransfer
from ledger.states import TERMINAL, State

__all__ = [
    "Account",
    "CoverHold",
    "Entry",
    "FundsMovement",
    "FxTransfer",
    "FxTransferEvent",
    "HeldTransfer",
    "SettlementWindow",
    "Transfer",
    "TransferEvent",
]


def _sum() -> "models.DecimalField[Decimal, Decimal]":
    return models.DecimalField(max_digits=38, decimal_places=0, default=Decimal(0))


class SettlementWindow(models.Model):
    """A settlement window: a period whose commits are settled together. One settlement window is always open. Each
    commit belongs to exactly one settlement window."""

    class State(models.TextChoices):
        OPEN = "OPEN"
        CLOSED = "CLOSED"
        PENDING_SETTLEMENT = "PENDING_SETTLEMENT"
        SETTLED = "SETTLED"
        ABORTED = "ABORTED"

    state = models.CharField(max_length=20, choices=State, default=State.OPEN)
    reason = models.CharField(max_length=512, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True)
    # The time when the hub computed the totals of the window's entries. This time can be later than the window's
    # closing.
    totalled_at = models.DateTimeField(null=True)
    # The id of the last entry when the window was closed. If an entry of this window has a higher id, the entry came
    # too late.
    last_entry_id = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=Q(state="OPEN"), name="one_window_is_open"),
            models.CheckConstraint(
                condition=Q(state="OPEN") | Q(closed_at__isnull=False, last_entry_id__isnull=False),
                name="a_window_that_is_not_open_says_where_it_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"window {self.pk} {self.state}"


class Account(models.Model):
    class Type(models.TextChoices):
        POSITION = "POSITION"
        SETTLEMENT = "SETTLEMENT"
        INTERCHANGE_FEE = "INTERCHANGE_FEE"
        INTERCHANGE_FEE_SETTLEMENT = "INTERCHANGE_FEE_SETTLEMENT"
        HUB_RECONCILIATION = "HUB_RECONCILIATION"
        HUB_MULTILATERAL_SETTLEMENT = "HUB_MULTILATERAL_SETTLEMENT"

    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="accounts")
    currency = models.CharField(max_length=3)
    type = models.CharField(max_length=32, choices=Type)
    is_active = models.BooleanField(default=False)
    posted_debits = _sum()
    posted_credits = _sum()
    pending_debits = _sum()
    # Only for SETTLEMENT accounts: the amount on hold. This amount does not count as cover, because the participant
    # owes this amount for a settlement (see `CoverHold`).
    on_hold = models.DecimalField(max_digits=38, decimal_places=0, default=Decimal(0), db_default=Decimal(0))
    # Only for POSITION accounts: the net debit cap, and the alarm percentage. If only this percentage of the limit or
    # less is free, an alarm is due.
    net_debit_cap = models.BigIntegerField(null=True)
    alarm_percentage = models.PositiveSmallIntegerField(default=10)
    changed_at = models.DateTimeField(db_default=Now())
    # the time when the participant left; the hub keeps the account's entries
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True)
                | Q(is_active=False, pending_debits=0, posted_debits=F("posted_credits"))
                | Q(is_active=False, pending_debits=0, currency=TEST_CURRENCY),  # the hub never settles test money
                name="a_closed_account_is_empty",
            ),
            models.UniqueConstraint(
                fields=["participant", "currency", "type"], name="one_account_of_each_type_per_participant_and_currency"
            ),
            # Foreign keys over account and currency refer to this constraint, so that an entry cannot mix currencies.
            models.UniqueConstraint(fields=["id", "currency"], name="an_account_has_one_currency"),
            models.CheckConstraint(
                condition=Q(posted_debits__gte=0, posted_credits__gte=0), name="posted_sums_are_not_negative"
            ),
            models.CheckConstraint(condition=Q(pending_debits__gte=0), name="a_reservation_sum_is_not_negative"),
            models.CheckConstraint(
                condition=Q(on_hold=0) | Q(on_hold__gt=0, type="SETTLEMENT"), name="only_a_cover_is_on_hold"
            ),
            models.CheckConstraint(
                condition=~Q(type="SETTLEMENT") | Q(posted_credits__gte=F("posted_debits") + F("pending_debits")),
                name="liquidity_is_never_negative",
            ),
            models.CheckConstraint(
                condition=Q(net_debit_cap__isnull=True) | Q(net_debit_cap__gte=0), name="a_cap_is_not_negative"
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="an_account_keeps_its_identity",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                condition=pgtrigger.Condition(
                    "OLD.participant_id <> NEW.participant_id OR OLD.currency <> NEW.currency OR OLD.type <> NEW.type"
                    " OR OLD.posted_debits > NEW.posted_debits OR OLD.posted_credits > NEW.posted_credits"
                ),
                func="RAISE EXCEPTION 'an account keeps its owner, currency and type, and its sums only grow'"
                " USING ERRCODE = 'check_violation';",
            ),
            pgtrigger.Protect(name="an_account_is_never_deleted", operation=pgtrigger.Delete),
            pgtrigger.Trigger(
                name="a_closed_account_never_changes",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                condition=pgtrigger.Condition("OLD.closed_at IS NOT NULL"),
                func="RAISE EXCEPTION 'account % is closed', OLD.id USING ERRCODE = 'check_violation';",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.participant} {self.currency} {self.type}"


class Transfer(models.Model):
    """A transfer. The hub decides a transfer when the payer's POST arrives.

    The hub also stores refused transfers, so that a repeated request gets the same refusal.
    """

    transfer_id = models.CharField(max_length=36, primary_key=True)
    payer = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", db_index=False)
    payee = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+", null=True, db_index=False)
    payee_name = models.CharField(max_length=32)
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    state = models.CharField(max_length=9, choices=[(state.value, state.value) for state in State])
    reason = models.CharField(max_length=40, null=True)
    error_code = models.CharField(max_length=4, null=True)
    error_description = models.CharField(max_length=128, null=True)
    condition = models.CharField(max_length=48)
    fulfilment = models.CharField(max_length=48, null=True)
    expires_at = models.DateTimeField()
    version = models.CharField(max_length=4)
    digest = models.BinaryField(max_length=32)
    fulfil_digest = models.BinaryField(max_length=32, null=True)
    fulfil_version = models.CharField(max_length=4, null=True)
    wants_patch = models.BooleanField(default=False)
    # The bulk that contains this transfer. In the database, the foreign key also includes the parties and the
    # expiration.
    bulk = models.ForeignKey(
        BulkTransfer, on_delete=models.PROTECT, related_name="items", null=True, db_index=False, db_constraint=False
    )
    payer_account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", null=True, db_index=False)
    payee_account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", null=True, db_index=False)
    # The conversions that end together with this transfer. The payee's conversion can arrive while the transfer is
    # reserved.
    payer_conversion = models.ForeignKey(
        FxTransfer, on_delete=models.PROTECT, related_name="+", null=True, db_index=False
    )
    payee_conversion = models.ForeignKey(
        FxTransfer, on_delete=models.PROTECT, related_name="+", null=True, db_index=False
    )
    received_at = models.DateTimeField(db_default=Now())
    completed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["received_at"]
        indexes = [
            # for the sweep, which reads the expired transfers of one payer after another
            models.Index(
                fields=["payer", "expires_at"], condition=Q(state="RESERVED"), name="transfer_reserved_by_payer"
            ),
            # for the portal's lists, in which the latest transfer comes first
            models.Index(fields=["received_at"], name="transfer_by_arrival"),
            # finds one participant's transfers, the latest first, even if the participant has few transfers and the
            # table has millions
            models.Index(fields=["payer", "received_at"], name="transfer_by_payer"),
            models.Index(fields=["payee", "received_at"], name="transfer_by_payee"),
            # finds transfers of one amount, the latest first
            models.Index(fields=["amount", "received_at"], name="transfer_by_amount"),
            # failed transfers
            models.Index(fields=["received_at"], condition=Q(state="ABORTED"), name="transfer_aborted_by_arrival"),
            # a bulk's items
            models.Index(fields=["bulk"], condition=Q(bulk__isnull=False), name="transfer_by_bulk"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="a_transfer_is_of_a_positive_amount"),
            models.CheckConstraint(
                condition=Q(state="ABORTED", payer_account__isnull=True)
                | Q(payee__isnull=False, payer_account__isnull=False, payee_account__isnull=False),
                name="what_was_reserved_names_both_accounts",
            ),
            models.CheckConstraint(
                condition=~Q(state="COMMITTED") | Q(fulfilment__isnull=False, fulfil_digest__isnull=False),
                name="a_committed_transfer_has_its_fulfilment",
            ),
            models.CheckConstraint(
                condition=Q(state="RESERVED", completed_at__isnull=True) | Q(completed_at__isnull=False),
                name="a_transfer_that_ended_says_when",
            ),
            models.CheckConstraint(
                condition=~Q(state="ABORTED") | Q(reason__isnull=False, error_code__isnull=False),
                name="an_aborted_transfer_says_why",
            ),
            models.CheckConstraint(
                condition=~Q(state="COMMITTED") | Q(completed_at__lt=F("expires_at")),
                name="what_is_late_never_commits",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="a_transfer_moves_only_along_its_states",
                operation=pgtrigger.Insert | pgtrigger.Update,
                when=pgtrigger.Before,
                func="""
                    IF TG_OP = 'INSERT' THEN
                        IF NEW.state NOT IN ('RESERVED', 'ABORTED') THEN
                            RAISE EXCEPTION 'transfer %% can not begin as %%', NEW.transfer_id, NEW.state
                                USING ERRCODE = 'check_violation';
                        END IF;
                    ELSIF OLD.state = 'RESERVED' AND NEW.state = 'RESERVED'
                        AND to_jsonb(NEW) - 'payee_conversion_id' = to_jsonb(OLD) - 'payee_conversion_id' THEN
                        RETURN NEW;  -- its payee converts
                    ELSIF OLD.state <> 'RESERVED' OR NEW.state NOT IN ('COMMITTED', 'ABORTED') THEN
                        RAISE EXCEPTION 'transfer %% can not go from %% to %%', OLD.transfer_id, OLD.state, NEW.state
                            USING ERRCODE = 'check_violation';
                    ELSIF (NEW.transfer_id, NEW.payer_id, NEW.payee_id, NEW.currency, NEW.amount, NEW.condition,
                           NEW.expires_at, NEW.digest, NEW.payer_account_id, NEW.payee_account_id,
                           NEW.payer_conversion_id, NEW.payee_conversion_id)
                        IS DISTINCT FROM
                          (OLD.transfer_id, OLD.payer_id, OLD.payee_id, OLD.currency, OLD.amount, OLD.condition,
                           OLD.expires_at, OLD.digest, OLD.payer_account_id, OLD.payee_account_id,
                           OLD.payer_conversion_id, OLD.payee_conversion_id) THEN
                        RAISE EXCEPTION 'the terms of transfer %% do not change', OLD.transfer_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """.replace("%%", "%"),
            ),
            pgtrigger.Trigger(
                name="an_item_stays_in_its_bulk",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                condition=pgtrigger.Condition("OLD.bulk_id IS DISTINCT FROM NEW.bulk_id"),
                func="RAISE EXCEPTION 'a transfer joins no bulk and leaves none' USING ERRCODE = 'check_violation';",
            ),
            # A transfer and its conversions commit together. The database checks this rule at the end of the database
            # transaction, and only for transfers with a conversion.
            pgtrigger.Trigger(
                name="a_transfer_ends_with_its_conversions",
                operation=pgtrigger.Update,
                when=pgtrigger.After,
                timing=pgtrigger.Deferred,
                condition=pgtrigger.Condition(
                    "NEW.state <> 'RESERVED'"
                    " AND (NEW.payer_conversion_id IS NOT NULL OR NEW.payee_conversion_id IS NOT NULL)"
                ),
                func="""
                    IF EXISTS (SELECT FROM ledger_fxtransfer f
                               WHERE f.commit_request_id IN (NEW.payer_conversion_id, NEW.payee_conversion_id)
                                 AND f.state <> NEW.state
                                 -- the payee's own may have failed before
                                 AND NOT (f.state = 'ABORTED' AND f.side = 'PAYEE')) THEN
                        RAISE EXCEPTION 'transfer % ends otherwise than its conversion', NEW.transfer_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NULL;
                """,
            ),
            # Profiles never count aborted transfers. This trigger works in every process, and even while no rules are
            # active. `rules.profiles` updates the profiles from the rows that this trigger adds.
            pgtrigger.Trigger(
                name="an_aborted_transfer_counts_no_longer",
                operation=pgtrigger.Update,
                when=pgtrigger.After,
                condition=pgtrigger.Condition("NEW.state = 'ABORTED' AND OLD.state = 'RESERVED'"),
                func="""
                    WITH gone AS (
                        UPDATE rules_profiles_countedtransfer SET ended = true
                        WHERE transfer_id = NEW.transfer_id AND NOT ended RETURNING *
                    )
                    INSERT INTO rules_profiles_unfoldedcount (key, role, transfer_id, is_removal)
                    SELECT r.key, r.role, gone.transfer_id, true
                    FROM gone CROSS JOIN LATERAL (
                        VALUES (0, payer_key), (1, payee_key), (2, alias_key), (3, payer_dfsp_key), (4, payee_dfsp_key),
                               (5, pair_key), (6, original_key)
                    ) AS r (role, key)
                    WHERE r.key IS NOT NULL;
                    RETURN NULL;
                """,
            ),
            pgtrigger.Protect(name="a_transfer_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return self.transfer_id


class TransferEvent(models.Model):
    """One state in the history of a transfer. The message that led to this state is stored as evidence. The database
    allows no changes to these rows."""

    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="events", db_index=False)
    state = models.CharField(max_length=9)
    reason = models.CharField(max_length=40, null=True)
    at = models.DateTimeField()
    body = models.BinaryField(null=True)
    headers = models.JSONField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            # A transfer has each state at most once, and only one final state. This constraint and the order of ids
            # prevent an impossible history.
            models.UniqueConstraint(
                fields=["transfer"], condition=Q(state="RESERVED"), name="a_transfer_is_reserved_once"
            ),
            models.UniqueConstraint(
                fields=["transfer"],
                condition=Q(state__in=sorted(state.value for state in TERMINAL)),
                name="a_transfer_ends_once",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="history_is_only_ever_added",
                operation=pgtrigger.Update | pgtrigger.Delete,
                when=pgtrigger.Before,
                func=only_erased("transfer_id"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.transfer_id} {self.state}"


class Entry(models.Model):
    """An entry of the books. One row contains both the debit and the credit, so the books always balance. The database
    allows no changes to stored entries.

    The hub assigns the id of an entry while both accounts are locked. So for each account, the ids of its entries have
    the order in which the hub posted the entries.
    """

    class Kind(models.TextChoices):
        TRANSFER = "TRANSFER"
        FX_TRANSFER = "FX_TRANSFER"
        FUNDS_IN = "FUNDS_IN"
        FUNDS_OUT = "FUNDS_OUT"
        # Net settlement of windows: amounts due to net receivers, amounts due from net senders, reversals by aborts.
        NET_RECIPIENT = "NET_RECIPIENT"
        NET_SENDER = "NET_SENDER"
        NET_ABORT = "NET_ABORT"
        # Immediate gross settlement of one committed transfer: an entry for the payer, and an entry for the payee.
        GROSS_PAYER = "GROSS_PAYER"
        GROSS_PAYEE = "GROSS_PAYEE"

    kind = models.CharField(max_length=16, choices=Kind)
    debit_account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="debits", db_constraint=False)
    credit_account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="credits", db_constraint=False)
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField()
    # The id of the entry's cause: a transfer, a movement of funds, or an account's part in a settlement.
    transfer_id = models.CharField(max_length=36)
    window = models.ForeignKey(SettlementWindow, on_delete=models.PROTECT, null=True, related_name="entries")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "entries"
        indexes = [
            # for a DFSP's account statement: the few entries that come from neither a transfer nor a conversion
            models.Index(
                fields=["debit_account", "created_at"],
                condition=~Q(kind__in=["TRANSFER", "FX_TRANSFER"]),
                name="entry_other_by_debit",
            ),
            models.Index(
                fields=["credit_account", "created_at"],
                condition=~Q(kind__in=["TRANSFER", "FX_TRANSFER"]),
                name="entry_other_by_credit",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["transfer_id", "kind"], name="one_entry_of_each_kind_per_transfer"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="an_entry_is_of_a_positive_amount"),
            models.CheckConstraint(
                condition=~Q(debit_account=F("credit_account")), name="an_entry_is_between_two_accounts"
            ),
            models.CheckConstraint(
                condition=~Q(kind__in=["TRANSFER", "FX_TRANSFER"]) | Q(window__isnull=False),
                name="a_commit_is_in_a_window",
            ),
            # An entry of a settlement belongs to no window. In a window, the hub would settle the entry a second time.
            models.CheckConstraint(
                condition=~Q(
                    kind__in=[
                        "FUNDS_IN",
                        "FUNDS_OUT",
                        "NET_RECIPIENT",
                        "NET_SENDER",
                        "NET_ABORT",
                        "GROSS_PAYER",
                        "GROSS_PAYEE",
                    ]
                )
                | Q(window__isnull=True),
                name="what_settles_is_in_no_window",
            ),
        ]
        triggers = [
            pgtrigger.Protect(name="entries_are_only_ever_added", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.transfer_id}"
