"""The text that `make run DEMO=1` prints about the demo's banks: addresses, customers, and an example of a payment."""

import csv
import json
from collections.abc import Sequence

from hub.local.demo.banks import Bank
from hub.local.stack import PROJECT

_SHOWN = 3
_CUSTOMERS = PROJECT / "example_dfsp" / "data" / "customers.csv"


def introduction(banks: Sequence[Bank]) -> str:
    """Returns a text with each bank, some of the bank's customers, and a command for a payment between two banks."""
    with _CUSTOMERS.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row["manner"]]
    lines = ["", "The banks of the demo. Open one in a browser, pick a person, and send money to the other bank:"]
    lines += [f"  {bank.name:<12} {bank.web_url}" for bank in banks]
    lines += ["", "The banks' customers and addresses, for scripts:"]
    for bank in banks:
        lines.append(f"  {bank.name.upper()}={bank.url}   (connector: http://127.0.0.1:{bank.ports.outbound})")
        lines += [f"    {row['msisdn']}  {row['name']}" for row in _of(bank, rows)[:_SHOWN]]
    payer, payee = (_of(bank, rows)[0]["msisdn"] for bank in banks[:2])
    payment = {
        "reference": "try-1",
        "payer": payer,
        "payee": payee,
        "amount": "1500",
        "currency": "TZS",
        "note": "lunch",
    }
    lines += [
        "A payment to try:",
        f"  curl -X POST {banks[0].url}/pay -H 'Content-Type: application/json' -d '{json.dumps(payment)}'",
        "To connect a bank of your own, read docs/connect/README.md. Its commands need this line before them:",
        "  export " + " ".join(f"{bank.name.upper()}={bank.url}" for bank in banks),
    ]
    return "\n".join(lines)


def _of(bank: Bank, rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in rows if row["dfsp"] == bank.name]
