"""Reads lists of payments from CSV files. Refuses the whole file if any line is wrong, and reports the numbers of the
wrong lines. Writes results.

A file has the same columns as a file for the command `kitovu-connector bulk`: id, to, amount and currency, and
optionally name and note.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from example_dfsp.localization import number_entered
from kitovu_connector import AmountError, format_amount, parse_amount

MOST_LINES = 10_000
MOST_IN_TOTAL = 10**18 - 1  # the largest amount of the API; a much larger total would not fit into the books
_NEEDED = ("id", "to", "amount", "currency")
_MOST_FAULTS = 10
_FEW_LINES = 1_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet executes a cell that begins with such a character
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
    rows = _rows(text, ";" if first.count(";") > first.count(",") else ",")
    _, header = next(rows, (1, []))
    if isinstance(header, Fault):
        return [], [header]
    names = [name.strip().lower() for name in header]
    if any(name not in names for name in _NEEDED):
        return [], [Fault(0, "The first line must name the columns id, to, amount and currency.")]
    if any(name and names.count(name) > 1 for name in names):
        return [], [Fault(1, "The first line names a column twice.")]
    return _lines(rows, names, currency, own_number)


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str] | Fault]]:
    """Returns the rows that are not empty, each with the number of its line. Ends after a row that is not CSV.

    A stray quotation mark would join several lines into one cell. So no cell can contain a line break.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            yield number, Fault(number, "The line is not CSV. Check its quotation marks.")
            return
        if row is None:
            return
        if any(_CONTROL.search(cell) for cell in row):
            yield number, Fault(number, "A cell has a line break or a control character. Check the quotation marks.")
        elif row:
            yield number, row
        number = reader.line_num + 1


def _lines(
    rows: Iterable[tuple[int, list[str] | Fault]], names: list[str], currency: str, own_number: str
) -> tuple[list[Line], list[Fault]]:
    found: list[Line] = []
    faults: list[Fault] = []
    seen: set[str] = set()
    for number, row in rows:
        line = row if isinstance(row, Fault) else _line(number, names, row, currency, own_number, seen)
        if isinstance(line, Fault):
            faults.append(line)
            if len(faults) >= _MOST_FAULTS:
                faults.append(Fault(0, "Only the first 10 wrong lines are listed. Check the lines after them too."))
                break
        else:
            found.append(line)
            if len(found) > MOST_LINES:
                return [], [Fault(0, "A file can have at most 10,000 payments. Divide it into several files.")]
    if not found and not faults:
        faults.append(Fault(0, "The file has no payments."))
    if sum(line.amount for line in found) > MOST_IN_TOTAL:
        faults.append(Fault(0, "The total of the payments is too large."))
    return ([], faults) if faults else (found, [])


def _line(
    number: int, names: list[str], row: list[str], currency: str, own_number: str, seen: set[str]
) -> Line | Fault:
    cells = [(name, _read(cell)) for name, cell in zip_longest(names, row, fillvalue="")]
    if any(value and not name for name, value in cells):
        return Fault(number, "The line has more values than the first line has names of columns.")
    values = dict(cells)  # a short row has empty values in its last columns
    line_id, to = values["id"], number_entered(values["to"].removeprefix("MSISDN/"))
    if not 0 < len(line_id) <= 64:
        return Fault(number, "The id is missing, or longer than 64 characters.")
    if line_id in seen:
        return Fault(number, "The id occurs twice in the file.")
    seen.add(line_id)
    if to is None:
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


def _read(cell: str) -> str:
    """Returns the value of a cell, also of a cell that `written` wrote."""
    value = cell.strip()
    return value[1:] if value.startswith("'") and value[1:].startswith(_FORMULA) else value


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
