"""CSV files that a spreadsheet can open without running what is in them."""

import csv
import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.http import StreamingHttpResponse

MOST_ROWS = 100_000
_NUMBER = re.compile(r"-[0-9]+([.][0-9]+)?\Z")
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe(value: Any) -> str:
    """A cell as text; one that a spreadsheet would take for a formula is made text by an apostrophe.

    Numbers stay numbers, negative ones too.
    """
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    text = str(value)
    starts_one = text.lstrip().startswith(_STARTS_A_FORMULA) and not _NUMBER.match(text)
    return f"'{text}" if starts_one else text


class _Echo:
    def write(self, line: str) -> str:
        return line


def response(name: str, headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> StreamingHttpResponse:
    """The rows as a file, sent as they are read."""
    writer = csv.writer(_Echo())

    def lines() -> Iterator[str]:
        yield writer.writerow(list(headings))
        for row in rows:
            yield writer.writerow([safe(value) for value in row])

    answer = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
