"""The headers of a request (FSPIOP API v1.1, section 3.2.1.1)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fspiop.errors import ErrorCode, FspiopError
from fspiop.time import parse_http_date
from fspiop.versions import Version, missing_header, read_accept, read_content_type

FORWARDED = (
    "content-type",
    "accept",
    "date",
    "fspiop-source",
    "fspiop-destination",
    "fspiop-encryption",
    "fspiop-signature",
    "fspiop-uri",
    "fspiop-http-method",
    "fspiop-proxy",
    "traceparent",
    "tracestate",
    "x-forwarded-for",
)
"""The headers that a hub forwards unchanged with a message."""

_PARTICIPANT_NAME = re.compile(r"[A-Za-z0-9 _.\-]{1,32}\Z")
_ANSWERED = frozenset({"GET", "POST", "DELETE"})  # requests with these methods get a callback
# The sender of one of these requests knows the payee DFSP.
_NEED_DESTINATION = frozenset({("POST", "quotes"), ("POST", "bulkQuotes")})


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of one request. `date_text` is the unchanged text of the Date header."""

    source: str
    destination: str | None
    date: datetime
    date_text: str
    content_version: Version | None
    accept_version: Version | None
    signature: str | None
    uri: str | None
    http_method: str | None


def read_headers(
    method: str, resource: str, get: Callable[[str], str | None], *, needs_content_type: bool = True
) -> Headers:
    """Reads the headers of a request. Raises FspiopError with the name of a wrong header.

    `get` returns a header by its lower-case name. The API's OpenAPI documents and the reference hub require a
    Content-Type in every request. The API's text requires a Content-Type only in a request with a body. With
    `needs_content_type=False`, a request without a body may omit the Content-Type.
    """
    content_type = get("content-type")
    is_read = needs_content_type or content_type is not None
    content_version = read_content_type(content_type, resource) if is_read else None
    accept_text = get("accept")
    if accept_text is None and method == "GET":
        raise missing_header("accept", "Accept is required: ")
    accept_version = read_accept(accept_text, resource) if method in _ANSWERED else None
    needs_destination = (method, resource) in _NEED_DESTINATION
    return read_common_headers(get, content_version, accept_version, needs_destination=needs_destination)


def read_common_headers(
    get: Callable[[str], str | None],
    content_version: Version | None = None,
    accept_version: Version | None = None,
    *,
    needs_destination: bool = False,
) -> Headers:
    """Reads the headers that do not depend on the media type: the date, the sender, the destination and the
    signature."""
    date_text = _required(get, "date")
    source = _required(get, "fspiop-source")
    _check_name("fspiop-source", source)
    destination = get("fspiop-destination") or None
    if destination is not None:
        _check_name("fspiop-destination", destination)
    elif needs_destination:
        raise missing_header("fspiop-destination")
    signature = get("fspiop-signature")
    if signature is not None:
        _required(get, "fspiop-uri")
        _required(get, "fspiop-http-method")
    return Headers(
        source=source,
        destination=destination,
        date=_date(date_text),
        date_text=date_text,
        content_version=content_version,
        accept_version=accept_version,
        signature=signature,
        uri=get("fspiop-uri"),
        http_method=get("fspiop-http-method"),
    )


def _required(get: Callable[[str], str | None], name: str) -> str:
    value = get(name)
    if value is None:
        raise missing_header(name)
    return value


def _check_name(header: str, name: str) -> None:
    if _PARTICIPANT_NAME.match(name) is None:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{header}: must be a participant's name of 1 to 32 characters")


def _date(text: str) -> datetime:
    try:
        return parse_http_date(text)
    except ValueError:
        raise FspiopError(ErrorCode.MALFORMED_SYNTAX, "date: must be like Tue, 24 Nov 2026 08:00:00 GMT") from None
