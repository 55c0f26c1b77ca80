"""Shows the results of a comparison, and writes them to a CSV file."""

import csv
from pathlib import Path

from rich.console import Console

from kitovu_connector.amounts import format_amount, parse_amount
from kitovu_connector.foreign_texts import in_spreadsheet
from kitovu_connector.hub_and_dfsp_books import Books
from kitovu_connector.reconciliation_differences import FAULTS, Side, committed_at_hub


def show(out: Console, books: Books, since: str, until: str) -> None:
    """Prints the sums, each difference, and the number of results of each kind."""
    out.print(f"{len(books.transfers)} transfers from {since} to {until}")
    for (direction, currency), amounts in sorted(committed_at_hub(books.transfers).items()):
        total = format_amount(sum(parse_amount(amount) for amount in amounts))
        out.print(f"committed {direction:3} {len(amounts):6} transfers {total:>20} {currency}", markup=False)
    for _, compared in books.all():
        if compared.result in FAULTS:
            sides = f"hub {_side(compared.at_hub)}, connector {_side(compared.here)}"
            out.print(
                f"{compared.result} {compared.direction} {compared.transfer_id}: {sides}", style="red", markup=False
            )
    for name in ("transfers", "conversions", "funds", "settlements"):
        found = getattr(books, name)
        counts = {result: sum(one.result is result for one in found) for result in {each.result for each in found}}
        counted = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
        if counted or name == "transfers":
            out.print(f"{name}: {counted or 'nothing to compare'}")


def write(path: Path, books: Books) -> None:
    """Writes every result, with the records of both sides."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["transferId", "direction", "result", "hubState", "hubAmount", "state", "amount", "currency", "part"]
        writer.writerow(columns)
        for name, compared in books.all():
            hub, here = compared.at_hub, compared.here
            shown = [in_spreadsheet(compared.transfer_id), compared.direction, compared.result]
            shown += [hub.state if hub else "", hub.amount if hub else ""]
            shown += [here.state if here else "", here.amount if here else ""]
            writer.writerow([*shown, (hub or here or Side("", "", "")).currency, name])


def _side(side: Side | None) -> str:
    return "has nothing" if side is None else f"{side.state} {side.amount} {side.currency}"
