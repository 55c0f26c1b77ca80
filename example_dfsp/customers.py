"""The people, shops and offices of the demo's banks, from a CSV file.

Columns: dfsp, msisdn, name, balance, manner, kind, place, till, currency. `kind` is one of KINDS. `till` is a shop's
till number. The shop's QR codes contain the till number, and the scheme knows this number as the shop's second alias.
`manner` is empty for most customers. Three manners make payments fail. "rejects": the account accepts no payments.
"silent": the core never answers about the account. "limit": no payment may exceed LIMIT. A customer with the manner
"approves" approves every request to pay immediately.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kitovu_connector.amounts import parse_amount

DATA = Path(__file__).parent / "data"
LIMIT = parse_amount("500000")
CURRENCY = "TZS"  # the currency of every customer for whom the file has no currency

Kind = Literal["person", "shop", "agent", "employer", "government"]
KINDS: tuple[Kind, ...] = ("person", "shop", "agent", "employer", "government")


@dataclass(frozen=True, slots=True)
class Customer:
    dfsp: str
    msisdn: str
    name: str
    balance: int
    manner: str
    kind: Kind = "person"
    place: str = ""
    till: str = ""
    currency: str = CURRENCY

    @property
    def aliases(self) -> list[tuple[str, str]]:
        """The customer's identifiers in the scheme, with the type of each identifier."""
        return [("MSISDN", self.msisdn)] + ([("BUSINESS", self.till)] if self.till else [])

    @property
    def initiator(self) -> str:
        """The initiator type of this customer's payments."""
        return {"person": "CONSUMER", "agent": "AGENT"}.get(self.kind, "BUSINESS")


class Customers:
    """The customers of one bank, by phone number and by every alias."""

    def __init__(self, customers: Iterable[Customer]) -> None:
        self.all = list(customers)
        self._by_number = {customer.msisdn: customer for customer in self.all}
        self._by_alias = {alias: customer for customer in self.all for alias in customer.aliases}

    def get(self, msisdn: str) -> Customer | None:
        """Returns the customer with this phone number, or None."""
        return self._by_number.get(msisdn)

    def of_alias(self, id_type: str, id_value: str) -> Customer | None:
        """Returns the customer with this alias, or None."""
        return self._by_alias.get((id_type, id_value))


def read_customers(path: Path = DATA / "customers.csv") -> list[Customer]:
    """Returns the customers of all banks in the file."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_customer(row) for row in csv.DictReader(file)]


def _customer(row: dict[str, str]) -> Customer:
    kind = row.get("kind") or "person"
    if kind not in KINDS:
        raise ValueError(f"{row['msisdn']}: {kind} is no kind of customer")
    return Customer(
        row["dfsp"],
        row["msisdn"],
        row["name"],
        parse_amount(row["balance"]),
        row["manner"],
        kind=kind,
        place=row.get("place") or "",
        till=row.get("till") or "",
        currency=row.get("currency") or CURRENCY,
    )
