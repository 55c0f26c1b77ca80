"""The views of settlement models and ledger account types, as in the reference hub's administration API."""

from typing import Annotated, Any, Literal

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import AdministrationView, Response
from hub.api.openapi import administration_schema
from settlement.models import LedgerAccountType, SettlementModel
from settlement.services import settlement_models

TAG = "Settlement models"
Name = Annotated[str, msgspec.Meta(min_length=2, max_length=30, pattern=r"^[A-Za-z0-9_.\-]+\Z")]
TypeName = Annotated[str, msgspec.Meta(min_length=2, max_length=30, pattern=r"^[A-Za-z0-9_]+\Z")]


class NewModel(msgspec.Struct, rename="camel"):
    name: Name
    settlement_granularity: Literal["GROSS", "NET"]
    settlement_interchange: Literal["BILATERAL", "MULTILATERAL"]
    settlement_delay: Literal["DEFERRED", "IMMEDIATE"]
    require_liquidity_check: bool
    ledger_account_type: TypeName
    settlement_account_type: TypeName
    auto_position_reset: bool
    currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")] | None = None


class ModelActivity(msgspec.Struct, rename="camel"):
    is_active: bool


class NewAccountType(msgspec.Struct, rename="camel"):
    name: TypeName
    description: Annotated[str, msgspec.Meta(max_length=512)]
    is_active: bool
    is_settleable: bool


def _show(model: SettlementModel) -> dict[str, Any]:
    return {
        "settlementModelId": model.pk,
        "name": model.name,
        "isActive": model.is_active,
        "settlementGranularity": model.granularity,
        "settlementInterchange": model.interchange,
        "settlementDelay": model.delay,
        "currency": model.currency,
        "requireLiquidityCheck": model.require_liquidity_check,
        "ledgerAccountTypeId": model.ledger_account_type,
        "ledgerAccountType": model.ledger_account_type,
        "settlementAccountType": model.settlement_account_type,
        "autoPositionReset": model.auto_position_reset,
    }


def _show_type(found: LedgerAccountType) -> dict[str, Any]:
    return {
        "name": found.name,
        "description": found.description,
        "isActive": found.is_active,
        "isSettleable": found.is_settleable,
    }


class ModelsView(AdministrationView):
    @administration_schema(TAG, summary="List the settlement models")
    def get(self, request: Request) -> Response:
        return Response([_show(model) for model in SettlementModel.objects.all()])

    @administration_schema(
        TAG, summary="Create a settlement model", request=NewModel, answer=201, two_people=("create_settlement_model",)
    )
    def post(self, request: Request) -> HttpResponse:
        body = self.read(NewModel)
        terms: dict[str, Any] = {
            "name": body.name,
            "granularity": body.settlement_granularity,
            "interchange": body.settlement_interchange,
            "delay": body.settlement_delay,
            "currency": body.currency,
            "require_liquidity_check": body.require_liquidity_check,
            "auto_position_reset": body.auto_position_reset,
            "ledger_account_type": body.ledger_account_type,
            "settlement_account_type": body.settlement_account_type,
        }
        self.needs_two("create_settlement_model", subject=body.name, payload=lambda: terms)
        settlement_models.create_model(**terms, actor=self.actor)
        return HttpResponse(status=201, content_type="application/json")


class ModelView(AdministrationView):
    @administration_schema(TAG, summary="Show a settlement model")
    def get(self, request: Request, name: str) -> Response:
        found = SettlementModel.objects.filter(name=name).first()
        if found is None:
            raise FspiopError(ErrorCode.ID_NOT_FOUND, "Settlement Model does not exist", http_status=400)
        return Response(_show(found))

    @administration_schema(
        TAG,
        summary="Enable or disable a settlement model",
        request=ModelActivity,
        two_people=("set_settlement_model_active",),
    )
    def put(self, request: Request, name: str) -> Response:
        body = self.read(ModelActivity)
        self.needs_two(
            "set_settlement_model_active",
            subject=name[:128],
            payload=lambda: {"name": name, "is_active": body.is_active},
        )
        return Response(_show(settlement_models.set_model_active(name, is_active=body.is_active, actor=self.actor)))


class AccountTypesView(AdministrationView):
    @administration_schema(TAG, summary="List the ledger account types")
    def get(self, request: Request) -> Response:
        return Response([_show_type(found) for found in LedgerAccountType.objects.all()])

    @administration_schema(
        TAG,
        summary="Create a ledger account type",
        request=NewAccountType,
        answer=201,
        two_people=("create_account_type",),
    )
    def post(self, request: Request) -> Response:
        body = self.read(NewAccountType)
        self.needs_two("create_account_type", subject=body.name, payload=lambda: msgspec.structs.asdict(body))
        made = settlement_models.create_account_type(
            name=body.name,
            description=body.description,
            is_active=body.is_active,
            is_settleable=body.is_settleable,
            actor=self.actor,
        )
        return Response(_show_type(made), status=201)
