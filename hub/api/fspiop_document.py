"""Completes the OpenAPI documents for DFSPs. Adds the security schemes, and for the FSPIOP API also callbacks and
examples. Sorts the resources of the FSPIOP API in the order of a payment."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from fspiop.resources import has_iso20022_bodies
from hub.api.fspiop_examples import ERRORS, EXAMPLES
from hub.api.fspiop_iso20022_examples import ISO_ERRORS, ISO_EXAMPLES

_ORDER = (
    "participants",
    "parties",
    "quotes",
    "transfers",
    "transactionRequests",
    "authorizations",
    "transactions",
    "bulkQuotes",
    "bulkTransfers",
    "services",
    "fxQuotes",
    "fxTransfers",
    "token",
)
"""The resources in the order in which a payment uses them."""

SCHEMES: dict[str, Any] = {
    "clientCertificate": {
        "type": "mutualTLS",
        "description": "The DFSP's client certificate, which the scheme's authority signed. The certificate's subject "
        "is the DFSP.",
    },
    "participantToken": {
        "type": "oauth2",
        "description": "A token for the DFSP's client. The client must belong to the DFSP in FSPIOP-Source.",
        "flows": {"clientCredentials": {"tokenUrl": "/token", "scopes": {}}},
    },
    "messageSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "FSPIOP-Signature",
        "description": "A JWS over the body and the protected headers (API Signature v1.1), by the DFSP's signing key.",
    },
}
# Each scheme requires a certificate, a token, or both. Some schemes also require signed bodies. The operators'
# documentation recommends the first alternative.
_CREDENTIALS = (("clientCertificate", "participantToken"), ("clientCertificate",), ("participantToken",))
_SECURITY: list[dict[str, list[str]]] = [
    {name: [] for name in (*credentials, *signature)}
    for signature in (("messageSignature",), ())
    for credentials in _CREDENTIALS
]

# For each request that creates an object: the object's resource, and the request's field that contains the object's id.
_CREATED: MappingProxyType[str, tuple[str, str]] = MappingProxyType(
    {
        "/participants": ("/participants/{request_id}", "requestId"),
        "/quotes": ("/quotes/{quote_id}", "quoteId"),
        "/transfers": ("/transfers/{transfer_id}", "transferId"),
        "/bulkQuotes": ("/bulkQuotes/{bulk_quote_id}", "bulkQuoteId"),
        "/bulkTransfers": ("/bulkTransfers/{bulk_transfer_id}", "bulkTransferId"),
        "/fxQuotes": ("/fxQuotes/{conversion_request_id}", "conversionRequestId"),
        "/fxTransfers": ("/fxTransfers/{commit_request_id}", "commitRequestId"),
        "/transactionRequests": ("/transactionRequests/{transaction_request_id}", "transactionRequestId"),
    }
)
_OWN_API = "/dfsp/"
_TAKEN = {"200": {"description": "The receiver has stored the callback, and processes it afterwards"}}


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Completes a document after drf-spectacular has generated it. Leaves the documents of the administration APIs
    unchanged."""
    paths: dict[str, Any] = result["paths"]
    result["paths"] = dict(sorted(paths.items(), key=lambda each: _place(each[0])))
    for_dfsps = {path: methods for path, methods in paths.items() if is_fspiop(path) or path.startswith(_OWN_API)}
    if not for_dfsps:
        return result
    result.setdefault("components", {}).setdefault("securitySchemes", {}).update(SCHEMES)
    for path, methods in for_dfsps.items():
        for operation in methods.values():
            operation["security"] = [] if path == "/token" else _SECURITY
    ours = {path: methods for path, methods in for_dfsps.items() if is_fspiop(path)}
    for path, methods in ours.items():
        for method, operation in methods.items():
            _add_example(operation, method, path)
    for path, methods in ours.items():
        for method in ("get", "post", "delete"):
            if method in methods and (callbacks := dict(_callbacks(method, path, ours))):
                methods[method]["callbacks"] = callbacks
    return result


def is_fspiop(path: str) -> bool:
    return path.split("/")[1] in _ORDER


def _place(path: str) -> tuple[int, str]:
    first = path.split("/")[1]
    return (_ORDER.index(first) if first in _ORDER else len(_ORDER), path)


def _add_example(operation: dict[str, Any], method: str, path: str) -> None:
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        if path != "/token":
            content["example"] = _example(method, path, media_type)


def _example(method: str, path: str, media_type: str) -> dict[str, Any]:
    resource = path.split("/")[1]
    is_iso20022 = "iso20022" in media_type and has_iso20022_bodies(resource)
    if path.endswith("/error"):
        return ISO_ERRORS[resource] if is_iso20022 else ERRORS[resource]
    return ISO_EXAMPLES[method, path] if is_iso20022 else EXAMPLES[method, path]


def _callbacks(method: str, path: str, ours: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields both possible callbacks to the sender of a request: the answer, and the error."""
    answered, place = _answered(method, path)
    for name, ending in (("answer", ""), ("error", "/error")):
        answer = ours.get(answered + ending, {}).get("put")
        if answer is not None and "requestBody" in answer:
            callback = {
                "summary": f"The hub's {name} callback to the sender of the request",
                "requestBody": answer["requestBody"],
                "responses": _TAKEN,
            }
            yield name, {f"{{$request.header.FSPIOP-Source}}{place}{ending}": {"put": callback}}


def _answered(method: str, path: str) -> tuple[str, str]:
    """Returns the path of the callbacks with the answers to a request: first as text, and then as an OpenAPI
    expression."""
    if method == "post" and path in _CREATED:
        answered, name = _CREATED[path]
        first = answered[: answered.index("{")]
        return answered, f"{first}{{$request.body#/{name}}}"
    parts = [part if not part.startswith("{") else f"{{$request.path.{part[1:-1]}}}" for part in path.split("/")]
    return path, "/".join(parts)
