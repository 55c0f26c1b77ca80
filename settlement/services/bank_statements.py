"""Stores and checks the settlement bank's statements.

A bank statement changes no balance, but later steps of the settlement depend on the statement.
"""

import hashlib
import re
import uuid
from collections.abc import Collection

from django.db import transaction
from django.utils.translation import gettext as _

from hub.audit import record
from settlement.bank_statements.matching import Expected, bare, is_exact, match
from settlement.bank_statements.parsing import Line, Unreadable, read
from settlement.models import Settlement, SettlementAccount, Statement, StatementLine
from settlement.states import State

_BARE_ID = re.compile(r"[0-9a-f]{32}")


class NotTaken(Exception):
    """Raised if a bank statement is refused. The error contains the reason. The hub does not store a refused bank
    statement."""


def expected_of(settlement: Settlement) -> list[Expected]:
    """Returns, for each account of a settlement, the amount that the bank must move."""
    return [
        Expected(
            account.pk,
            account.transfer_id,
            account.account.participant.name,
            account.account.currency,
            int(account.net),
        )
        for account in settlement.accounts.select_related("account__participant").order_by("id")
    ]


@transaction.atomic
def take_in(settlement_id: int, *, name: str, octets: bytes, actor: str) -> Statement:
    """Reads a bank's file, compares the lines with the expected payments, and stores the file and the results of the
    comparison."""
    settlement = Settlement.objects.select_for_update(no_key=True).filter(pk=settlement_id).first()
    if settlement is None:
        raise NotTaken(_("This settlement does not exist."))
    if settlement.state == State.SETTLED:
        raise NotTaken(_("This settlement is settled, so no bank statement is expected."))
    if settlement.state == State.ABORTED:
        raise NotTaken(_("This settlement was aborted, so no bank statement is expected."))
    sha256 = hashlib.sha256(octets).hexdigest()
    # After the upload of a wrong file, a person can upload the right file a second time.
    latest = settlement.statements.order_by("-id").values("pk", "sha256").first()
    if latest is not None and latest["sha256"] == sha256:
        told = {"statement": latest["pk"], "settlement": settlement.pk}
        raise NotTaken(
            _("This file was already uploaded as statement %(statement)s of settlement %(settlement)s.") % told
        )
    try:
        lines = read(octets)
    except Unreadable as reason:
        raise NotTaken(str(reason)) from None
    expected = expected_of(settlement)
    _must_be_about(settlement, lines, expected)
    matched = match(lines, expected)
    statement = Statement.objects.create(
        settlement=settlement,
        name=name[:128],
        body=octets,
        sha256=sha256,
        is_exact=is_exact(matched, expected),
        actor=actor,
    )
    StatementLine.objects.bulk_create(
        StatementLine(
            statement=statement,
            number=found.line.number,
            reference=found.line.reference,
            participant=found.line.participant,
            currency=found.line.currency,
            amount=found.line.amount,
            direction=found.line.direction,
            bank_reference=found.line.bank_reference,
            finding=found.finding,
            account_id=found.account_id,
        )
        for found in matched
    )
    record(
        "statement_taken_in",
        subject=f"settlement {settlement.pk}",
        actor=actor,
        after={"statement": statement.pk, "sha256": sha256, "lines": len(lines), "isExact": statement.is_exact},
    )
    return statement


def _must_be_about(settlement: Settlement, lines: list[Line], expected: list[Expected]) -> None:
    """Refuses the file if the file belongs to another settlement, has another currency, or has no reference of this
    settlement. Such a file is a mistake and is not evidence for this settlement."""
    for line in lines:
        if line.settlement and line.settlement != str(settlement.pk):
            told = {"number": line.number, "other": line.settlement, "this": settlement.pk}
            raise NotTaken(_("Line %(number)s is part of settlement %(other)s. This is settlement %(this)s.") % told)
    currencies = {account.currency for account in expected}
    for line in lines:
        if line.currency not in currencies:
            told = {"number": line.number, "currency": line.currency}
            raise NotTaken(
                _("Line %(number)s is in %(currency)s, but this settlement has no amounts in this currency.") % told
            )
    named = {bare(line.reference) for line in lines}
    if named.isdisjoint(bare(account.reference) for account in expected):
        raise NotTaken(_not_about(settlement, named))


def _not_about(settlement: Settlement, named: Collection[str]) -> str:
    """Returns the reason why a file without any reference of this settlement is refused. The reason names the
    settlement to which the file's references belong."""
    ids = [str(uuid.UUID(reference)) for reference in named if _BARE_ID.fullmatch(reference)]
    other = SettlementAccount.objects.filter(transfer_id__in=ids).order_by("id").first()
    if other is None:
        return _("No line of the file has a reference of settlement %(this)s.") % {"this": settlement.pk}
    told = {"this": settlement.pk, "other": other.settlement_id}
    return _("The file is about settlement %(other)s: no line has a reference of settlement %(this)s.") % told
