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
_USED = "The id is used for another order. Nothing has changed, and the earlier order goes on: never refund it."
_SENT = "The transfer was sent already, so it may be paid. Do not refund."
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
    ("after", "`next` of the page before."),
    ("limit", "The most lines of a page, 1 to 1000; 100."),
)
_CHANGED_SINCE = ("since", "Only what has changed since this time, such as 2026-01-31T00:00:00.000Z.")
_PAYMENT_NOW = {
    200: (messages.PaymentShown, "It has ended, or it waits for /confirm: see `waitsFor`."),
    202: (messages.PaymentShown, "It goes on. Send the same request again, or use GET. Do not refund."),
}
_REQUEST_NOW = {
    200: (messages.RequestShown, "It has ended: paid, rejected or failed."),
    202: (messages.RequestShown, "It goes on. Use GET."),
}
_NONE = "There is none."
_HUB_IS_AWAY = "The hub does not answer, or refuses."

CALLS = (
    _Call(
        "post",
        "/payments",
        "Make a payment, and answer when it has ended or waits for the core",
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
        {**_PAYMENT_NOW, 404: (None, "No such payment was ever begun.")},
        parameters=(("id", _ID_OF_PAYMENT),),
    ),
    _Call(
        "post",
        "/payments/{id}/confirm",
        "Accept the terms, or the one-time password that the body names, and pay",
        {
            **_PAYMENT_NOW,
            400: (None, _WRONG),
            404: (None, _NONE),
            409: (None, "There are no terms yet, or `otp` is not the password that was entered. Nothing has changed."),
        },
        asks=messages.PaymentConfirmed,
        needs_body=False,
        parameters=(("id", _ID_OF_PAYMENT),),
    ),
    _Call(
        "post",
        "/payments/{id}/cancel",
        "End a payment whose transfer was not sent",
        {200: (messages.PaymentShown, "It is ABORTED: refund it."), 404: (None, _NONE), 409: (None, _SENT)},
        parameters=(("id", _ID_OF_PAYMENT),),
    ),
    _Call(
        "post",
        "/requests",
        "Ask a customer of another DFSP for money, and answer when the payer's DFSP has answered",
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
        "Pass on the one-time password that the payer has entered at your customer's device",
        {**_REQUEST_NOW, 400: (None, _WRONG), 404: (None, _NONE)},
        asks=messages.PasswordEntered,
        parameters=(("id", _ID_OF_REQUEST),),
    ),
    _Call(
        "post",
        "/receivedRequests/{id}/reject",
        "Report that your customer does not pay a request that your core has received by POST /transactionrequests",
        {202: (None, "The payee's DFSP is told."), 404: (None, _NONE)},
        parameters=(("id", "The transactionRequestId."),),
    ),
    *(
        _Call(
            "get",
            "/parties/{id_type}/{id_value}" + ("/{sub_id}" if more else ""),
            "Look a payee up. Begins no payment",
            {
                200: (messages.PartyShown, "The payee, as the payee's DFSP describes it."),
                400: (None, _WRONG),
                404: (None, "There is no such payee."),
                502: (None, "The hub or the payee's DFSP does not answer, or refuses."),
            },
            parameters=(*_PARTY, *more),
        )
        for more in ((), (_SUB_ID,))
    ),
    _Call(
        "post",
        "/aliases",
        "Register a customer's alias in the scheme",
        {201: (messages.RegisteredAlias, "The hub has it."), 400: (None, "The hub refuses it, with its reason.")},
        asks=messages.AliasWanted,
    ),
    *(
        _Call(
            "delete",
            "/aliases/{id_type}/{id_value}" + ("/{sub_id}" if more else ""),
            "Withdraw an alias",
            {204: (None, "The hub has removed it."), 400: (None, "The hub refuses, with its reason.")},
            parameters=(*_PARTY, *more),
        )
        for more in ((), (_SUB_ID,))
    ),
    _Call(
        "get",
        "/transfers",
        "List the transfers of both directions in the order of their last change",
        {200: (messages.Transfers, "One page."), 400: (None, _WRONG)},
        query=(_CHANGED_SINCE, *_PAGE),
    ),
    _Call(
        "get",
        "/conversions",
        "List the conversions of your payments, and those that you make as an FXP",
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
        "Show your positions at the hub, and how much you may still send",
        {200: (messages.Positions, "The positions."), 502: (None, _HUB_IS_AWAY)},
    ),
    _Call(
        "get",
        "/statement",
        "Show a page of the hub's statement: all that arrived at the hub in a time and concerns you",
        {200: (StatementPage, "One page."), 400: (None, _WRONG), 502: (None, _HUB_IS_AWAY)},
        query=(("since", "Required."), ("until", "Required. Some seconds before now."), *_PAGE),
    ),
    _Call(
        "get",
        "/health",
        "Show whether a payment could be made now",
        {200: (messages.HealthShown, "It could."), 503: (messages.HealthShown, "It could not: see `status`.")},
    ),
    _Call("get", "/health/live", "Show that the connector runs", {200: (messages.Live, "It runs.")}),
    _Call("get", "/metrics", "Show figures for Prometheus", {200: (None, "Text.")}, media_type="text/plain"),
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
    "Only your core may reach this port. An amount is text, such as 12.50. The same id is the same payment, so repeat a"
    " request whose answer was lost. An error has `errorInformation` with `errorCode` and `errorDescription`."
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
        "webhook-id": "The event's id. The same event may come twice.",
        "webhook-timestamp": "When it was sent, in seconds since 1970. Refuse an old one.",
        "webhook-signature": "v1,BASE64: HMAC-SHA256 of `id.timestamp.body` with the key webhook_secret.",
    }
    return {
        "summary": events.SUMMARIES[name],
        "description": "Sent to webhook_url until your core answers 2xx.",
        "parameters": [
            {"name": header, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
            for header, text in headers.items()
        ],
        "requestBody": {"required": True, "content": {_JSON: {"schema": _named(kind)}}},
        "responses": {"2XX": {"description": "Your core has it."}},
    }
