"""The history of a customer's account, the latest line first: payments, arrivals, and cash at the counter."""

from dataclasses import dataclass

from example_dfsp.arrivals import Arrival
from example_dfsp.bank_application import Bank
from example_dfsp.cash_entries import CounterEntry
from example_dfsp.customers import Customer
from example_dfsp.instructions import Instruction

_ARRIVING = {"PAYMENT": "merchant", "REFUND": "refund", "DEPOSIT": "cash_in", "WITHDRAWAL": "cash_out"}


@dataclass(frozen=True, slots=True)
class Activity:
    """One line in the history of an account. `amount` is negative if money leaves the account."""

    at: float
    name: str
    kind: str
    amount: int
    currency: str
    state: str
    note: str
    href: str


def initials(name: str) -> str:
    """Returns one or two letters of a name. The pages show these initials instead of a picture of the person."""
    words = [word for word in name.split() if word[:1].isalpha()]
    return "".join(word[0].upper() for word in (words[:1] + words[-1:] if len(words) > 1 else words)) or "#"


def kind_of_arrival(found: Arrival) -> str:
    """Returns the kind of the payment that arrived, in the words of `instructions.Kind`."""
    kind = {"SALARY": "salary", "BENEFIT": "benefit"}.get(found.sub_scenario or "")
    return kind or _ARRIVING.get(found.scenario, "transfer")


def activity_of(bank: Bank, customer: Customer, *, before: float, limit: int) -> list[Activity]:
    """Returns the lines of a customer's history that are older than the time `before`."""
    sent = bank.instructions.find(
        "payer = ? AND created_at < ? AND state IN ('SENT', 'PAID', 'FAILED')"
        " AND coalesce(error_code, '') <> '4100' ORDER BY created_at DESC",
        customer.msisdn,
        before,
        limit=limit,
    )
    arrived = bank.arrivals.find(
        "a.payee = ? AND a.arrived_at < ? AND i.state = 'COMMITTED' ORDER BY a.arrived_at DESC",
        customer.msisdn,
        before,
        limit=limit,
    )
    lines = [_of_instruction(found) for found in sent]
    lines += [_of_arrival(found) for found in arrived]
    lines += [_of_entry(found) for found in bank.counter.of(customer.msisdn, before, limit)]
    return sorted(lines, key=lambda line: -line.at)[:limit]


def _of_instruction(found: Instruction) -> Activity:
    return Activity(
        at=found.created_at,
        name=found.payee_name or found.payee,
        kind=found.kind,
        amount=-(found.total or found.amount),
        currency=found.currency,
        state=found.state,
        note=found.note,
        href=f"/payments/{found.reference}",
    )


def _of_arrival(found: Arrival) -> Activity:
    return Activity(
        at=found.arrived_at,
        name=found.payer_name or found.payer,
        kind=kind_of_arrival(found),
        amount=found.received,
        currency=found.currency,
        state="PAID",
        note=found.note,
        href=f"/received/{found.transfer_id}",
    )


def _of_entry(found: CounterEntry) -> Activity:
    return Activity(
        at=found.made_at,
        name=found.teller,
        kind="counter_in" if found.amount > 0 else "counter_out",
        amount=found.amount,
        currency=found.currency,
        state="PAID",
        note=found.note,
        href=f"/counter/{found.reference}",
    )
