"""Pages of long tables by key: each begins after the last row of the one before, and costs as little."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Page:
    rows: Sequence[Any]
    next_query: str  # the query string of the page after this one; empty on the last
    first_query: str
    is_first: bool


def by_id(request: HttpRequest, rows: "QuerySet[Any]", *, size: int = PAGE_SIZE) -> Page:
    """Newest first, by a numeric id; `?before=` says where the page begins."""
    before = request.GET.get("before", "")
    is_later = before.isascii() and before.isdecimal() and len(before) < 19
    chosen = rows.filter(pk__lt=int(before)) if is_later else rows
    found: list[Model] = list(chosen.order_by("-pk")[: size + 1])
    last = found[size - 1].pk if len(found) > size else None
    return page_of(request, found[:size], last, is_first=not is_later)


def page_of(request: HttpRequest, rows: Sequence[Any], last: Any, *, is_first: bool) -> Page:
    """These rows, and where the pages before and after them are; `last` names the last row where more follow."""
    asked = {key: text for key, text in request.GET.items() if key != "before" and text}
    next_query = "" if last is None else urlencode({**asked, "before": last})
    return Page(rows, next_query, urlencode(asked), is_first)
