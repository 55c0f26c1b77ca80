"""Pages of long tables by key: each begins after the last row of the one before, and costs as little."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from portal.queries import keyset
from portal.queries.keyset import Found, Key

PAGE_SIZE = 50
T = TypeVar("T", bound=Model)


@dataclass(frozen=True, slots=True)
class Page:
    rows: Sequence[Any]
    next_query: str  # the query string of the page after this one; empty on the last
    first_query: str
    is_first: bool


def by_id(request: HttpRequest, rows: "QuerySet[Any]", *, size: int = PAGE_SIZE) -> Page:
    """Newest first, by a numeric id; `?before=` says where the page begins."""
    before = number_before(request)
    chosen = rows if before is None else rows.filter(pk__lt=before)
    found: list[Model] = list(chosen.order_by("-pk")[: size + 1])
    last = found[size - 1].pk if len(found) > size else None
    return page_of(request, found[:size], last, is_first=before is None)


def number_before(request: HttpRequest) -> int | None:
    """Of `?before=` where it is an id."""
    text = request.GET.get("before", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def by_arrival(request: HttpRequest, read: Callable[[Key | None, int], Found[T]]) -> tuple[Page, Found[T]]:
    """Newest first, by time of arrival and id; where the search stopped short, the next page goes on from there."""
    before = keyset.read_key(request.GET.get("before", ""))
    found = read(before, PAGE_SIZE + 1)
    rows = found.rows[:PAGE_SIZE]
    last = None
    if found.stopped_at is not None:
        last = f"{found.stopped_at.isoformat()} "
    elif len(found.rows) > PAGE_SIZE:
        at, row_id = keyset.key_of(rows[-1])
        last = f"{at.isoformat()} {row_id}"
    return page_of(request, rows, last, is_first=before is None), found


def page_of(request: HttpRequest, rows: Sequence[Any], last: Any, *, is_first: bool) -> Page:
    """These rows, and where the pages before and after them are; `last` names the last row where more follow."""
    asked = {key: text for key, text in request.GET.items() if key != "before" and text}
    next_query = "" if last is None else urlencode({**asked, "before": last})
    return Page(rows, next_query, urlencode(asked), is_first)
