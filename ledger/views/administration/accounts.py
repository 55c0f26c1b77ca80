"""The views of participants' accounts, and of funds in and out."""

import re
from typing import Annotated, Any, Literal

import msgspec
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import time
from fspiop.bodies.common import ExtensionList
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration.views import Response
from hub.api.openapi import administration_schema
from hub.participants import services as participants
from ledger import accounts_and_funds, queries
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


class FundsEnd(msgspec.Struct, rename="camel"):
    action: Literal["recordFundsOutCommit", "recordFundsOutAbort"]
    reason: Reason
    external_reference: Reason = ""


def _show_account(account: Account) -> dict[str, Any]:
    return {
        "id": account.pk,
        "ledgerAccountType": account.type,
        "currency": account.currency,
        "isActive": int(account.is_active),
        "value": as_number(queries.value_of(account)),
        "reservedValue": 0,  # `value` includes reserved amounts, as in the reference hub
        "changedDate": time.format_datetime(account.changed_at),
    }


class AccountsView(LedgerAdministrationView):
    @administration_schema(TAG, summary="List a participant's accounts", query=("currency",))
    def get(self, request: Request, name: str) -> Response:
        accounts = queries.accounts_of(participant_of(name), currency_asked_for(request))
        return Response([_show_account(account) for account in accounts])

    @administration_schema(
        TAG, summary="Open an account of the hub", request=NewAccount, answer=201, two_people=("open_hub_account",)
    )
    def post(self, request: Request, name: str) -> Response:
        body = self.read(NewAccount)
        if name != settings.HUB_NAME:
            participant_of(name)
            raise FspiopError(
                ErrorCode.VALIDATION_ERROR, "Endpoint is reserved for creation of Hub account types only."
            )
        self.needs_two(
            "open_hub_account",
            subject=name,
            payload=lambda: {"type": body.type, "currency": body.currency},
        )
        accounts_and_funds.open_hub_account(account_type=body.type, currency=body.currency, actor=self.actor)
        return Response(show_participant(participants.hub()), status=201)


class AccountView(LedgerAdministrationView):
    @administration_schema(
        TAG, summary="Enable or disable a POSITION account", request=Activity, two_people=("set_account_active",)
    )
    def put(self, request: Request, name: str, account_id: int) -> HttpResponse:
        body = self.read(Activity)
        account = account_of(dfsp_of(name), account_id)
        self.needs_two(
            "set_account_active",
            subject=name,
            payload=lambda: {
                "participant": name,
                "account": account.pk,
                "type": account.type,
                "currency": account.currency,
                "before": account.is_active,
                "is_active": body.is_active,
            },
        )
        accounts_and_funds.set_account_active(account, is_active=body.is_active, actor=self.actor)
        return HttpResponse(status=200, content_type="application/json")

    @administration_schema(
        TAG,
        summary="Record funds in, or reserve funds out",
        request=Funds,
        answer=202,
        two_people=("funds_in", "funds_out"),
    )
    def post(self, request: Request, name: str, account_id: int) -> HttpResponse:
        body = self.read(Funds)
        account = account_of(dfsp_of(name), account_id)
        amount = amount_of(body.amount.amount, "amount.amount")
        if amount == 0:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "amount.amount: must be above 0")
        if body.amount.currency != account.currency:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "amount.currency: is not the account's currency")
        is_in = body.action == "recordFundsIn"
        extensions = [(each.key, each.value) for each in body.extension_list.extension] if body.extension_list else []
        accounts_and_funds.check_takes_funds(account)
        self.needs_two(
            "funds_in" if is_in else "funds_out",
            subject=name,
            reason=body.reason,
            payload=lambda: {
                "participant": name,
                "currency": account.currency,
                "amount": amount,
                "reference": body.external_reference,
                "reason": body.reason,
                "transfer_id": body.transfer_id,
                "extensions": [list(pair) for pair in extensions],
            },
            has_own_id=True,
        )
        record = accounts_and_funds.record_funds_in if is_in else accounts_and_funds.prepare_funds_out
        record(
            account,
            transfer_id=body.transfer_id,
            amount=amount,
            reason=body.reason,
            external_reference=body.external_reference,
            actor=self.actor,
            extensions=extensions,
        )
        return HttpResponse(status=202, content_type="application/json")


class FundsOutView(LedgerAdministrationView):
    @administration_schema(
        TAG, summary="Commit or abort funds out", request=FundsEnd, answer=202, two_people=("end_funds_out",)
    )
    def put(self, request: Request, name: str, account_id: int, transfer_id: str) -> HttpResponse:
        body = self.read(FundsEnd)
        if re.match(_ID, transfer_id) is None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "transferId: must be a UUID or a ULID")
        account, commits = account_of(dfsp_of(name), account_id), body.action == "recordFundsOutCommit"
        accounts_and_funds.check_takes_funds(account)
        self.needs_two(
            "end_funds_out",
            subject=name,
            reason=body.reason,
            payload=lambda: {
                "participant": name,
                "currency": account.currency,
                "amount": accounts_and_funds.withdrawal_of(account, transfer_id).amount,
                "reference": body.external_reference,
                "reason": body.reason,
                "transfer_id": transfer_id,
                "commits": commits,
            },
            has_own_id=True,
        )
        accounts_and_funds.end_funds_out(
            account,
            transfer_id=transfer_id,
            commits=commits,
            reason=body.reason,
            external_reference=body.external_reference,
            actor=self.actor,
        )
        return HttpResponse(status=202, content_type="application/json")
