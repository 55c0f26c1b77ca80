"""The content of a request to change or abort a settlement: all data that the approver must see."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from settlement.decide import Wish
from settlement.models import Settlement
from settlement.states import State


def evidence_of(settlement: Settlement) -> dict[str, Any] | None:
    """Returns the bank's latest statement. This bank statement is the evidence that the bank has moved the money."""
    found = settlement.statements.order_by("-id").values("id", "sha256", "is_exact").first()
    return dict(found) if found else None


def owed_of(settlement: Settlement) -> list[tuple[str, int]]:
    """Returns, for each currency, the total amount that the net senders owe."""
    owed: dict[str, int] = defaultdict(int)
    for account in settlement.accounts.all():
        owed[account.account.currency] += max(0, int(account.net))
    return sorted(owed.items())


def is_any_owed(settlement: Settlement) -> bool:
    """Returns whether the bank has to move money for this settlement. In each currency, the net amounts add up to zero,
    so if no account owes money, no account receives money."""
    return any(account.net for account in settlement.accounts.all())


def terms(settlement: Settlement, to: str, reason: str, because: str = "") -> dict[str, Any]:
    """Returns the content of a request to change a settlement's state.

    `because` is the reason for a missing bank statement.
    """
    windows = sorted({content.window_id for content in settlement.contents.all()})
    return {
        "settlement": settlement.pk,
        "windows": windows,
        "before": settlement.state,
        "to": to,
        "owed": [list(pair) for pair in owed_of(settlement)],
        "reason": reason,
        "statement": evidence_of(settlement) if to == State.SETTLED else None,
        "without_statement": because,
    }


def terms_of_steps(settlement: Settlement, wishes: Sequence[Wish]) -> dict[str, Any]:
    """Returns the content of a request to move single accounts to other states.

    If there is no bank statement, the reason for each step must explain why the statement is missing.
    """
    states = {wish.state for wish in wishes}
    to = State.SETTLED if State.SETTLED in states else ", ".join(sorted(states))
    reason = "; ".join(dict.fromkeys(wish.reason for wish in wishes if wish.reason))
    because = reason if to == State.SETTLED and evidence_of(settlement) is None else ""
    steps = [
        [wish.participant_id, wish.account_id, wish.state.value, wish.reason, wish.external_reference]
        for wish in wishes
    ]
    return terms(settlement, str(to), reason, because) | {"steps": steps}


def wishes_of(payload: dict[str, Any]) -> list[Wish]:
    """Reads the requested steps from a payload that `terms_of_steps` has created."""
    return [
        Wish(participant, account, State(state), reason, reference)
        for participant, account, state, reason, reference in payload["steps"]
    ]
