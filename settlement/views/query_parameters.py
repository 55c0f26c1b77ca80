"""Reads and checks the values in the paths and queries of the settlement API."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.http import QueryDict

from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.whole_numbers_in_bodies import WholeNumber, whole_number

T = TypeVar("T")


def number(text: str, name: str) -> int:
    """Reads an id in a path or query: a whole number above 0."""
    found = whole_number(text)
    if found is None or not 0 < found <= WholeNumber.MOST:
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, f"{name}: must be a whole number above 0")
    return found


def moment(text: str, name: str) -> datetime:
    """Reads a time in ISO 8601 format. A text without a time zone is read as a time in UTC."""
    try:
        # A plus sign that the client did not encode arrives as a space.
        found = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, f"{name}: must look like 2026-01-31T08:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def one_of(*names: str) -> Callable[[str, str], str]:
    """Returns a function that reads a word. The returned function refuses each word that is not one of these names."""

    def read(text: str, name: str) -> str:
        if text not in names:
            raise FspiopError(ErrorCode.MALFORMED_SYNTAX, f"{name}: must be one of {', '.join(names)}")
        return text

    return read


def currency(text: str, name: str) -> str:
    """Reads a currency: three capital letters."""
    if not (len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()):
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, f"{name}: must be three capital letters")
    return text


def filters(query: QueryDict, readers: Mapping[str, tuple[str, Callable[[str, str], Any]]]) -> dict[str, Any]:
    """Returns the filters in a request's query as keyword arguments.

    Raises FspiopError if there is no filter, or if a filter is unknown.
    """
    if unknown := sorted(set(query) - set(readers)):
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, f"{unknown[0]} is not a filter")
    if not query:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"Use at least one parameter: {', '.join(readers)}")
    return {readers[name][0]: readers[name][1](str(query[name]), name) for name in query}
