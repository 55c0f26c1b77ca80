"""Participants' accounts, and the funds that go in and out of them."""

import re
from typing import Annotated, Any, Literal

import msgspec
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.bodies.common import ExtensionList
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration import Response
from hub.api.docs import administration_schema
from hub.participants import services as participants
from ledger import queries, services
from ledger.models import Account
from ledger.views.administration.common import (
    TAG,
    AmountText,
    Currency,
    LedgerAdministrationView,
    Reason,
    account_of,
    amount_of,
    as_number,
    currency_asked_for,
    dfsp_of,
    participant_of,
)
from ledger.views.administration.participants import Activity, show_participant

_ID = r"^(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9A-HJKMNP-TV-Z]{26})\Z"


class NewAccount(msgspec.Struct):
    type: str
    currency: Currency


class AdminMoney(msgspec.Struct):
    amount: AmountText
    currency: Currency


class Funds(msgspec.Struct, rename="camel"):
    transfer_id: Annotated[str, msgspec.Meta(pattern=_ID)]
    external_reference: Reason
    action: Literal["recordFundsIn", "recordFundsOutPrepareReserve"]
    reason: Reason
    amount: AdminMoney
    extension_list: ExtensionList | None = None


class FundsEnd(msgspec.Struct):
    action: Literal["recordFundsOutCommit", "recordFundsOutAbort"]
    reason: Reason


def _show_account(account: Account) -> dict[str, Any]:
    return {
        "id": account.pk,
        "ledgerAccountType": account.type,
        "currency": account.currency,
        "isActive": int(account.is_active),
        "value": as_number(queries.value_of(account)),
        "reservedValue": 0,  # `value` holds what is reserved, as in the reference hub
        "changedDate": time.format_datetime(account.changed_at),
    }


class AccountsView(LedgerAdministrationView):
    @administration_schema(TAG, summary="A participant's accounts", query=("currency",))
    def get(self, request: Request, name: str) -> Response:
        accounts = queries.accounts_of(participant_of(name), currency_asked_for(request))
        return Response([_show_account(account) for account in accounts])

    @administration_schema(TAG, summary="Open an account of the hub", request=NewAccount, answer=201)
    def post(self, request: Request, name: str) -> Response:
        body = self.read(NewAccount)
        if name != settings.HUB_NAME:
            participant_of(name)
            raise FspiopError(
                ErrorCode.VALIDATION_ERROR, "Endpoint is reserved for creation of Hub account types only."
            )
        services.open_hub_account(account_type=body.type, currency=body.currency, actor=self.actor)
        return Response(show_participant(participants.hub()), status=201)


class AccountView(LedgerAdministrationView):
    @administration_schema(TAG, summary="Enable or disable a POSITION account", request=Activity)
    def put(self, request: Request, name: str, account_id: int) -> HttpResponse:
        body = self.read(Activity)
        services.set_account_active(account_of(dfsp_of(name), account_id), is_active=body.is_active, actor=self.actor)
        return HttpResponse(status=200, content_type="application/json")

    @administration_schema(TAG, summary="Record funds in, or reserve funds out", request=Funds, answer=202)
    def post(self, request: Request, name: str, account_id: int) -> HttpResponse:
        body = self.read(Funds)
        account = account_of(dfsp_of(name), account_id)
        amount = amount_of(body.amount.amount, "amount.amount")
        if amount == 0:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "amount.amount: must be above 0")
        if body.amount.currency != account.currency:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "amount.currency: is not the account's")
        record = services.record_funds_in if body.action == "recordFundsIn" else services.prepare_funds_out
        record(
            account,
            transfer_id=body.transfer_id,
            amount=amount,
            reason=body.reason,
            external_reference=body.external_reference,
            actor=self.actor,
            extensions=[(each.key, each.value) for each in body.extension_list.extension]
            if body.extension_list
            else (),
        )
        return HttpResponse(status=202, content_type="application/json")


class FundsOutView(LedgerAdministrationView):
    @administration_schema(TAG, summary="Commit or abort funds out", request=FundsEnd, answer=202)
    def put(self, request: Request, name: str, account_id: int, transfer_id: str) -> HttpResponse:
        body = self.read(FundsEnd)
        if re.match(_ID, transfer_id) is None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "transferId: must be a UUID or a ULID")
        services.end_funds_out(
            account_of(dfsp_of(name), account_id),
            transfer_id=transfer_id,
            commits=body.action == "recordFundsOutCommit",
            reason=body.reason,
            actor=self.actor,
        )
        return HttpResponse(status=202, content_type="application/json")
