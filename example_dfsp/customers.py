"""The bank's customers. The demo's customers come from a CSV file: dfsp, msisdn, name, balance, manner.

`manner` is empty for most customers. Customers with a manner make payments fail: "rejects" (the account accepts no
payments), "silent" (the core never answers about the account) and "limit" (no payment may exceed LIMIT).
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from kitovu_connector.amounts import parse_amount

DATA = Path(__file__).parent / "data"
LIMIT = parse_amount("500000")


@dataclass(frozen=True, slots=True)
class Customer:
    dfsp: str
    msisdn: str
    name: str
    balance: int
    manner: str


def read_customers(path: Path = DATA / "customers.csv") -> list[Customer]:
    """Returns the customers of all banks in the file."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Customer(row["dfsp"], row["msisdn"], row["name"], parse_amount(row["balance"]), row["manner"])
            for row in csv.DictReader(file)
        ]
