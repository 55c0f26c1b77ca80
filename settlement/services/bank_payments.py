"""Proposes and records the payments that the settlement bank has made for a settlement.

If the bank's statement matches the settlement, the statement proves every payment of the settlement. The database
transaction that sets the settlement to SETTLED also records all payments as funds in and funds out.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from ledger import settlement_funds_in_and_out, settlement_holds
from ledger.models import Account
from settlement.models import Payment, Settlement, SettlementAccount, Statement, StatementLine
from settlement.services import settlements
from settlement.states import State

_IDS = uuid.UUID("6b1f5f2e-6f0a-5d9e-9a57-0f2f5b0c8a11")  # the namespace of the UUIDs that identify the movements
MAY_PAY = frozenset({State.PS_TRANSFERS_COMMITTED, State.SETTLING})


class NotPaid(Exception):
    """Raised if the payments cannot be recorded. The error contains the reason. Nothing is changed."""


class Differs(Exception):
    """Raised if the payments that are due now differ from the payments in the approved request. Nothing is changed."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The bank's payment for one account of the settlement. `amount` is the amount that the hub must still
    record.

    `otherwise` is the amount that the hub need not record. People recorded this amount by hand, or two people released
    this amount from the hold on the cover.
    """

    account_id: int
    participant: str
    currency: str
    settlement_account_id: int
    line_id: int
    is_out: bool
    due: int
    otherwise: int
    has_reserved: bool

    @property
    def amount(self) -> int:
        return self.due - self.otherwise

    def terms(self) -> list[object]:
        """Returns the proposal as a list. The request for approval stores this list."""
        return [self.account_id, self.participant, self.currency, self.is_out, self.amount, self.otherwise]


def is_for_funds(settlement: Settlement) -> bool:
    """Returns whether the hub can record the bank's payments as funds in and funds out. The hub can record the payments
    only if the settlement model resets positions and settles into SETTLEMENT accounts.

    If the model does not reset positions, the net amounts stay in the positions. If the hub also recorded a net amount
    as funds in, the hub would count the amount twice.
    """
    model = settlement.model
    return model.auto_position_reset and model.settlement_account_type == Account.Type.SETTLEMENT


def evidence(settlement: Settlement) -> Statement | None:
    """Returns the bank's latest statement if the statement matches the settlement."""
    found = settlement.statements.order_by("-id").defer("body").first()
    return found if found is not None and found.is_exact else None


def settlement_of(account: Account, is_out: bool, reference: str) -> int | None:
    """Returns the number of the settlement that has recorded the bank's payment with this reference, or None. `account`
    is the participant's SETTLEMENT account. `is_out` is true for a payment out of this account.

    The reference is the settlement's number, or one of the references that name the payment.
    """
    made = Payment.objects.filter(
        account__account__participant=account.participant_id, account__account__currency=account.currency
    )
    made = made.filter(account__net__gt=0) if is_out else made.filter(account__net__lt=0)
    named = Q(account__transfer_id=reference) | Q(line__reference=reference) | Q(line__bank_reference=reference)
    number = settlement_holds.number_in(reference)
    if number is not None:
        named |= Q(account__settlement=number)
    return made.filter(named).values_list("account__settlement", flat=True).first()


def proposed(settlement: Settlement, statement: Statement) -> list[Proposal]:
    """Returns the payments that this statement proves. The number of SQL statements does not depend on the number of
    payments. Changes nothing."""
    rows = _with_net(settlement)
    return _proposals(settlement, statement, rows, _covers(rows))


@transaction.atomic
def settle(
    settlement_id: int,
    *,
    statement_id: int,
    agreed: Sequence[Sequence[object]],
    reason: str,
    actor: str,
    references: Mapping[int, str],
) -> None:
    """Sets a settlement to SETTLED, and records the bank's payments. If one of the two changes fails, neither change
    takes effect.

    `agreed` is the list of payments in the approved request. Raises Differs if the payments that are due now differ
    from this list. First locks the settlement and the settlement's windows, then the accounts, and last the audit
    trail.
    """
    settlement = (
        Settlement.objects.select_for_update(no_key=True, of=("self",)).select_related("model").get(pk=settlement_id)
    )
    statement = _agreed_statement(settlement, statement_id)
    rows = _with_net(settlement)
    covers = _covers(rows)
    settlements.lock_contents(settlement)
    settlement_funds_in_and_out.lock(covers.values())
    proposals = _agreed_proposals(settlement, statement, agreed, rows, covers)
    refused = settlements.advance(settlement_id, to=State.SETTLED, reason=reason, actor=actor, references=references)
    if refused:
        raise NotPaid(_("The accounts of this settlement cannot take this step in their present state."))
    _pay(settlement, proposals, reason, actor)


def check_agreed(settlement: Settlement, *, statement_id: int, agreed: Sequence[Sequence[object]]) -> None:
    """Raises the error that a call of `settle` would raise now. This function changes nothing. The function takes no
    lock, so that no payment must wait for this check."""
    statement = _agreed_statement(settlement, statement_id)
    rows = _with_net(settlement)
    proposals = _agreed_proposals(settlement, statement, agreed, rows, _covers(rows))
    settlement_funds_in_and_out.check(settlement.pk, list(_payments_of(proposals).values()))


def _agreed_statement(settlement: Settlement, statement_id: int) -> Statement:
    statement = evidence(settlement)
    if statement is None or statement.pk != statement_id:
        raise Differs
    if settlement.state not in MAY_PAY or not is_for_funds(settlement):
        raise NotPaid(_("The accounts of this settlement cannot take this step in their present state."))
    return statement


def _agreed_proposals(
    settlement: Settlement,
    statement: Statement,
    agreed: Sequence[Sequence[object]],
    rows: Sequence[SettlementAccount],
    covers: Mapping[int, int],
) -> list[Proposal]:
    proposals = _proposals(settlement, statement, rows, covers)
    if [proposal.terms() for proposal in proposals] != [list(terms) for terms in agreed]:
        raise Differs
    check(proposals)
    return proposals


def check(proposals: Sequence[Proposal]) -> None:
    """Raises NotPaid if a participant has a reserved withdrawal that names this settlement."""
    for proposal in proposals:
        if proposal.has_reserved:
            raise NotPaid(
                _("%(name)s has a reserved withdrawal for this settlement. Record its outcome first.")
                % {"name": proposal.participant}
            )


def _pay(settlement: Settlement, proposals: Sequence[Proposal], reason: str, actor: str) -> None:
    payments = _payments_of(proposals)
    settlement_funds_in_and_out.post(settlement.pk, list(payments.values()), reason=reason, actor=actor)
    Payment.objects.bulk_create(
        Payment(
            account_id=each.account_id,
            movement_id=payments[each.account_id].movement_id if each.account_id in payments else None,
            line_id=each.line_id,
            otherwise=each.otherwise,
        )
        for each in proposals
    )


def _payments_of(proposals: Iterable[Proposal]) -> dict[int, settlement_funds_in_and_out.Payment]:
    """Returns the bank's payments by account id. Leaves out the accounts for which the hub has no amount left to
    record."""
    return {
        each.account_id: settlement_funds_in_and_out.Payment(
            _movement_id(each), each.settlement_account_id, each.amount, each.is_out
        )
        for each in proposals
        if each.amount
    }


def _movement_id(proposal: Proposal) -> str:
    """Returns the id of the payment for this account. The payment's id is always the same, so the hub records a payment
    only once."""
    return str(uuid.uuid5(_IDS, str(proposal.account_id)))


def _with_net(settlement: Settlement) -> list[SettlementAccount]:
    rows = SettlementAccount.objects.filter(settlement=settlement).exclude(net=0)
    return list(rows.select_related("account__participant").order_by("id"))


def _covers(rows: Collection[SettlementAccount]) -> dict[int, int]:
    """Returns, for each account of a settlement, the SETTLEMENT account of the same participant."""
    found = Account.objects.filter(
        type=Account.Type.SETTLEMENT,
        participant__in={row.account.participant_id for row in rows},
        currency__in={row.account.currency for row in rows},
    )
    covers = {(account.participant_id, account.currency): account.pk for account in found}
    try:
        return {row.pk: covers[row.account.participant_id, row.account.currency] for row in rows}
    except KeyError:
        raise NotPaid(_("A participant of this settlement has no SETTLEMENT account.")) from None


def _proposals(
    settlement: Settlement, statement: Statement, rows: Sequence[SettlementAccount], covers: Mapping[int, int]
) -> list[Proposal]:
    lines = {line.account_id: line for line in StatementLine.objects.filter(statement=statement)}
    names = {covers[row.pk]: {str(settlement.pk), row.transfer_id, *_references(lines[row.pk])} - {""} for row in rows}
    recorded = settlement_funds_in_and_out.recorded(
        settlement.pk, settlement.created_at, {covers[row.pk]: int(row.net) for row in rows}, names
    )
    return [
        Proposal(
            account_id=row.pk,
            participant=row.account.participant.name,
            currency=row.account.currency,
            settlement_account_id=covers[row.pk],
            line_id=lines[row.pk].pk,
            is_out=row.net > 0,
            due=abs(int(row.net)),
            otherwise=recorded[covers[row.pk]].amount,
            has_reserved=recorded[covers[row.pk]].has_reserved,
        )
        for row in rows
    ]


def _references(line: StatementLine) -> set[str]:
    return {line.reference, line.bank_reference}
