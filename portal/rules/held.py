"""Reads held transfers. For each held transfer, the module also reads the rules that hold the transfer, and the open
request about the transfer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.utils import timezone

from hub.audit.models import Approval
from ledger.held_transfers.models import HeldTransfer
from rules.rulesets import queries

KINDS = ("release_held", "refuse_held")


@dataclass(frozen=True, slots=True)
class Held:
    hold: HeldTransfer
    rules: Sequence[str]
    request: Approval | None


def with_rules(holds: Sequence[HeldTransfer]) -> list[Held]:
    """Returns these held transfers. For each transfer, also returns the ids of the rules that hold the transfer, and
    the open request about the transfer. Runs two SQL statements."""
    ids = [hold.pk for hold in holds]
    rules = _rules_by_transfer(holds)
    requests = {approval.subject: approval for approval in _open_requests(ids)}
    return [Held(hold, sorted(rules.get(hold.pk, ())), requests.get(hold.pk)) for hold in holds]


def _rules_by_transfer(holds: Sequence[HeldTransfer]) -> dict[str, set[str]]:
    """Returns the rules that hold each transfer. These rules have judged either the transfer or its quote."""
    named = {
        hold.pk: [(each, hold.transfer.payer.name) for each in (hold.pk, hold.quote_id) if each is not None]
        for hold in holds
    }
    rules: dict[tuple[str, str], set[str]] = {}
    for decision in queries.decisions_about({each for of_hold in named.values() for each in of_hold}):
        for hit in decision.hits:
            if hit["action"] == "hold" and not hit.get("shadow") and not hit.get("excused"):
                rules.setdefault((decision.subject, decision.payer_dfsp), set()).add(hit["rule"])
    return {pk: set().union(*(rules.get(each, ()) for each in of_hold)) for pk, of_hold in named.items()}


def _open_requests(transfer_ids: Collection[str]) -> list[Approval]:
    found = Approval.objects.filter(
        kind__in=KINDS,
        subject__in=list(transfer_ids),
        state=Approval.State.PENDING,
        expires_at__gt=timezone.now(),
    )
    return list(found.order_by("pk"))
