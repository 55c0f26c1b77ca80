"""CSV files that a spreadsheet can open without running what is in them."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any

from django.http import HttpRequest

from hub import page_limits
from hub.downloads import Download, each_within
from portal.visitor import Visitor, visitor_of

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


def response(
    request: HttpRequest, name: str, headings: Sequence[str], batches: Iterable[Iterable[Sequence[Any]]]
) -> Download:
    """The rows as a file, sent as they are read; NoPlace where the visitor has too many files open.

    Each batch of rows is what one visit to the database gives. However slowly the file is read, nothing is open there
    between two of them.
    """
    caller = _holder(visitor_of(request))
    read = each_within(partial(page_limits.reading, caller), map(_lines, batches))
    parts = chain([_lines([headings])], filter(None, read))
    return Download(parts, name=name, content_type="text/csv; charset=utf-8", caller=caller)


def _holder(visitor: Visitor) -> tuple[str, int]:
    """Whose files are counted together: a participant's people are one."""
    if visitor.dfsp_id is not None:
        return "participant", visitor.dfsp_id
    return "user", visitor.user.pk if visitor.user else 0


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([safe(value) for value in row] for row in rows)
    return text.getvalue()
