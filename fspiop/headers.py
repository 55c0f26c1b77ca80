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
"""What a hub passes on with a message, as it came."""

_PARTICIPANT_NAME = re.compile(r"[A-Za-z0-9 _.\-]{1,32}\Z")
_ANSWERED = frozenset({"GET", "POST", "DELETE"})  # the methods that are answered by a callback, which has a version
_NEED_DESTINATION = frozenset({("POST", "quotes"), ("POST", "bulkQuotes")})  # a payer knows the payee's DFSP by then


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers of one request say; `date_text` is the Date as it came."""

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
    """Reads the headers of a request; `get` finds one by its lower-case name. FspiopError names the one at fault.

    The API's OpenAPI documents and the reference hub want a Content-Type of every request, the text of the API only
    where there is a body: who takes requests from any hub does not need it of a GET.
    """
    content_type = get("content-type")
    is_read = needs_content_type or content_type is not None
    content_version = read_content_type(content_type, resource) if is_read else None
    accept_text = get("accept")
    if accept_text is None and method == "GET":
        raise missing_header("accept", "Accept is required: ")
    accept_version = read_accept(accept_text, resource) if method in _ANSWERED else None
    date_text = _required(get, "date")
    source = _required(get, "fspiop-source")
    _check_name("fspiop-source", source)
    destination = get("fspiop-destination") or None
    if destination is not None:
        _check_name("fspiop-destination", destination)
    elif (method, resource) in _NEED_DESTINATION:
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
