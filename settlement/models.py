"""The tables of settlements and of settlement models. This module has only columns and constraints.

The table of settlement windows belongs to the ledger. Amounts are whole ten-thousandths of a currency unit.
"""

from decimal import Decimal

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from hub.test_currency import TEST_CURRENCY
from ledger.models import Account, FundsMovement, SettlementWindow
from settlement.bank_statements.models import Statement, StatementLine
from settlement.states import NEXT, State, WindowState

__all__ = [
    "ContentTotal",
    "Inclusion",
    "LedgerAccountType",
    "Payment",
    "Settlement",
    "SettlementAccount",
    "SettlementEvent",
    "SettlementModel",
    "Statement",
    "StatementLine",
    "WindowContent",
]

_NEXT_PAIRS = ", ".join(f"('{now}', '{then}')" for now, then in NEXT.items())
_ABORT_PAIRS = ", ".join(
    f"('{now}', 'ABORTED')" for now in ("PENDING_SETTLEMENT", "PS_TRANSFERS_RECORDED", "PS_TRANSFERS_RESERVED")
)


def _moves(pairs: str, kept: str, what: str) -> str:
    """Returns a trigger's body.

    The database trigger allows only the changes of state in `pairs`. The trigger does not allow changes of the columns
    in `kept`.
    """
    new, old = (", ".join(f"{row}.{column}" for column in kept.split()) for row in ("NEW", "OLD"))
    return f"""
        IF NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN ({pairs}) THEN
            RAISE EXCEPTION '{what} can not go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
        ELSIF ({new}) IS DISTINCT FROM ({old}) THEN
            RAISE EXCEPTION '{what} keeps its terms' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    """


class LedgerAccountType(models.Model):
    """A type of account. A settlement model settles accounts of one type, and moves the amounts to accounts of another
    type."""

    name = models.CharField(max_length=30, unique=True)
    description = models.CharField(max_length=512)
    is_active = models.BooleanField(default=True)
    is_settleable = models.BooleanField(default=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name


class SettlementModel(models.Model):
    """The rule for settling one account type in one currency.

    The default settlement model has no currency. The default model settles all currencies that have no model of their
    own.
    """

    class Granularity(models.TextChoices):
        GROSS = "GROSS"
        NET = "NET"

    class Interchange(models.TextChoices):
        BILATERAL = "BILATERAL"
        MULTILATERAL = "MULTILATERAL"

    class Delay(models.TextChoices):
        IMMEDIATE = "IMMEDIATE"
        DEFERRED = "DEFERRED"

    name = models.CharField(max_length=30, unique=True)
    granularity = models.CharField(max_length=5, choices=Granularity)
    interchange = models.CharField(max_length=12, choices=Interchange)
    delay = models.CharField(max_length=9, choices=Delay)
    currency = models.CharField(max_length=3, null=True)
    require_liquidity_check = models.BooleanField()
    auto_position_reset = models.BooleanField()
    ledger_account_type = models.CharField(max_length=32)
    settlement_account_type = models.CharField(max_length=32)
    is_active = models.BooleanField(default=True)
    # Only immediate settlement uses this id. All entries with ids up to this id are settled, so searches begin after
    # this id. When a window closes, the hub checks all entries again.
    settled_to = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(delay="IMMEDIATE", granularity="GROSS", interchange="BILATERAL")
                | Q(delay="DEFERRED", granularity="GROSS", interchange="BILATERAL")
                | Q(delay="DEFERRED", granularity="NET"),
                name="a_settlement_model_is_one_of_the_four",
            ),
            models.CheckConstraint(
                condition=~Q(delay="IMMEDIATE") | Q(currency__isnull=False, ledger_account_type="POSITION"),
                name="what_is_settled_at_once_names_its_currency",
            ),
            models.CheckConstraint(
                condition=Q(currency__isnull=True) | ~Q(currency=TEST_CURRENCY), name="no_model_settles_test_money"
            ),
            models.UniqueConstraint(
                fields=["currency", "ledger_account_type"],
                condition=Q(is_active=True),
                name="one_settlement_model_per_currency_and_account_type",
            ),
            models.UniqueConstraint(
                fields=["ledger_account_type"],
                condition=Q(is_active=True, currency__isnull=True),
                name="one_default_settlement_model_per_account_type",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class WindowContent(models.Model):
    """The part of a closed window for one currency and one type of account. The hub settles all amounts in one content
    together."""

    window = models.ForeignKey(SettlementWindow, on_delete=models.PROTECT, related_name="contents")
    currency = models.CharField(max_length=3)
    ledger_account_type = models.CharField(max_length=32)
    state = models.CharField(
        max_length=20,
        choices=[(state.value, state.value) for state in WindowState if state != WindowState.OPEN],
        default=WindowState.CLOSED.value,
    )
    # The value is True if each commit in this content was settled immediately.
    is_gross = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["window", "currency", "ledger_account_type"], name="one_content_per_window_currency_and_type"
            ),
            models.CheckConstraint(
                condition=~Q(is_gross=True) | Q(state="SETTLED"), name="gross_is_settled_from_the_start"
            ),
            models.CheckConstraint(condition=~Q(currency=TEST_CURRENCY), name="test_money_is_in_no_content"),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="a_content_moves_only_along_its_states",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                func=_moves(
                    "('CLOSED', 'PENDING_SETTLEMENT'), ('ABORTED', 'PENDING_SETTLEMENT'),"
                    " ('PENDING_SETTLEMENT', 'SETTLED'), ('PENDING_SETTLEMENT', 'ABORTED')",
                    "window_id currency ledger_account_type is_gross",
                    "the content of a window",
                ),
            ),
            pgtrigger.Protect(name="a_content_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"window {self.window_id} {self.currency} {self.ledger_account_type}"


class ContentTotal(models.Model):
    """The total debits and the total credits of one account, from the commits in one content of a window.

    The hub computes these totals once, after the window is closed.
    """

    content = models.ForeignKey(WindowContent, on_delete=models.PROTECT, related_name="totals", db_index=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    debits = models.DecimalField(max_digits=38, decimal_places=0, default=Decimal(0))
    credits = models.DecimalField(max_digits=38, decimal_places=0, default=Decimal(0))

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["content", "account"], name="one_total_per_content_and_account"),
        ]
        triggers = [pgtrigger.Protect(name="totals_are_only_ever_added", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.content_id} {self.account_id}"


class Settlement(models.Model):
    """A settlement settles contents of one or more windows together, under one settlement model."""

    model = models.ForeignKey(SettlementModel, on_delete=models.PROTECT, related_name="settlements")
    state = models.CharField(
        max_length=22, choices=[(state.value, state.value) for state in State], default=State.PENDING_SETTLEMENT.value
    )
    reason = models.CharField(max_length=512)
    contents: "models.ManyToManyField[WindowContent, Inclusion]" = models.ManyToManyField(
        WindowContent, through="Inclusion", related_name="settlements"
    )
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        triggers = [
            pgtrigger.Trigger(
                name="a_settlement_moves_only_along_its_states",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                func=_moves(
                    f"{_NEXT_PAIRS}, ('PS_TRANSFERS_COMMITTED', 'SETTLING'), {_ABORT_PAIRS}",
                    "model_id created_at",
                    "a settlement",
                ),
            ),
            pgtrigger.Protect(name="a_settlement_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"settlement {self.pk} {self.state}"


class Inclusion(models.Model):
    """Links a settlement to one of the contents that the settlement includes.

    An aborted settlement releases the contents, so that another settlement can include these contents.
    """

    settlement = models.ForeignKey(Settlement, on_delete=models.PROTECT, related_name="inclusions")
    content = models.ForeignKey(WindowContent, on_delete=models.PROTECT, related_name="inclusions")
    is_released = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["content"], condition=Q(is_released=False), name="a_content_is_settled_by_one_settlement"
            ),
        ]
        triggers = [pgtrigger.Protect(name="an_inclusion_is_never_deleted", operation=pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.content_id} in {self.settlement_id}"


class SettlementAccount(models.Model):
    """An account in a settlement, with its state and its net amount.

    If the net amount is above 0, the account owes the amount. If the net amount is below 0, the account receives the
    amount.
    """

    settlement = models.ForeignKey(Settlement, on_delete=models.PROTECT, related_name="accounts", db_index=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    net = models.DecimalField(max_digits=38, decimal_places=0)
    # The id of the entries that settle this account. With this id, the hub posts each entry only once.
    transfer_id = models.CharField(max_length=36, unique=True)
    state = models.CharField(
        max_length=22,
        choices=[(state.value, state.value) for state in State if state != State.SETTLING],
        default=State.PENDING_SETTLEMENT.value,
    )
    reason = models.CharField(max_length=512)
    external_reference = models.CharField(max_length=512, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["settlement", "account"], name="an_account_is_in_a_settlement_once"),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="an_account_moves_only_along_its_states",
                operation=pgtrigger.Update,
                when=pgtrigger.Before,
                func=_moves(
                    f"{_NEXT_PAIRS}, {_ABORT_PAIRS}",
                    "settlement_id account_id net transfer_id",
                    "an account in a settlement",
                ),
            ),
            pgtrigger.Protect(name="an_account_of_a_settlement_is_never_deleted", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} in {self.settlement_id}: {self.state}"


class SettlementEvent(models.Model):
    """One event in the history of a settlement. If `account` is set, the event is in the history of this account of the
    settlement.

    The database does not allow changes of these rows.
    """

    settlement = models.ForeignKey(Settlement, on_delete=models.PROTECT, related_name="events")
    account = models.ForeignKey(SettlementAccount, on_delete=models.PROTECT, null=True, related_name="events")
    state = models.CharField(max_length=22)
    reason = models.CharField(max_length=512)
    external_reference = models.CharField(max_length=512, blank=True)
    actor = models.CharField(max_length=150)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        triggers = [
            pgtrigger.Protect(
                name="a_settlements_history_is_only_ever_added", operation=pgtrigger.Update | pgtrigger.Delete
            )
        ]

    def __str__(self) -> str:
        return f"{self.settlement_id} {self.state}"


class Payment(models.Model):
    """The settlement bank's payment for one account of a settlement. The hub recorded the payment when the hub moved
    the account to SETTLED.

    `movement` is empty if nothing was left to record. `otherwise` is the part of the net amount that the hub did not
    need to record. People recorded this part by hand earlier, or two people released this part from the hold on the
    cover.
    """

    account = models.OneToOneField(SettlementAccount, on_delete=models.PROTECT, related_name="payment")
    movement = models.OneToOneField(FundsMovement, on_delete=models.PROTECT, related_name="+", null=True)
    line = models.OneToOneField(StatementLine, on_delete=models.PROTECT, related_name="+")
    otherwise = models.BigIntegerField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=Q(otherwise__gte=0), name="a_payment_takes_nothing_back"),
            models.CheckConstraint(
                condition=Q(movement__isnull=False) | Q(otherwise__gt=0), name="a_payment_is_recorded_in_some_way"
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="a_payment_is_of_what_the_bank_moved",
                operation=pgtrigger.Insert,
                when=pgtrigger.Before,
                func="""
                    IF NOT EXISTS (
                        SELECT FROM settlement_settlementaccount sa
                        JOIN settlement_settlement s ON s.id = sa.settlement_id AND s.state = 'SETTLED'
                        JOIN ledger_account a ON a.id = sa.account_id
                        JOIN settlement_statementline l ON l.id = NEW.line_id AND l.account_id = sa.id
                                                       AND l.finding = 'MATCHED'
                        JOIN settlement_statement t ON t.id = l.statement_id AND t.settlement_id = s.id AND t.is_exact
                        LEFT JOIN ledger_fundsmovement m ON m.transfer_id = NEW.movement_id
                        LEFT JOIN ledger_account held ON held.id = m.account_id
                        WHERE sa.id = NEW.account_id AND sa.net <> 0
                          AND coalesce(m.amount, 0) + NEW.otherwise = abs(sa.net)
                          AND (m.transfer_id IS NULL
                               OR (m.state = 'COMMITTED'
                                   AND m.kind = CASE WHEN sa.net > 0 THEN 'FUNDS_OUT' ELSE 'FUNDS_IN' END
                                   AND held.type = 'SETTLEMENT' AND held.participant_id = a.participant_id
                                   AND held.currency = a.currency))) THEN
                        RAISE EXCEPTION 'the payment of account % is not what the bank moved', NEW.account_id
                            USING ERRCODE = 'check_violation';
                    END IF;
                    RETURN NEW;
                """,
            ),
            pgtrigger.Protect(name="payments_are_only_ever_added", operation=pgtrigger.Update | pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"payment of {self.account_id}"
