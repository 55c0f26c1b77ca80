"""Reads held transfers. For each held transfer, the module also reads the rules that hold the transfer, and the open
request about the transfer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.utils import timezone

from hub.audit.models import Approval
from ledger.held_transfers.models import HeldTransfer
from quotes.models import Quote
from rules.rulesets import queries

KINDS = ("release_held", "refuse_held")


@dataclass(frozen=True, slots=True)
class Held:
    hold: HeldTransfer
    rules: Sequence[str]
    request: Approval | None


def with_rules(holds: Sequence[HeldTransfer]) -> list[Held]:
    """Returns these held transfers. For each transfer, also returns the ids of the rules that hold the transfer, and
    the open request about the transfer. Runs three SQL statements."""
    ids = [hold.pk for hold in holds]
    rules = _rules_by_transfer(holds)
    requests = {approval.subject: approval for approval in _open_requests(ids)}
    return [Held(hold, sorted(rules.get(hold.pk, ())), requests.get(hold.pk)) for hold in holds]


def _rules_by_transfer(holds: Sequence[HeldTransfer]) -> dict[str, set[str]]:
    """Returns the rules that hold each transfer. These rules have judged either the transfer or its quote."""
    payers = {hold.pk: hold.transfer.payer_id for hold in holds}
    # The payer DFSP chooses the transaction's id, so the search must exclude quotes of all other DFSPs.
    quotes = {
        quote_id: transaction_id
        for quote_id, transaction_id, payer_id in Quote.objects.filter(transaction_id__in=payers).values_list(
            "pk", "transaction_id", "payer_id"
        )
        if payers.get(transaction_id) == payer_id
    }
    found: dict[str, set[str]] = {}
    for decision in queries.decisions_about([*payers, *quotes]):
        transfer_id = quotes.get(decision.subject, decision.subject)
        for hit in decision.hits:
            if hit["action"] == "hold" and not hit.get("shadow") and not hit.get("excused"):
                found.setdefault(transfer_id, set()).add(hit["rule"])
    return found


def _open_requests(transfer_ids: Collection[str]) -> list[Approval]:
    found = Approval.objects.filter(
        kind__in=KINDS,
        subject__in=list(transfer_ids),
        state=Approval.State.PENDING,
        expires_at__gt=timezone.now(),
    )
    return list(found.order_by("pk"))
