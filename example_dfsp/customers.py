"""Who banks here. The demo's customers come from a CSV: dfsp, msisdn, name, balance, manner.

`manner` is empty for most; "rejects" (the account takes no money), "silent" (the core never answers about it) and
"limit" (nobody may receive more than LIMIT) make the payments that must fail.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from connector.amounts import parse_amount

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
    """Every customer of the file, all banks'."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Customer(row["dfsp"], row["msisdn"], row["name"], parse_amount(row["balance"]), row["manner"])
            for row in csv.DictReader(file)
        ]
