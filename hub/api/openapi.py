"""Generates the OpenAPI descriptions of the FSPIOP resources from the typed messages."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from fspiop import iso20022, versions
from fspiop.resources import RESOURCES, Iso20022
from hub.administration.models import READ, WRITE
from hub.api.administration import whole_numbers_in_bodies

APIS = {
    "fspiop": "the FSPIOP API",
    "dfsp": "the hub's own API for DFSPs",
    "ledger": "administration",
    "directory": "administration of oracles",
    "settlement": "settlement",
}
"""Each API of the hub has its own document at /docs/schema/."""


class ClientScheme(OpenApiAuthenticationExtension):
    """Describes `hub.api.administration.client_authentication` in OpenAPI."""

    target_class = "hub.api.administration.client_authentication.ClientToken"
    name = "administrationClient"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        scopes = {READ: "GET", WRITE: "all other methods"}
        return {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "/token", "scopes": scopes}}}


class SessionScheme(OpenApiAuthenticationExtension):
    """Describes in OpenAPI how `hub.api.administration.staff_authentication` uses a portal session."""

    target_class = "hub.api.administration.staff_authentication.StaffSession"
    name = "cookieAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


class StaffScheme(OpenApiAuthenticationExtension):
    """Describes in OpenAPI how `hub.api.administration.staff_authentication` uses a password."""

    target_class = "hub.api.administration.staff_authentication.StaffPassword"
    name = "basicAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "basic"}


class Schema(AutoSchema):
    """Derives the id of each OpenAPI operation from the method and path. The resource's name is not enough, because
    some resources have several paths."""

    def get_description(self) -> str:  # type: ignore[override]
        """Returns no description. By default the description would be the view's docstring, which is not for
        integrators."""
        return ""

    def get_operation_id(self) -> str:
        """Returns the id of an OpenAPI operation, such as put_transfers_transfer_id_error."""
        words = re.findall(r"[A-Za-z0-9]+(?:_[a-z]+)*", self.path)
        return "_".join([self.method.lower(), *words])


F = TypeVar("F", bound=Callable[..., Any])

_HEADERS = {
    "Date": "IMF-fixdate, for example Tue, 24 Nov 2026 08:00:00 GMT",
    "FSPIOP-Source": "The caller's participant name",
    "FSPIOP-Destination": "The recipient's participant name, if it is known",
    "FSPIOP-Signature": "JWS over the body (Signature v1.1)",
}
ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["errorInformation"],
    "properties": {
        "errorInformation": {
            "type": "object",
            "required": ["errorCode", "errorDescription"],
            "properties": {
                "errorCode": {"type": "string", "pattern": r"^[1-9]\d{3}$"},
                "errorDescription": {"type": "string", "minLength": 1, "maxLength": 128},
            },
        }
    },
}

_REFUSED = {
    400: OpenApiResponse(ERROR_SCHEMA, description="The request is invalid"),
    401: OpenApiResponse(ERROR_SCHEMA, description="The hub does not accept the credentials"),
    403: OpenApiResponse(
        ERROR_SCHEMA, description="The credentials do not match FSPIOP-Source, or the IP address is not permitted"
    ),
    429: OpenApiResponse(ERROR_SCHEMA, description="Too many requests: send the request again later"),
    503: OpenApiResponse(ERROR_SCHEMA, description="The outcome is unknown: send the same request again"),
}
"""The responses to a DFSP whose request the hub refuses or cannot process."""


APPROVAL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["approvalId", "state"],
    "properties": {
        "approvalId": {"type": "integer"},
        "state": {"enum": ["PENDING", "APPROVED", "REFUSED", "WITHDRAWN", "EXPIRED"]},
    },
}


_NULL = {"type": "null"}


def schema_of(message: type[Any], *, nullable: bool = True) -> dict[str, Any]:
    """Returns the JSON schema of a typed message, including the schemas of its parts. In this schema, no field of an
    FSPIOP message is nullable.
    """
    schema = msgspec.json.schema(message, schema_hook=whole_numbers_in_bodies.describe)
    definitions = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if reference:
                return inline(definitions[reference.rsplit("/", 1)[1]])
            if not nullable and _NULL in node.get("anyOf", ()):
                return inline(_not_null(node))
            return {key: inline(value) for key, value in node.items()}
        if isinstance(node, list):
            return [inline(value) for value in node]
        if isinstance(node, str):
            return node.replace(r"\Z", "$")  # patterns in JSON schemas have no \Z
        return node

    found: dict[str, Any] = inline(schema)
    return found


def _not_null(node: dict[str, Any]) -> dict[str, Any]:
    """Removes the type null from a JSON schema. In the Python types of messages, None means only that an element is
    absent."""
    kinds = [kind for kind in node["anyOf"] if kind != _NULL]
    rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


def fspiop_schema(
    resource: str,
    *,
    answer: int,
    summary: str,
    request: type[Any] | None = None,
    query: type[Any] | None = None,
) -> Callable[[F], F]:
    """Describes one HTTP method of an FSPIOP resource: its message, headers, query, response and error."""
    headers = [
        OpenApiParameter(
            name, str, OpenApiParameter.HEADER, required=name in ("Date", "FSPIOP-Source"), description=text
        )
        for name, text in _HEADERS.items()
    ]
    return extend_schema(
        tags=["FSPIOP " + resource],
        summary=summary,
        request=_bodies(resource, request) if request else None,
        parameters=[*headers, *(_query_parameters(query) if query else ())],
        responses={
            answer: OpenApiResponse(description="Accepted; if there is an answer, the hub sends it as a callback"),
            **_REFUSED,
            404: OpenApiResponse(ERROR_SCHEMA, description="The API has no such path"),
            406: OpenApiResponse(ERROR_SCHEMA, description="Version not supported"),
            408: OpenApiResponse(ERROR_SCHEMA, description="The body did not arrive in time"),
            413: OpenApiResponse(
                description="The hub's front refused the body. If the hub itself refuses a body that is too large, the "
                "response is 400 with error 3104"
            ),
        },
    )


def dfsp_schema(
    tag: str,
    *,
    summary: str,
    answer: type[Any],
    status: int = 200,
    request: type[Any] | None = None,
    query: type[Any] | None = None,
    further: Mapping[int, str] = MappingProxyType({}),
) -> Callable[[F], F]:
    """Describes one HTTP method of the hub's own API for DFSPs. `further` contains the status and the description of
    each additional response."""
    needed = ("Date", "FSPIOP-Source")
    headers = [
        OpenApiParameter(name, str, OpenApiParameter.HEADER, required=name in needed, description=_HEADERS[name])
        for name in (*needed, "FSPIOP-Signature")
    ]
    return extend_schema(
        tags=[tag],
        summary=summary,
        request={"application/json": schema_of(request, nullable=False)} if request else None,
        parameters=[*headers, *(_query_parameters(query) if query else ())],
        responses={
            status: OpenApiResponse(schema_of(answer, nullable=False), description="Done"),
            **_REFUSED,
            **{number: OpenApiResponse(description=text) for number, text in further.items()},
        },
    )


def _bodies(resource: str, message: type[Any]) -> dict[str, Any]:
    """Returns the message's schema for each media type of the resource. Resources with an ISO 20022 form have an
    additional media type."""
    supported = versions.SUPPORTED[resource]
    usual = versions.Version(1, 1)
    plain = versions.content_type(resource, usual if usual in supported else supported[0])
    found = {plain: schema_of(message, nullable=False)}
    form = RESOURCES[resource].iso20022
    if form is Iso20022.BODIES:
        wire = iso20022.wire_of(message, resource)
        found[versions.content_type(resource, versions.ISO20022)] = schema_of(wire, nullable=False)
    elif form is Iso20022.MEDIA_TYPE:
        found[versions.content_type(resource, versions.ISO20022)] = found[plain]
    return found


def _query_parameters(query: type[Any]) -> Iterator[OpenApiParameter]:
    schema = schema_of(query)
    for name, kind in schema["properties"].items():
        yield OpenApiParameter(name, kind, OpenApiParameter.QUERY, required=name in schema.get("required", ()))


def administration_schema(
    tag: str,
    *,
    summary: str,
    request: type[Any] | None = None,
    query: Sequence[str] = (),
    answer: int = 200,
    two_people: Sequence[str] | None = None,
) -> Callable[[F], F]:
    """Describes one HTTP method of an administration API. `query` contains the method's filters. `two_people` contains
    the kinds of change that need a second person if `TWO_PEOPLE` is "everywhere". If the method's changes never need a
    second person, `two_people` is empty. Every method that makes changes must state `two_people`
    (`hub.api.access_rule_check`).
    """
    waits = {202: OpenApiResponse(APPROVAL_SCHEMA, description="The change waits for approval")} if two_people else {}
    describe = extend_schema(
        tags=[tag],
        summary=summary,
        request={"application/json": schema_of(request)} if request else None,
        parameters=[OpenApiParameter(name, str, OpenApiParameter.QUERY) for name in query],
        responses={
            **waits,
            answer: OpenApiResponse({}, description="Done"),
            400: OpenApiResponse(ERROR_SCHEMA, description="The request is invalid"),
        },
    )

    def decorate(method: F) -> F:
        described = describe(method)
        described.two_people = two_people  # type: ignore[attr-defined]
        return described

    return decorate
