"""Finds the next step of a settlement. The module also finds whether the next step is late, and the differences between
the bank's statement and the settlement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.audit.models import Approval
from ledger.models import SettlementWindow
from settlement.bank_statements.matching import Expected, Finding
from settlement.change_request_terms import is_any_owed
from settlement.models import Settlement, Statement, StatementLine
from settlement.services import bank_payments
from settlement.services.bank_statements import expected_of
from settlement.states import State

_IN_THE_HUB = {
    State.PENDING_SETTLEMENT: gettext_lazy("Fix the net amounts of the participants."),
    State.PS_TRANSFERS_RECORDED: gettext_lazy("Reset the positions of the net receivers in the hub."),
    State.PS_TRANSFERS_RESERVED: gettext_lazy("Reset the positions of the net senders in the hub."),
}
_ENDED = frozenset({State.SETTLED, State.ABORTED})
_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class NextStep:
    """The next step. `url` and `button` are empty if nobody has to do anything. `is_ask` is True if the step is a
    request that a second person must approve."""

    text: str | Promise
    button: str = ""
    url: str = ""
    is_ask: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """A line of the bank's statement that does not match, or an expected payment without a line.

    `line` is empty if the line is missing. `expected` is empty if nobody expected the line.
    """

    finding: str
    line: StatementLine | None
    expected: Expected | None


def is_late(settlement: Settlement) -> bool:
    """Returns whether a settlement has been in its state for longer than the scheme allows."""
    return settlement.state not in _ENDED and _is_long_ago(settlement.changed_at)


def is_window_late(window: SettlementWindow) -> bool:
    """Returns whether a closed window has waited for a settlement for longer than the scheme allows."""
    return window.state in ("CLOSED", "ABORTED") and _is_long_ago(window.changed_at)


def _is_long_ago(at: datetime) -> bool:
    return timezone.now() - at > timedelta(seconds=settings.SETTLEMENT_LATE_S)


def of(settlement: Settlement, statement: Statement | None, *, is_held: bool) -> NextStep | None:
    """Returns the next step, or None if the settlement has ended and no cover is on hold for this settlement.

    `statement` is the latest statement of the bank. `is_held` is True if cover is still on hold.
    """
    if settlement.state == State.SETTLED and is_held:
        told = {"number": settlement.pk}
        return NextStep(
            _("Cover is still on hold. Record funds out with the reference %(number)s, or release the hold.") % told
        )
    if settlement.state in _ENDED:
        return None
    waiting = _waiting(settlement)
    if waiting is not None:
        return NextStep(
            _("A request waits for the approval of another person."),
            _("Open request %(number)s") % {"number": waiting},
            reverse("approval", args=[waiting]),
            is_ask=False,
        )
    advance = reverse("advance_settlement", args=[settlement.pk])
    if settlement.state in _IN_THE_HUB:
        return NextStep(_IN_THE_HUB[State(settlement.state)], _("Continue settlement"), advance)
    return _with_the_bank(settlement, statement, advance)


def _with_the_bank(settlement: Settlement, statement: Statement | None, advance: str) -> NextStep:
    if not is_any_owed(settlement):
        return NextStep(
            _("All net amounts are zero, so the bank has nothing to pay."), _("Continue settlement"), advance
        )
    if statement is None:
        return NextStep(
            _("Send the file of payments to the bank. When the bank has paid, upload the bank's statement."),
            _("Upload the bank's statement"),
            "#bank",
        )
    told = {"number": statement.pk}
    if not statement.is_exact:
        return NextStep(
            _(
                "Statement %(number)s does not match. Correct the difference with the bank, and upload the "
                "bank's new statement."
            )
            % told,
            _("Open statement %(number)s") % told,
            reverse("statement", args=[statement.pk]),
            is_ask=False,
        )
    if not bank_payments.is_for_funds(settlement):
        return NextStep(_("Statement %(number)s matches.") % told, _("Continue settlement"), advance)
    return NextStep(
        _("Statement %(number)s matches. Record the bank's payments as funds in and funds out, and settle.") % told,
        _("Record payments and settle"),
        reverse("settle_with_payments", args=[settlement.pk]),
    )


def _waiting(settlement: Settlement) -> int | None:
    """If requests about this settlement wait for approval, returns the id of the oldest of these requests."""
    waiting = Approval.objects.filter(
        subject=f"settlement {settlement.pk}", state=Approval.State.PENDING, expires_at__gt=timezone.now()
    )
    return waiting.order_by("id").values_list("pk", flat=True).first()


def differences(settlement: Settlement, statement: Statement | None) -> Sequence[Difference]:
    """Returns at most ten differences between the bank's latest statement and the settlement."""
    if statement is None or statement.is_exact or settlement.state in _ENDED:
        return []
    expected = {account.account_id: account for account in expected_of(settlement) if account.net}
    lines = list(statement.lines.order_by("number"))
    named = {line.account_id for line in lines}
    wrong = [
        Difference(line.finding, line, expected.get(line.account_id or 0))
        for line in lines
        if line.finding != Finding.MATCHED
    ]
    missing = [Difference(_("missing"), None, account) for number, account in expected.items() if number not in named]
    return [*wrong, *missing][:_MOST_SHOWN]
