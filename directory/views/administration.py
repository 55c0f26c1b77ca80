"""The administration of oracles, as in the reference's account lookup service: /api/directory/v1."""

from typing import Annotated, Any, Literal

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from directory import oracles, queries
from directory.aliases import TYPES
from directory.models import Oracle
from fspiop.bodies.common import Currency, PartyIdType
from fspiop.money import CURRENCIES
from fspiop.versions import missing_header
from hub.api.administration.views import AdministrationView, Response
from hub.api.openapi import administration_schema
from hub.api.views import empty

TAG = "Oracles"


class OracleEndpoint(msgspec.Struct, rename="camel"):
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    endpoint_type: Literal["URL"]


class OracleInfo(msgspec.Struct, rename="camel"):
    endpoint: OracleEndpoint
    oracle_id_type: PartyIdType
    currency: Currency | None = None
    is_default: bool = False


class _OracleView(AdministrationView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        for header in ("date",) if request.method == "PUT" else ("accept", "date"):
            if not request.headers.get(header):
                raise missing_header(header)


class OraclesView(_OracleView):
    @administration_schema(TAG, summary="List the registered oracles, in the order in which they were added")
    def get(self, request: Request) -> Response:
        alias_type, currency = request.GET.get("type", ""), request.GET.get("currency", "")
        if (alias_type and alias_type not in TYPES) or (currency and currency not in CURRENCIES):
            return Response([])
        return Response([_show(oracle) for oracle in queries.oracles(alias_type=alias_type, currency=currency)])

    @administration_schema(
        TAG, summary="Register an oracle", request=OracleInfo, answer=201, two_people=("add_oracle",)
    )
    def post(self, request: Request) -> HttpResponse:
        said = _said(self.read(OracleInfo))
        self.needs_two(
            "add_oracle", subject=f"oracle for {said['alias_type']}", payload=lambda: {"after": _asked(said)}
        )
        oracles.add(**said, actor=self.actor)
        return empty(201)


class OracleView(_OracleView):
    @administration_schema(
        TAG, summary="Replace an oracle", request=OracleInfo, answer=204, two_people=("change_oracle",)
    )
    def put(self, request: Request, oracle_id: str) -> HttpResponse:
        said, oracle = _said(self.read(OracleInfo)), oracles.found(oracle_id)
        if oracle is None:
            raise oracles.not_found()
        self.needs_two(
            "change_oracle",
            subject=str(oracle),
            payload=lambda: {"oracle": oracle.pk, "before": oracles.terms_of(oracle), "after": _asked(said)},
        )
        oracles.change(oracle_id, **said, actor=self.actor)
        return empty(204)

    @administration_schema(TAG, summary="Remove an oracle", answer=204, two_people=("remove_oracle",))
    def delete(self, request: Request, oracle_id: str) -> HttpResponse:
        oracle = oracles.found(oracle_id)
        if oracle is None:
            return empty(204)  # no oracle has this id, for example because it was removed
        self.needs_two(
            "remove_oracle",
            subject=str(oracle),
            payload=lambda: {"oracle": oracle.pk, "before": oracles.terms_of(oracle)},
        )
        oracles.remove(oracle_id, actor=self.actor)
        return empty(204)


def _said(body: OracleInfo) -> dict[str, Any]:
    return {
        "alias_type": body.oracle_id_type,
        "endpoint": body.endpoint.value,
        "currency": body.currency or "",
        "is_default": body.is_default,
    }


def _asked(said: dict[str, Any]) -> dict[str, Any]:
    """Returns an oracle's alias type, address, currency and default flag in the form of a change request."""
    return {"type": said["alias_type"], **{name: said[name] for name in ("endpoint", "currency", "is_default")}}


def _show(oracle: Oracle) -> dict[str, Any]:
    return {
        "oracleId": str(oracle.pk),
        "oracleIdType": oracle.type,
        "endpoint": {"value": oracle.endpoint, "endpointType": oracle.endpoint_type},
        "currency": oracle.currency or None,
        "isDefault": int(oracle.is_default),  # the reference hub sends 0 or 1, and clients compare the value with 1
    }
