"""Which endpoint a message goes to, and its URL. Pure: a participant's endpoints and a message's path in, a URL out.

The names of the types are those of the reference hub's administration API, so that its provisioning scripts work
unchanged; `BASE` is Kitovu's own, one address for everything.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

BASE = "FSPIOP_CALLBACK_URL"

# What each resource's endpoint types are called. A type ending in "base" takes the message's path appended;
# the others hold the whole URL with {{names}} for the path's parts.
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

_SEGMENT_NAMES = {
    "participants": ("partyIdType", "partyIdentifier", "partySubIdOrType"),
    "parties": ("partyIdType", "partyIdentifier", "partySubIdOrType"),
    "transfers": ("transferId",),
    "bulkTransfers": ("id",),
    "bulkQuotes": ("id",),
    "fxTransfers": ("commitRequestId",),
}
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_NAME_IN_URL = re.compile(r"[^\s\x00-\x1f]+\Z")


def is_known_type(endpoint_type: str) -> bool:
    """Whether the administration API takes an endpoint of this type."""
    return (
        endpoint_type == BASE
        or endpoint_type in BASE_TYPES | TEMPLATE_TYPES | EMAIL_TYPES | ALARM_NUMBER_TYPES
        or endpoint_type.startswith("TP_CB_URL_")
    )


def is_callback_url(value: str) -> bool:
    """Whether this can be called: http or https, a host, no user in it, no spaces; {{names}} only behind the host."""
    if not _NAME_IN_URL.match(value):
        return False
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not set("@{}") & set(parts.netloc)


def type_of(method: str, path: str) -> str:
    """The endpoint type for a message of this method and path, such as ..._TRANSFER_PUT for PUT /transfers/{ID}."""
    parts = path.split("?", 1)[0].strip("/").split("/")
    is_error = len(parts) > 1 and parts[-1] == "error"
    ids = parts[1:-1] if is_error else parts[1:]
    match parts[0]:
        case "quotes":
            return _PREFIX + "QUOTES"
        case "bulkQuotes":
            return _PREFIX + "BULK_QUOTES"
        case (
            "fxQuotes" | "services"
        ):  # the provisioning scripts know no type for the list of FXPs; these two belong together
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
    """The URL that a message goes to, or None where the participant registered none that fits."""
    endpoint_type = type_of(method, path)
    registered = endpoints.get(endpoint_type)
    if registered is None:
        base = endpoints.get(BASE)
        return base.rstrip("/") + path if base else None
    if endpoint_type in BASE_TYPES:
        return registered.rstrip("/") + path
    segments = path.strip("/").split("/")
    ids = segments[1:-1] if segments[-1] == "error" else segments[1:]
    values = dict(zip(_SEGMENT_NAMES.get(segments[0], ()), ids, strict=False))
    last = ids[-1] if ids else ""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], last), registered)
