"""What must hold after a chaos run. Each check gives a sentence for each thing that is wrong."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg

from hub.outbox.messages import END_KINDS
from tests.faults.history import ABORTED, COMMITTED, History, Misbehaviour, Payment
from tests.faults.ledger_model import Account, Event, Model
from tests.faults.outsiders import MUTE, ROGUE
from tests.faults.rules import Hold, holds

_TRANSFERS = """
    SELECT t.transfer_id, t.state, payer.name, t.payee_name, t.amount, t.payer_account_id IS NOT NULL, t.wants_patch,
           t.reason
    FROM ledger_transfer t JOIN participants_participant payer ON payer.id = t.payer_id
"""
_EVENTS = """
    SELECT e.at, t.transfer_id, e.state, payer.name, t.payee_name, t.amount, t.payer_account_id IS NOT NULL
    FROM ledger_transferevent e JOIN ledger_transfer t USING (transfer_id)
    JOIN participants_participant payer ON payer.id = t.payer_id ORDER BY e.id
"""
_ACCOUNTS = """
    SELECT p.name, (a.posted_debits - a.posted_credits)::bigint, a.pending_debits::bigint,
           LEAST(a.net_debit_cap, (SELECT s.posted_credits - s.posted_debits - s.pending_debits FROM ledger_account s
                                   WHERE s.participant_id = p.id AND s.type = 'SETTLEMENT'))::bigint
    FROM ledger_account a JOIN participants_participant p ON p.id = a.participant_id WHERE a.type = 'POSITION'
"""
_EFFECTS = "SELECT transfer_id, count(*) FROM ledger_entry WHERE kind = 'TRANSFER' GROUP BY 1 HAVING count(*) > 1"
# What the outsiders send, and what they are sent, is no matter of anybody's payments.
OURS = f"""subject <> 'poison' AND headers->>'fspiop-source' IS DISTINCT FROM '{ROGUE}'
    AND destination_id NOT IN (SELECT id FROM participants_participant WHERE name IN ('{ROGUE}', '{MUTE}'))"""
_WAITING = f"SELECT kind, subject, last_error FROM outbox_message WHERE state = 'PENDING' AND {OURS}"
# Of a request that could not be delivered, whoever sent it is told. A DFSP that answers 501 does not want the
# message, unless it is the end of a payment.
_DEAD = f"""SELECT kind, subject, last_error FROM outbox_message
    WHERE state = 'DEAD' AND reply_to_id IS NULL AND {OURS}
      AND (kind = ANY(%s) OR last_error NOT LIKE 'HTTP 501%%')"""

NOTHING_HELD: Mapping[str, float] = {}
CLOCK_S = 0.05  # by which the clocks of the hub's database and of a DFSP may differ
LATE_S = 5.0  # beyond this a payment has waited for somebody else's misbehaviour


@dataclass(frozen=True)
class Row:
    """A transfer as the hub has it."""

    id: str
    state: str
    payer: str
    payee: str
    amount: int
    was_reserved: bool
    wants_patch: bool
    reason: str | None
    hold: Hold | None = None


@dataclass
class Findings:
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.broken or self.stuck)


def rows(connection: psycopg.Connection[Any]) -> dict[str, Row]:
    """Every transfer of the hub."""
    held = holds(connection)
    return {row[0]: Row(*row, held.get(row[0])) for row in connection.execute(_TRANSFERS)}


def check(history: History, connection: psycopg.Connection[Any]) -> Findings:
    """All checks but check_ledger, which is the hub's own."""
    at_hub, found = rows(connection), Findings()
    for payment in history.payments.values():
        _check_payment(payment, at_hub.get(payment.id), found)
    found.broken += [f"{key} is in the database and nobody began it" for key in at_hub if key not in history.payments]
    found.broken += history.strange
    found.broken += harmed(history, {key: row.hold.seconds for key, row in at_hub.items() if row.hold is not None})
    found.broken += [f"{key}: {how}" for key, how in history.diverted.items()]
    found.stuck += history.not_found
    found.doubled += [f"{key} has {count} entries" for key, count in connection.execute(_EFFECTS)]
    found.stuck += [f"not delivered: {kind} {subject} {error}" for kind, subject, error in connection.execute(_WAITING)]
    found.lost += [
        f"given up: {kind} {subject} {error}" for kind, subject, error in connection.execute(_DEAD, [sorted(END_KINDS)])
    ]
    found.broken += replay(connection)
    return found


def _check_payment(payment: Payment, row: Row | None, found: Findings) -> None:
    key, ends = payment.id, (payment.payer_ends, payment.payee_ends)
    if row is None:
        if payment.is_acknowledged or any(ends):
            found.lost.append(f"{key} was acknowledged ({payment.post_answers}, {ends}) and is not there")
        return
    if (row.payer, row.payee, row.amount) != (payment.payer, payment.payee, payment.amount * 10_000):
        found.broken.append(f"{key} is {row}, meant was {payment}")
    if row.state not in (COMMITTED, ABORTED):
        found.stuck.append(f"{key} is {row.state}")
        return
    is_fulfilled = 200 in payment.put_answers and payment.plan in ("pay", "patch", "storm")
    if is_fulfilled and row.state == ABORTED and ABORTED not in payment.payee_ends:
        found.lost.append(f"{key}: the payee's fulfil was taken, it was aborted, and the payee was not told")
    for who, heard in zip(("payer", "payee"), ends, strict=True):
        if len(heard) > 1:
            found.doubled.append(f"{key}: the {who} was told {sorted(heard)}")
        elif heard and heard != {row.state}:
            found.doubled.append(f"{key}: the {who} was told {sorted(heard)}, the hub has {row.state}")
    if not payment.payer_ends:
        found.lost.append(f"{key}: the payer was never told {row.state}")
    if row.wants_patch and not payment.payee_ends:
        found.lost.append(f"{key}: the payee waits for the end, {row.state}, in vain")
    if row.hold is not None:
        _check_hold(payment, row.hold, row, found)
    elif row.was_reserved and not payment.prepares:
        found.lost.append(f"{key}: the payee was never asked")
    _compare_books(payment, row, found)


def _check_hold(payment: Payment, hold: Hold, row: Row, found: Findings) -> None:
    """The payee is asked after the release and not before; if there was none, the payee never hears of it."""
    key = payment.id
    if not row.was_reserved:
        found.broken.append(f"{key} was held and not reserved")
    if hold.ended_at is None:
        found.stuck.append(f"{key} is held, and {row.state}")
    elif hold.state == "RELEASED":
        if not payment.prepares:
            found.lost.append(f"{key}: the payee was never asked, {hold.seconds:.1f} s of hold ended")
        elif payment.asked_at < hold.ended_at.timestamp() - CLOCK_S:
            found.broken.append(f"{key}: the payee was asked while it was held")
    else:
        if payment.prepares or payment.payee_heard:
            found.broken.append(f"{key}: the payee heard of a transfer that was never released")
        if row.state != ABORTED:
            found.broken.append(f"{key} is {row.state}, and was never released")


def harmed(history: History, held_s: Mapping[str, float] = NOTHING_HELD) -> list[str]:
    """The payments that went otherwise than ever while somebody misbehaved who had no part in them (I21)."""
    found = []
    for misbehaviour in history.misbehaviours:
        for payment in history.payments.values():
            if not misbehaviour.since <= payment.begun_at < misbehaviour.until:
                continue
            if what := _harm(payment, misbehaviour, held_s.get(payment.id, 0.0)):
                found.append(f"{payment.id} of {payment.payer} and {payment.payee}, {misbehaviour.name}: {what}")
    return found


def _harm(payment: Payment, misbehaviour: Misbehaviour, held_s: float) -> str:
    if misbehaviour.who & {payment.payer, payment.payee}:
        return ""
    refused = [status for status in payment.post_answers if status != 202]
    if refused:
        return f"its POST was answered {refused}"
    if payment.asked_at > payment.acknowledged_at + held_s + LATE_S:
        return f"its payee was asked {payment.asked_at - payment.acknowledged_at:.1f} s later"
    if payment.plan == "pay" and payment.told_at > payment.acknowledged_at + held_s + 2 * LATE_S:
        return f"its payer was told {payment.told_at - payment.acknowledged_at:.1f} s later"
    return ""


def _compare_books(payment: Payment, row: Row, found: Findings) -> None:
    """Payer's books, hub, payee's books: the money went, or it did not."""
    paid = payment.payer_ends == {COMMITTED}
    if payment.plan in ("pay", "storm", "late"):
        received = 200 in payment.put_answers and ABORTED not in payment.payee_ends
    elif payment.plan in ("silent", "reject"):
        received = False
    else:  # it waited for the hub's word
        received = payment.payee_ends == {COMMITTED}
    if not paid == received == (row.state == COMMITTED):
        found.lost.append(
            f"{payment.id} ({payment.plan}): payer {paid}, hub {row.state} {row.reason}, payee {received}"
            f" {payment.put_answers} {payment.payer_heard} {payment.payee_heard}"
        )


def replay(connection: psycopg.Connection[Any]) -> list[str]:
    """The committed history against the model: every limit held, every balance equal."""
    stored = {name: (position, reserved, limit) for name, position, reserved, limit in connection.execute(_ACCOUNTS)}
    model = Model({name: Account(limit) for name, (_, _, limit) in stored.items()})
    model.replay(Event(*row) for row in connection.execute(_EVENTS))
    faults = list(model.faults)
    for name, (position, reserved, _) in stored.items():
        account = model.accounts[name]
        if (account.position, account.reserved) != (position, reserved):
            faults.append(
                f"{name} stands at {position} + {reserved}, its history makes {account.position} + {account.reserved}"
            )
    return faults


def outcomes(connection: psycopg.Connection[Any]) -> Counter[str]:
    """How the transfers ended, by state and reason."""
    return Counter(f"{row.state} {row.reason or ''}".strip() for row in rows(connection).values())
