"""Finds the endpoint type and the URL of a message. The functions use no database: their arguments are a participant's
endpoints and a path, and the result is a URL.

The endpoint types have the same names as in the reference hub's administration API. So scripts for the reference hub
work unchanged. The endpoint type `BASE` exists only in Kitovu. An endpoint of type `BASE` is one base URL for all
messages.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

import idna

from fspiop.resources import RESOURCES

BASE = "FSPIOP_CALLBACK_URL"

# The names of the endpoint types. An endpoint of a type in `BASE_TYPES` is a base URL, to which the hub appends the
# message's path. An endpoint of another type is a complete URL, with placeholders such as {{transferId}} for parts of
# the path.
_PREFIX = "FSPIOP_CALLBACK_URL_"
BASE_TYPES = frozenset(
    _PREFIX + name for name in ("QUOTES", "BULK_QUOTES", "FX_QUOTES", "AUTHORIZATIONS", "TRX_REQ_SERVICE")
)
TEMPLATE_TYPES = frozenset(
    _PREFIX + name
    for name in (
        "PARTICIPANT_PUT",
        "PARTICIPANT_PUT_ERROR",
        "PARTICIPANT_BATCH_PUT",
        "PARTICIPANT_BATCH_PUT_ERROR",
        "PARTICIPANT_SUB_ID_PUT",
        "PARTICIPANT_SUB_ID_PUT_ERROR",
        "PARTICIPANT_DELETE",
        "PARTICIPANT_SUB_ID_DELETE",
        "PARTIES_GET",
        "PARTIES_PUT",
        "PARTIES_PUT_ERROR",
        "PARTIES_SUB_ID_GET",
        "PARTIES_SUB_ID_PUT",
        "PARTIES_SUB_ID_PUT_ERROR",
        "TRANSFER_POST",
        "TRANSFER_PUT",
        "TRANSFER_ERROR",
        "BULK_TRANSFER_POST",
        "BULK_TRANSFER_PUT",
        "BULK_TRANSFER_ERROR",
        "FX_TRANSFER_POST",
        "FX_TRANSFER_PUT",
        "FX_TRANSFER_ERROR",
    )
)
EMAIL_TYPES = frozenset(
    {
        "NET_DEBIT_CAP_ADJUSTMENT_EMAIL",
        "NET_DEBIT_CAP_THRESHOLD_BREACH_EMAIL",
        "SETTLEMENT_TRANSFER_POSITION_CHANGE_EMAIL",
    }
)
ALARM_NUMBER_TYPES = frozenset({"ALARM_NOTIFICATION_URL", "ALARM_NOTIFICATION_TOPIC"})

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
# The allowed names in placeholders: the names in the reference hub's URL templates, and the API's other names for the
# same ids.
_NAMES = frozenset(
    {
        *("partyIdType", "partyIdentifier", "partySubIdOrType", "requestId", "transferId", "id", "ID"),
        *("commitRequestId", "bulkTransferId", "bulkQuoteId", "quoteId", "transactionRequestId", "transactionId"),
    }
)
_BEHIND_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*\Z")  # RFC 3986, section 3.3
# allows underscores, because host names in container networks contain underscores
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_LONGEST_HOST = 253
_DOT_SEGMENT = re.compile(r"/(?:\.|%2[eE]){1,2}(?:/|\Z)")  # an HTTP client would change the path of such a URL


def is_known_type(endpoint_type: str) -> bool:
    """Returns whether the administration API accepts an endpoint of this type."""
    return (
        endpoint_type == BASE
        or endpoint_type in BASE_TYPES | TEMPLATE_TYPES | EMAIL_TYPES | ALARM_NUMBER_TYPES
        or endpoint_type.startswith("TP_CB_URL_")
    )


def is_fit(endpoint_type: str, value: str) -> bool:
    """Returns whether the hub can use this URL as an endpoint of this type."""
    if endpoint_type in TEMPLATE_TYPES:
        return is_template(value)
    # Like the reference hub, this hub accepts endpoints of these types. But this hub sends no messages to such
    # endpoints.
    if endpoint_type.startswith("TP_CB_URL_"):
        return _is_url(_PLACEHOLDER.sub("x", value), may_have_query=True)
    return is_base(value)


def is_base(value: str) -> bool:
    """Returns whether the hub can append a path to this URL. Such a URL must consist of a scheme (http or https), a
    host and perhaps a path.
    """
    return _is_url(value, may_have_query=False)


def is_template(value: str) -> bool:
    """Returns whether this text is a complete URL. Placeholders such as {{transferId}} are allowed after the host. The
    hub replaces placeholders by parts of the message's path.
    """
    if not _NAMES.issuperset(_PLACEHOLDER.findall(value)) or "{" in value.partition("://")[2].partition("/")[0]:
        return False
    return _is_url(_PLACEHOLDER.sub("x", value), may_have_query=True)


def _is_url(value: str, *, may_have_query: bool) -> bool:
    # HTTP clients do not send the part of a URL after "#". The hub would append the path to this part, and the path
    # would be lost.
    if value != value.strip() or not value.isprintable() or "#" in value or ("?" in value and not may_have_query):
        return False
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and "@" not in parts.netloc
        and port != 0
        and _ascii_host(parts) is not None
        and _BEHIND_HOST.match(parts.path) is not None
        and _DOT_SEGMENT.search(parts.path) is None
        and _BEHIND_HOST.match(parts.query.replace("?", "")) is not None
    )


def _ascii_host(parts: SplitResult) -> str | None:
    """Returns the host in its DNS form, or an IPv6 address in brackets. Returns None if the host is invalid."""
    host = parts.hostname or ""
    try:
        if parts.netloc.startswith("["):
            address = IPv6Address(host)
            return None if address.scope_id else f"[{host}]"
        if not host.isascii():
            host = idna.encode(host, uts46=True).decode("ascii")
        labels = host.removesuffix(".").split(".")
        for label in labels:
            if label.startswith("xn--"):
                idna.ulabel(label)
    except ValueError:  # including idna's errors
        return None
    if len(host) > _LONGEST_HOST or not all(_LABEL.match(label) for label in labels):
        return None
    return host


@lru_cache(maxsize=4096)
def _as_sent(registered: str, *, is_template_type: bool) -> str | None:
    """Returns the registered URL with its host in ASCII. Returns None if the checks in this module refuse the URL.
    Earlier versions of the hub accepted such URLs.
    """
    if not (is_template(registered) if is_template_type else is_base(registered)):
        return None
    if registered.isascii():
        return registered
    parts = urlsplit(registered)
    host = _ascii_host(parts)
    return parts._replace(netloc=f"{host}:{parts.port}" if parts.port else str(host)).geturl()


def type_of(method: str, path: str) -> str:
    """Returns the endpoint type for this method and path, such as ..._TRANSFER_PUT for PUT /transfers/{ID}."""
    parts = path.split("?", 1)[0].strip("/").split("/")
    is_error = len(parts) > 1 and parts[-1] == "error"
    ids = parts[1:-1] if is_error else parts[1:]
    match parts[0]:
        case "quotes":
            return _PREFIX + "QUOTES"
        case "bulkQuotes":
            return _PREFIX + "BULK_QUOTES"
        # scripts for the reference hub register no endpoint for lists of FXPs, so the hub sends these lists to the
        # endpoint for FX quotes
        case "fxQuotes" | "services":
            return _PREFIX + "FX_QUOTES"
        case "authorizations":
            return _PREFIX + "AUTHORIZATIONS"
        case "transactionRequests" | "transactions":
            return _PREFIX + "TRX_REQ_SERVICE"
        case "participants" if len(ids) == 1:
            return _PREFIX + "PARTICIPANT_BATCH_PUT" + ("_ERROR" if is_error else "")
        case "participants" | "parties":
            name = "PARTICIPANT" if parts[0] == "participants" else "PARTIES"
            verb = method if method in ("GET", "DELETE") else "PUT"
            sub_id = "_SUB_ID" if len(ids) == 3 else ""
            return f"{_PREFIX}{name}{sub_id}_{verb}" + ("_ERROR" if is_error else "")
    name = {"transfers": "TRANSFER", "bulkTransfers": "BULK_TRANSFER", "fxTransfers": "FX_TRANSFER"}.get(parts[0], "")
    if not name:
        return BASE
    return f"{_PREFIX}{name}_" + ("ERROR" if is_error else "POST" if method == "POST" else "PUT")


def url_for(endpoints: Mapping[str, str], method: str, path: str) -> str | None:
    """Returns the URL for a message, or None if the participant has no endpoint for this message."""
    endpoint_type = type_of(method, path)
    registered = endpoints.get(endpoint_type)
    if registered is None:
        return _behind(endpoints.get(BASE), path)
    if endpoint_type in BASE_TYPES:
        return _behind(registered, path)
    template = _as_sent(registered, is_template_type=True)
    if template is None:
        return None
    segments = path.strip("/").split("/")
    ids = segments[1:-1] if segments[-1] == "error" else segments[1:]
    values = dict(zip(RESOURCES[segments[0]].ids, ids, strict=False)) if segments[0] in RESOURCES else {}
    last = ids[-1] if ids else ""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], last), template)


def _behind(base: str | None, path: str) -> str | None:
    url = _as_sent(base, is_template_type=False) if base else None
    return url.rstrip("/") + path if url else None
