"""Creates an OpenAPI document from the types of messages. The document describes the API for the bank's own core."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from kitovu_connector import core_messages as messages
from kitovu_connector import event_messages as events
from kitovu_connector.hub_api import StatementPage

_JSON = "application/json"
_ID_OF_PAYMENT = "The core's own id of the payment: homeTransactionId."
_ID_OF_REQUEST = "The core's own id of the request to pay: homeRequestId."
_WRONG = "The request is wrong. Nothing has begun and nothing has changed."
_USED = "The id belongs to a different order. That order continues unchanged, so never refund its payment."
_SENT = "The transfer was already sent, so the payee can still get the money. Do not refund the payment."
_PARTY = ("idType", "The type of the alias, such as MSISDN."), ("idValue", "The alias.")
_SUB_ID = ("idSubValue", "A sub-id of the alias.")


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    summary: str
    answers: Mapping[int, tuple[type[Any] | None, str]]
    asks: type[Any] | None = None
    parameters: Sequence[tuple[str, str]] = ()
    query: Sequence[tuple[str, str]] = ()
    media_type: str = _JSON
    needs_body: bool = True


_PAGE = (
    ("after", "The value of `next` on the previous page."),
    ("limit", "The largest number of lines on a page, from 1 to 1000 (default: 100)."),
)
_CHANGED_SINCE = ("since", "List only records that have changed since this time, such as 2026-01-31T00:00:00.000Z.")
_PAYMENT_NOW = {
    200: (messages.PaymentShown, "The payment has ended, or waits for /confirm: see `waitsFor`."),
    202: (messages.PaymentShown, "The payment continues. Repeat the request, or use GET. Do not refund the payment."),
}
_REQUEST_NOW = {
    200: (messages.RequestShown, "The request to pay has ended: it was paid, it was rejected, or it has failed."),
    202: (messages.RequestShown, "The request to pay continues. Use GET."),
}
_NONE = "Nothing has this id."
_HUB_IS_AWAY = "The hub does not answer, or refuses the request."

CALLS = (
    _Call(
        "post",
        "/payments",
        "Make a payment, and respond when the payment has ended or waits for the core",
        {**_PAYMENT_NOW, 400: (None, _WRONG), 409: (None, _USED)},
        asks=messages.PaymentWanted,
    ),
    _Call(
        "get",
        "/payments",
        "List payments in the order of their last change",
        {200: (messages.Payments, "One page."), 400: (None, _WRONG)},
        query=(("state", "Only payments in this state."), _CHANGED_SINCE, *_PAGE),
    ),
    _Call(
        "get",
        "/payments/{id}",
        "Show a payment",
        {**_PAYMENT_NOW, 404: (None, "No payment with this id has ever begun.")},
        parameters=(("id", _ID_OF_PAYMENT),),
    ),
    _Call(
        "post",
        "/payments/{id}/confirm",
        "Make the payment: accept its terms, or the one-time password in the body",
        {
            **_PAYMENT_NOW,
            400: (None, _WRONG),
            404: (None, _NONE),
            409: (None, "There are no terms yet, or the payer has entered another password. Nothing has changed."),
        },
        asks=messages.PaymentConfirmed,
        needs_body=False,
        parameters=(("id", _ID_OF_PAYMENT),),
    ),
    _Call(
        "post",
        "/payments/{id}/cancel",
        "End a payment whose transfer was not sent",
        {
            200: (messages.PaymentShown, "The payment is ABORTED. Return the money to your customer."),
            404: (None, _NONE),
            409: (None, _SENT),
        },
        parameters=(("id", _ID_OF_PAYMENT),),
    ),
    _Call(
        "post",
        "/requests",
        "Request money from a customer of another DFSP, and respond when the payer's DFSP has answered",
        {**_REQUEST_NOW, 400: (None, _WRONG), 409: (None, _USED)},
        asks=messages.RequestWanted,
    ),
    _Call(
        "get",
        "/requests/{id}",
        "Show a request to pay",
        {**_REQUEST_NOW, 404: (None, _NONE)},
        parameters=(("id", _ID_OF_REQUEST),),
    ),
    _Call(
        "post",
        "/requests/{id}/otp",
        "Send the payer's DFSP the one-time password that the payer has entered at your customer's device",
        {**_REQUEST_NOW, 400: (None, _WRONG), 404: (None, _NONE)},
        asks=messages.PasswordEntered,
        parameters=(("id", _ID_OF_REQUEST),),
    ),
    _Call(
        "post",
        "/receivedRequests/{id}/reject",
        "Report that your customer will not pay a request to pay, which your core got by POST /transactionrequests",
        {202: (None, "The connector reports this to the payee's DFSP."), 404: (None, _NONE)},
        parameters=(("id", "The transactionRequestId."),),
    ),
    *(
        _Call(
            "get",
            "/parties/{id_type}/{id_value}" + ("/{sub_id}" if more else ""),
            "Look up a payee, without beginning a payment",
            {
                200: (messages.PartyShown, "The payee, as the payee's DFSP describes it."),
                400: (None, _WRONG),
                404: (None, "There is no payee with this alias."),
                502: (None, "The hub or the payee's DFSP does not answer, or refuses the request."),
            },
            parameters=(*_PARTY, *more),
        )
        for more in ((), (_SUB_ID,))
    ),
    _Call(
        "post",
        "/aliases",
        "Register a customer's alias in the scheme",
        {
            201: (messages.RegisteredAlias, "The hub has registered the alias."),
            400: (None, "The hub refuses the alias. The error has the hub's reason."),
        },
        asks=messages.AliasWanted,
    ),
    *(
        _Call(
            "delete",
            "/aliases/{id_type}/{id_value}" + ("/{sub_id}" if more else ""),
            "Withdraw an alias",
            {
                204: (None, "The hub has removed the alias."),
                400: (None, "The hub does not remove the alias. The error has the hub's reason."),
            },
            parameters=(*_PARTY, *more),
        )
        for more in ((), (_SUB_ID,))
    ),
    _Call(
        "get",
        "/transfers",
        "List outgoing and incoming transfers in the order of their last change",
        {200: (messages.Transfers, "One page."), 400: (None, _WRONG)},
        query=(_CHANGED_SINCE, *_PAGE),
    ),
    _Call(
        "get",
        "/conversions",
        "List the conversions of your payments, and the conversions that you make as an FXP",
        {200: (messages.Conversions, "One page."), 400: (None, _WRONG)},
        query=(_CHANGED_SINCE, *_PAGE),
    ),
    _Call(
        "get",
        "/transfers/{id}",
        "Show a transfer to your customer",
        {200: (messages.IncomingShown, "The transfer."), 404: (None, _NONE)},
        parameters=(("id", "The transferId."),),
    ),
    _Call(
        "get",
        "/positions",
        "Show your positions at the hub, and the amounts that you can still send",
        {200: (messages.Positions, "The positions."), 502: (None, _HUB_IS_AWAY)},
    ),
    _Call(
        "get",
        "/statement",
        "Show a page of the hub's statement: all your transfers, conversions and postings in a period",
        {200: (StatementPage, "One page."), 400: (None, _WRONG), 502: (None, _HUB_IS_AWAY)},
        query=(
            ("since", "Required."),
            ("until", "Required. A time that is at least some seconds in the past."),
            *_PAGE,
        ),
    ),
    _Call(
        "get",
        "/health",
        "Show whether a payment is possible now",
        {
            200: (messages.HealthShown, "A payment is possible."),
            503: (messages.HealthShown, "No payment is possible: see `status`."),
        },
    ),
    _Call(
        "get", "/health/live", "Respond as long as the connector runs", {200: (messages.Live, "The connector runs.")}
    ),
    _Call("get", "/metrics", "Show metrics for Prometheus", {200: (None, "Text.")}, media_type="text/plain"),
    _Call("get", "/openapi.json", "Show this document", {200: (None, "The document.")}),
)


@cache
def document() -> bytes:
    """Returns the document as JSON."""
    kinds = sorted({kind for call in CALLS for kind in _kinds_of(call)} | set(events.KINDS.values()), key=repr)
    _, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(_shown_path(call), {})[call.method] = _operation(call)
    found = {
        "openapi": "3.1.0",
        "info": {"title": "Kitovu connector: the API for your core", "version": "1", "description": _INTRODUCTION},
        "paths": paths,
        "webhooks": {name: {"post": _webhook(name, kind)} for name, kind in events.KINDS.items()},
        "components": {"schemas": components | {"Error": _ERROR}},
    }
    return msgspec.json.encode(found)


_INTRODUCTION = (
    "Make sure that only your core can reach this port. An amount is text, such as 12.50. If a response was lost, send"
    " the same request again: the same id never begins a second payment. An error has `errorInformation` with"
    " `errorCode` and `errorDescription`."
)
_ERROR = {
    "type": "object",
    "required": ["errorInformation"],
    "properties": {
        "errorInformation": {
            "type": "object",
            "required": ["errorCode", "errorDescription"],
            "properties": {"errorCode": {"type": "string"}, "errorDescription": {"type": "string"}},
        }
    },
}


def _kinds_of(call: _Call) -> Iterator[type[Any]]:
    yield from (kind for kind in (call.asks, *(kind for kind, _ in call.answers.values())) if kind is not None)


def _shown_path(call: _Call) -> str:
    names = iter(name for name, _ in call.parameters)
    return re.sub(r"\{\w+\}", lambda _: "{" + next(names) + "}", call.path)


def _operation(call: _Call) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": call.summary,
        "parameters": [
            {"name": name, "in": place, "required": place == "path", "description": text, "schema": {"type": "string"}}
            for place, names in (("path", call.parameters), ("query", call.query))
            for name, text in names
        ],
        "responses": {str(status): _response(call, status) for status in call.answers},
    }
    if call.asks is not None:
        found["requestBody"] = {"required": call.needs_body, "content": {_JSON: {"schema": _named(call.asks)}}}
    return found


def _response(call: _Call, status: int) -> dict[str, Any]:
    kind, text = call.answers[status]
    found: dict[str, Any] = {"description": text}
    if kind is not None:
        found["content"] = {call.media_type: {"schema": _named(kind)}}
    elif status >= 400:
        found["content"] = {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return found


def _named(kind: type[Any]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _webhook(name: str, kind: type[Any]) -> dict[str, Any]:
    headers = {
        "webhook-id": "The event's id. Your core can receive the same event twice.",
        "webhook-timestamp": "The time of sending, in seconds since 1970. Refuse an event with an old time.",
        "webhook-signature": "v1,BASE64: HMAC-SHA256 of `id.timestamp.body` with the key webhook_secret.",
    }
    return {
        "summary": events.SUMMARIES[name],
        "description": "The connector sends the event to webhook_url until your core answers 2xx.",
        "parameters": [
            {"name": header, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for header, text in headers.items()
        ],
        "requestBody": {"required": True, "content": {_JSON: {"schema": _named(kind)}}},
        "responses": {"2XX": {"description": "Your core has it."}},
    }
