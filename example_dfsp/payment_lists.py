"""Reads lists of payments from CSV files. Refuses the whole file if any line is wrong, and reports the numbers of the
wrong lines. Writes results.

A file has the same columns as a file for the command `kitovu-connector bulk`: id, to, amount and currency, and
optionally name and note.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kitovu_connector import AmountError, format_amount, parse_amount

MOST_LINES = 10_000
_NEEDED = ("id", "to", "amount", "currency")
_MOST_FAULTS = 10
_FEW_LINES = 1_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet executes a cell that begins with such a character


@dataclass(frozen=True, slots=True)
class Line:
    """One payment in a list of payments. `number` is the number of the line in the file."""

    number: int
    id: str
    to: str
    amount: int
    name: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault of one line. `number` is 0 if the whole file is wrong. `text` is a sentence, which the page
    translates."""

    number: int
    text: str


def read(raw: bytes, currency: str, own_number: str) -> tuple[list[Line], list[Fault]]:
    """Returns the payments of a file, or the file's faults. If the file has a fault, returns no payments."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [], [Fault(0, "The file is not a text in UTF-8. Save the file as “CSV UTF-8”.")]
    first = text.partition("\n")[0]
    try:
        rows = csv.DictReader(
            io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ","
        )
        names = [(name or "").strip().lower() for name in rows.fieldnames or ()]
        rows.fieldnames = names
        if any(name not in names for name in _NEEDED):
            return [], [Fault(0, "The first line must name the columns id, to, amount and currency.")]
        return _lines(rows, currency, own_number)
    except csv.Error:
        return [], [Fault(0, "The file is not a CSV file.")]


def _lines(rows: "csv.DictReader[str]", currency: str, own_number: str) -> tuple[list[Line], list[Fault]]:
    found: list[Line] = []
    faults: list[Fault] = []
    seen: set[str] = set()
    for row in rows:
        line = _line(rows.line_num, row, currency, own_number, seen)
        if isinstance(line, Fault):
            faults.append(line)
            if len(faults) >= _MOST_FAULTS:
                break
        else:
            found.append(line)
            if len(found) > MOST_LINES:
                return [], [Fault(0, "A file can have at most 10,000 payments. Divide it into several files.")]
    if not found and not faults:
        faults.append(Fault(0, "The file has no payments."))
    return ([], faults) if faults else (found, [])


def _line(number: int, row: dict[str, str], currency: str, own_number: str, seen: set[str]) -> Line | Fault:
    values = dict.fromkeys(_NEEDED, "")  # a short row has no value in its last columns
    values |= {name: value.strip() for name, value in row.items() if isinstance(value, str) and name}
    line_id, to = values["id"], values["to"].removeprefix("MSISDN/").removeprefix("+")
    if not 0 < len(line_id) <= 64:
        return Fault(number, "The id is missing, or longer than 64 characters.")
    if line_id in seen:
        return Fault(number, "The id occurs twice in the file.")
    seen.add(line_id)
    if not (to.isascii() and to.isdecimal() and 9 <= len(to) <= 15):
        return Fault(number, "The column “to” must be a phone number with its country code.")
    if to == own_number:
        return Fault(number, "The payment goes to the payer's own number.")
    if values["currency"] != currency:
        return Fault(number, "The currency is not your account's currency.")
    try:
        amount = parse_amount(values["amount"])
    except AmountError:
        return Fault(number, "The amount must be in figures, such as 1500 or 1500.50.")
    if amount == 0 or amount % 100:
        return Fault(number, "The amount must be above 0, with at most two decimals.")
    return Line(number, line_id, to, amount, values.get("name", "")[:128], values.get("note", "")[:120])


def written(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a CSV file. No cell of the file is a formula."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(_FORMULA) else text


def example(numbers: Iterable[tuple[str, str]], currency: str, lines: int, note: str) -> str:
    """Returns an example file with `lines` payments to the given people. Each person is a pair (number, name)."""
    people = list(numbers)
    # The total of a long file stays below the demo's net debit cap, so that the scheme accepts all payments of the
    # file.
    least = 1_000 if lines <= _FEW_LINES else 100
    rows = []
    for index in range(lines):
        number, name = people[index % len(people)]
        amount = parse_amount(str(least + index * 37 % (4 * least)))
        rows.append((f"{note}-{index + 1:05}", number, name, format_amount(amount), currency, note))
    return written(("id", "to", "name", "amount", "currency", "note"), rows)
