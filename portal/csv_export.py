"""Creates CSV files for spreadsheet programs. No cell of these files is a formula."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from hub import page_concurrency
from hub.downloads import Download, each_within
from portal.visitor import Visitor, visitor_of

MOST_ROWS = 100_000
_NUMBER = re.compile(r"-[0-9]+([.][0-9]+)?\Z")
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe(value: Any) -> str:
    """Returns a cell's text. Adds an apostrophe before a text that a spreadsheet program would read as a formula.

    Numbers get no apostrophe, including negative numbers.
    """
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    text = str(value)
    starts_one = text.lstrip().startswith(_STARTS_A_FORMULA) and not _NUMBER.match(text)
    return f"'{text}" if starts_one else text


def limited(batches: Iterable[Sequence[Sequence[Any]]]) -> Iterator[Sequence[Sequence[Any]]]:
    """Yields at most MOST_ROWS rows. If there are more rows, the last line of the file states that rows are missing."""
    # The text is in the language of the request. The hub reads the rows later, outside the request.
    return _limited(batches, MOST_ROWS, cut_text(MOST_ROWS))


def _limited(batches: Iterable[Sequence[Sequence[Any]]], left: int, text: str) -> Iterator[Sequence[Sequence[Any]]]:
    for batch in batches:
        if len(batch) > left:
            yield [*batch[:left], (text,)]
            return
        left -= len(batch)
        yield batch


def cut_text(most: int) -> str:
    """Returns the last line of a file that does not have all rows."""
    text = _("This file ends here, after %(most)s rows, but there are more. Search a shorter time for the other rows.")
    return text % {"most": most}


def response(
    request: HttpRequest, name: str, headings: Sequence[str], batches: Iterable[Iterable[Sequence[Any]]]
) -> Download:
    """Streams the rows as a file. Raises NoPlace if the visitor has too many open downloads.

    The function reads each batch of rows separately. Between two batches, no transaction or cursor is open in the
    database, even if the visitor reads the file slowly.
    """
    caller = holder(visitor_of(request))
    read = each_within(partial(page_concurrency.reading, caller), map(_lines, batches))
    parts = chain([_lines([headings])], filter(None, read))
    return Download(parts, name=name, content_type="text/csv; charset=utf-8", caller=caller)


def holder(visitor: Visitor) -> tuple[str, int]:
    """Returns the key under which the hub counts the visitor's open files. All users of a participant share one key."""
    if visitor.dfsp_id is not None:
        return "participant", visitor.dfsp_id
    return "user", visitor.user.pk if visitor.user else 0


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([safe(value) for value in row] for row in rows)
    return text.getvalue()
