"""Reads the lines of a settlement bank's file. Refuses the whole file if any cell has an unexpected form.

A file could be an attack. So this module does not decompress files, does not evaluate cells, and does not allow XML
entities. This module uses neither a database nor the network.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from xml.etree import ElementTree

from django.utils.translation import gettext as _

from fspiop import money
from hub import whole_minor_units

MOST_OCTETS = 1_048_576
MOST_LINES = 10_000
_MOST_OF_A_CELL = 140
_NEEDED = ("settlement", "reference", "participant", "currency", "amount", "direction")
_HEADINGS = frozenset({*_NEEDED, "bankReference", "windows", "state"})
_STARTS_A_FORMULA = ("=", "+", "-", "@")
_PACKED = (b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"\xd0\xcf\x11\xe0")


class Unreadable(Exception):
    """The reason why the hub refuses a file, as a text for the person who sent the file."""


class Direction(StrEnum):
    """The direction in which money moves on the participant's account at the bank.

    The bank debits the account of a participant that owes money.
    """

    DEBIT = "DEBIT"
    CREDIT = "CREDIT"


@dataclass(frozen=True, slots=True)
class Line:
    """One movement of money on an account, from one line of the bank's file.

    `settlement` and `participant` are empty if the file's format has no fields for these values.
    """

    number: int
    reference: str
    currency: str
    amount: int
    direction: Direction
    participant: str = ""
    settlement: str = ""
    bank_reference: str = ""


def read(octets: bytes) -> list[Line]:
    """Returns the lines of a CSV file with headings, or of a camt.053 document."""
    if len(octets) > MOST_OCTETS:
        raise Unreadable(_("The file is larger than %(most)s bytes.") % {"most": MOST_OCTETS})
    if octets.startswith(_PACKED):
        raise Unreadable(_("This is a compressed file or a spreadsheet. Send the CSV or XML file itself."))
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable(_("The file is not UTF-8 text.")) from None
    if "\0" in text:
        raise Unreadable(_("The file is not UTF-8 text."))
    lines = list(_of_xml(text) if text.lstrip().startswith("<") else _of_csv(text))
    if not lines:
        raise Unreadable(_("The file has no lines."))
    return lines


def _of_csv(text: str) -> Iterator[Line]:
    rows = _rows(text)
    headings = next(rows, (0, []))[1]
    if len(set(headings)) < len(headings) or not set(_NEEDED) <= set(headings) <= _HEADINGS:
        told = {"needed": ", ".join(_NEEDED), "more": ", ".join(sorted(_HEADINGS - set(_NEEDED)))}
        raise Unreadable(_("The first line must name the columns %(needed)s. It may also name %(more)s.") % told)
    for number, cells in rows:
        if len(cells) != len(headings):
            raise _wrong(number, _("the line does not have as many cells as the first line"))
        cell = dict(zip(headings, cells, strict=True))
        yield Line(
            number=number,
            reference=cell["reference"],
            currency=_currency(number, cell["currency"]),
            amount=_amount(number, cell["amount"], cell["currency"]),
            direction=_direction(number, cell["direction"]),
            participant=cell["participant"],
            settlement=cell["settlement"],
            bank_reference=cell.get("bankReference", ""),
        )


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yields each row that is not empty, together with the row's line number."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if reader.line_num > MOST_LINES:
                raise Unreadable(_("The file has more than %(most)s lines.") % {"most": MOST_LINES})
            if any(cells):
                yield reader.line_num, [_checked(reader.line_num, cell.strip()) for cell in cells]
    except csv.Error:
        raise _wrong(reader.line_num, _("the line's quotation marks do not match")) from None


def _checked(number: int, cell: str) -> str:
    if cell.startswith(_STARTS_A_FORMULA):
        raise _wrong(number, _("a cell begins like a formula"))
    if len(cell) > _MOST_OF_A_CELL or not cell.isprintable():
        raise _wrong(number, _("a cell is too long, or has characters that cannot be printed"))
    return cell


def _amount(number: int, text: str, currency: str) -> int:
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    try:
        amount = money.parse_amount(text)
    except money.AmountError:
        raise _wrong(number, _("the amount must look like 1500 or 12.50")) from None
    if amount == 0:
        raise _wrong(number, _("the amount must look like 1500 or 12.50"))
    if whole_minor_units.fault_of(amount, currency) is not None:
        raise _wrong(number, _("the amount has more decimal places than its currency allows"))
    return amount


def _currency(number: int, text: str) -> str:
    if text not in money.CURRENCIES:
        raise _wrong(number, _("the currency is unknown"))
    return text


def _direction(number: int, text: str) -> Direction:
    try:
        return Direction(text)
    except ValueError:
        raise _wrong(number, _("the direction is neither DEBIT nor CREDIT")) from None


def _wrong(number: int, why: str) -> Unreadable:
    return Unreadable(_("Line %(number)s: %(why)s.") % {"number": number, "why": why})


# --- camt.053 (ISO 20022, BankToCustomerStatement) ------------------------------------------------------------------
def _of_xml(text: str) -> Iterator[Line]:
    # Only a document type can define XML entities that the parser would expand or fetch.
    if "<!" in text:
        raise Unreadable(_("An XML file must not contain a document type or comments."))
    try:
        # The parser reads the decoded text instead of the bytes, so an encoding in the file's declaration has no
        # effect.
        root = ElementTree.fromstring(text)  # noqa: S314 (see above)
    except (ElementTree.ParseError, ValueError, RecursionError):
        raise Unreadable(_("The file is not well-formed XML.")) from None
    statements = _all(root, "BkToCstmrStmt/Stmt")
    if not _is(root, "Document") or not statements:
        raise Unreadable(_("The XML file is not a camt.053 statement."))
    entries = [entry for statement in statements for entry in _all(statement, "Ntry")]
    if len(entries) > MOST_LINES:
        raise Unreadable(_("The file has more than %(most)s lines.") % {"most": MOST_LINES})
    for number, entry in enumerate(entries, start=1):
        yield _entry(number, entry)


def _entry(number: int, entry: ElementTree.Element) -> Line:
    amount = next(iter(_all(entry, "Amt")), None)
    if _text(entry, "Sts/Cd") not in ("", "BOOK") or _text(entry, "Sts") not in ("", "BOOK"):
        raise _wrong(number, _("the entry is not booked"))
    direction = {"DBIT": "DEBIT", "CRDT": "CREDIT"}.get(_text(entry, "CdtDbtInd"), "")
    currency = _currency(number, amount.get("Ccy", "") if amount is not None else "")
    return Line(
        number=number,
        reference=_checked(number, _text(entry, "NtryDtls/TxDtls/Refs/EndToEndId")),
        currency=currency,
        amount=_amount(number, (amount.text or "").strip() if amount is not None else "", currency),
        direction=_direction(number, direction),
        bank_reference=_checked(number, _text(entry, "AcctSvcrRef")),
    )


def _is(element: ElementTree.Element, name: str) -> bool:
    """Returns whether the XML element has this local name.

    The function ignores XML namespaces, because each version of an ISO 20022 message has a different namespace.
    """
    return element.tag.rpartition("}")[2] == name


def _all(element: ElementTree.Element, path: str) -> list[ElementTree.Element]:
    found: Iterable[ElementTree.Element] = [element]
    for name in path.split("/"):
        found = [child for parent in found for child in parent if _is(child, name)]
    return list(found)


def _text(element: ElementTree.Element, path: str) -> str:
    found = _all(element, path)
    return (found[0].text or "").strip() if len(found) == 1 else ""
