"""Pages of long tables. Each page begins after the previous page's last key, so all pages are equally fast."""

from collections.abc import Callable, Iterator, Sequence
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
class Latest:
    """The first `most` rows of a list that has more rows. The page shows `portal/cut.html` below the list."""

    rows: Sequence[Any]
    most: int
    has_more: bool

    def __iter__(self) -> Iterator[Any]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def latest(rows: "QuerySet[Any] | Sequence[Any]", most: int) -> Latest:
    """Returns the first rows of this list, and whether the list has more rows."""
    found = list(rows[: most + 1])
    return Latest(found[:most], most, len(found) > most)


@dataclass(frozen=True, slots=True)
class Page:
    rows: Sequence[Any]
    next_query: str  # the query string of the next page; empty on the last page
    first_query: str
    is_first: bool


def by_id(request: HttpRequest, rows: "QuerySet[Any]", *, size: int = PAGE_SIZE) -> Page:
    """Returns a page of rows, sorted by descending numeric id. The page has only ids below the id in `?before=`."""
    before = number_before(request)
    chosen = rows if before is None else rows.filter(pk__lt=before)
    found: list[Model] = list(chosen.order_by("-pk")[: size + 1])
    last = found[size - 1].pk if len(found) > size else None
    return page_of(request, found[:size], last, is_first=before is None)


def number_before(request: HttpRequest) -> int | None:
    """Returns the id in `?before=`, or None if the text is not an id."""
    text = request.GET.get("before", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def by_arrival(request: HttpRequest, read: Callable[[Key | None, int], Found[T]]) -> tuple[Page, Found[T]]:
    """Returns a page of rows, with the newest arrival first.

    If the search stopped early, the next page continues the search.
    """
    before = keyset.read_key(request.GET.get("before", ""))
    found = read(before, PAGE_SIZE + 1)
    rows = found.rows[:PAGE_SIZE]
    last = None
    if found.stopped_at is not None:
        last = f"{found.stopped_at.isoformat()} {found.stopped_id}"
    elif len(found.rows) > PAGE_SIZE:
        at, row_id = keyset.key_of(rows[-1])
        last = f"{at.isoformat()} {row_id}"
    return page_of(request, rows, last, is_first=before is None), found


def page_of(request: HttpRequest, rows: Sequence[Any], last: Any, *, is_first: bool) -> Page:
    """Returns a page of these rows, with links to the other pages.

    `last` is the key of the last row if more rows follow.
    """
    asked = {key: text for key, text in request.GET.items() if key != "before" and text}
    next_query = "" if last is None else urlencode({**asked, "before": last})
    return Page(rows, next_query, urlencode(asked), is_first)
