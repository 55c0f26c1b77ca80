"""Creates XLSX files. No cell is a formula or a link."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import xlsxwriter
from django.http import HttpRequest

from hub.downloads import Download
from portal.csv_export import holder
from portal.visitor import visitor_of

_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_DIGITS = 15  # a spreadsheet program keeps only this many digits of a number
_WIDTH = 20

Table = tuple[str, Sequence[str], Iterable[Sequence[Any]]]


def response(request: HttpRequest, name: str, tables: Iterable[Table]) -> Download:
    """Returns a workbook with one sheet for each table. Raises NoPlace if the visitor has too many open downloads."""
    caller = holder(visitor_of(request))
    return Download(iter([workbook(tables)]), name=name, content_type=_TYPE, caller=caller)


def workbook(tables: Iterable[Table]) -> bytes:
    file = io.BytesIO()
    with xlsxwriter.Workbook(
        file, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    ) as book:
        bold = book.add_format({"bold": True})
        for title, headings, rows in tables:
            sheet = book.add_worksheet(title)
            sheet.freeze_panes(1, 1)
            sheet.set_column(0, len(headings) - 1, _WIDTH)
            sheet.write_row(0, 0, headings, bold)
            for number, row in enumerate(rows, start=1):
                for column, value in enumerate(row):
                    _write(sheet, number, column, value)
    return file.getvalue()


def _write(sheet: Any, row: int, column: int, value: Any) -> None:
    number = _number(value)
    if number is not None:
        sheet.write_number(row, column, number)
    elif value is not None:
        sheet.write_string(row, column, str(value))


def _number(value: Any) -> float | None:
    """Returns the number that a cell can hold exactly, or None for a text.

    An amount with more digits becomes a text, because the spreadsheet program would round the number.
    """
    if isinstance(value, int | float):
        return value
    digits = str(value or "").replace(".", "", 1)
    return float(value) if digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS else None
