"""The hub's administration API, as the reference's central ledger has it: /api/ledger/v1.

Amounts come as strings or numbers and leave as JSON numbers: its clients read them so. Between the two they are
whole ten-thousandths like everywhere.
"""

from typing import Annotated, Any

import msgspec
from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from fspiop import money, time
from fspiop.errors import ErrorCode, FspiopError
from hub.api.administration import AdministrationView, Response
from hub.api.docs import administration_schema
from hub.participants import services as participants
from hub.participants.models import Participant
from ledger import queries, services
from ledger.models import Account

TAG = "Administration"
Name = Annotated[str, msgspec.Meta(min_length=2, max_length=30, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*\Z")]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}\Z")]
AmountText = str | int | float


class NewParticipant(msgspec.Struct, rename="camel"):
    name: Name
    currency: Currency
    is_proxy: bool = False


class Activity(msgspec.Struct, rename="camel"):
    is_active: bool


class NewAccount(msgspec.Struct):
    type: str
    currency: Currency


class NewEndpoint(msgspec.Struct):
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Limit(msgspec.Struct, rename="camel"):
    type: Annotated[str, msgspec.Meta(pattern=r"^NET_DEBIT_CAP\Z")]
    value: AmountText
    alarm_percentage: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None


class InitialLimit(msgspec.Struct, rename="camel"):
    currency: Currency
    limit: Limit
    initial_position: AmountText = 0


class ChangedLimit(msgspec.Struct):
    currency: Currency
    limit: Limit


class AdminMoney(msgspec.Struct):
    amount: AmountText
    currency: Currency


class Funds(msgspec.Struct, rename="camel"):
    transfer_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")]
    external_reference: Annotated[str, msgspec.Meta(max_length=512)]
    action: str
    reason: Annotated[str, msgspec.Meta(max_length=512)]
    amount: AdminMoney


class FundsEnd(msgspec.Struct):
    action: str
    reason: Annotated[str, msgspec.Meta(max_length=512)] = ""


def _participant(name: str) -> Participant:
    if name == settings.HUB_NAME:
        return participants.hub()
    found = Participant.objects.filter(name=name).first()
    if found is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "The requested resource could not be found.", http_status=400)
    return found


def dfsp_of(name: str) -> Participant:
    participant = _participant(name)
    if participant.is_hub:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "this is about the hub itself; name a DFSP")
    return participant


def _account(participant: Participant, account_id: int) -> Account:
    found = Account.objects.select_related("participant").filter(participant=participant, pk=account_id).first()
    if found is None:
        raise FspiopError(ErrorCode.ID_NOT_FOUND, "Account not found")
    return found


def _amount(value: AmountText, name: str) -> int:
    text = repr(value) if isinstance(value, float) else str(value)
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    try:
        return money.parse_amount(text)
    except money.AmountError as error:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, f"{name}: {error}") from None


def as_number(amount: int) -> int | float:
    """An amount as the JSON number that this API's clients read."""
    whole, rest = divmod(amount, 10**money.SCALE)
    return whole if rest == 0 else amount / 10.0**money.SCALE


def _show_participant(participant: Participant) -> dict[str, Any]:
    return {
        "name": participant.name,
        "id": participant.name,
        "created": time.format_datetime(participant.created_at),
        "isActive": int(participant.is_active),
        "links": {"self": f"/participants/{participant.name}"},
        "isProxy": int(participant.is_proxy),
        "accounts": [
            {
                "id": account.pk,
                "ledgerAccountType": account.type,
                "currency": account.currency,
                "isActive": int(account.is_active),
                "createdBy": "hub",
            }
            for account in sorted(participant.accounts.all(), key=lambda account: account.pk)
        ],
    }


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


def _show_limit(account: Account) -> dict[str, Any]:
    assert account.net_debit_cap is not None
    return {
        "currency": account.currency,
        "limit": {
            "type": "NET_DEBIT_CAP",
            "value": as_number(account.net_debit_cap),
            "alarmPercentage": account.alarm_percentage,
        },
    }


class ParticipantsView(AdministrationView):
    @administration_schema(TAG, summary="All participants")
    def get(self, request: Request) -> Response:
        found = Participant.objects.prefetch_related("accounts")
        if request.query_params.get("isProxy") == "true":
            found = found.filter(is_proxy=True)
        return Response([_show_participant(participant) for participant in found])

    @administration_schema(
        TAG, summary="Register a participant, or another currency of one", request=NewParticipant, answer=201
    )
    def post(self, request: Request) -> Response:
        body = self.read(NewParticipant)
        participant = services.register_participant(
            name=body.name, currency=body.currency, is_proxy=body.is_proxy, actor=self.actor
        )
        return Response(_show_participant(participant), status=201)


class ParticipantView(AdministrationView):
    @administration_schema(TAG, summary="One participant")
    def get(self, request: Request, name: str) -> Response:
        return Response(_show_participant(_participant(name)))

    @administration_schema(TAG, summary="Enable or disable a participant", request=Activity)
    def put(self, request: Request, name: str) -> Response:
        body = self.read(Activity)
        participant = participants.set_active(dfsp_of(name), is_active=body.is_active, actor=self.actor)
        return Response(_show_participant(participant))


class EndpointsView(AdministrationView):
    @administration_schema(TAG, summary="A participant's endpoints")
    def get(self, request: Request, name: str) -> Response:
        found = _participant(name).endpoints.all()
        wanted = request.query_params.get("type")
        return Response(
            [{"type": endpoint.type, "value": endpoint.value} for endpoint in found if wanted in (None, endpoint.type)]
        )

    @administration_schema(TAG, summary="Add or replace an endpoint", request=NewEndpoint, answer=201)
    def post(self, request: Request, name: str) -> HttpResponse:
        body = self.read(NewEndpoint)
        participants.set_endpoint(_participant(name), endpoint_type=body.type, value=body.value, actor=self.actor)
        return HttpResponse(status=201, content_type="application/json")


class AccountsView(AdministrationView):
    @administration_schema(TAG, summary="A participant's accounts")
    def get(self, request: Request, name: str) -> Response:
        accounts = queries.accounts_of(_participant(name), request.query_params.get("currency"))
        return Response([_show_account(account) for account in accounts])

    @administration_schema(TAG, summary="Open an account of the hub", request=NewAccount, answer=201)
    def post(self, request: Request, name: str) -> Response:
        body = self.read(NewAccount)
        if name != settings.HUB_NAME:
            raise FspiopError(
                ErrorCode.VALIDATION_ERROR, "Endpoint is reserved for creation of Hub account types only."
            )
        services.open_hub_account(account_type=body.type, currency=body.currency, actor=self.actor)
        return Response(_show_participant(participants.hub()), status=201)


class AccountView(AdministrationView):
    @administration_schema(TAG, summary="Enable or disable a POSITION account", request=Activity)
    def put(self, request: Request, name: str, account_id: int) -> HttpResponse:
        body = self.read(Activity)
        services.set_account_active(_account(dfsp_of(name), account_id), is_active=body.is_active, actor=self.actor)
        return HttpResponse(status=200, content_type="application/json")

    @administration_schema(TAG, summary="Record funds in, or reserve funds out", request=Funds, answer=202)
    def post(self, request: Request, name: str, account_id: int) -> HttpResponse:
        body = self.read(Funds)
        account = _account(dfsp_of(name), account_id)
        amount = _amount(body.amount.amount, "amount.amount")
        if amount == 0:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "amount.amount: must be above 0")
        if body.amount.currency != account.currency:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "amount.currency: is not the account's")
        actions = {
            "recordFundsIn": services.record_funds_in,
            "recordFundsOutPrepareReserve": services.prepare_funds_out,
        }
        action = actions.get(body.action)
        if action is None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"action: one of {', '.join(actions)}")
        action(
            account,
            transfer_id=body.transfer_id,
            amount=amount,
            reason=body.reason,
            external_reference=body.external_reference,
            actor=self.actor,
        )
        return HttpResponse(status=202, content_type="application/json")


class FundsOutView(AdministrationView):
    @administration_schema(TAG, summary="Commit or abort funds out", request=FundsEnd, answer=202)
    def put(self, request: Request, name: str, account_id: int, transfer_id: str) -> HttpResponse:
        body = self.read(FundsEnd)
        actions = {"recordFundsOutCommit": True, "recordFundsOutAbort": False}
        if body.action not in actions:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, f"action: one of {', '.join(actions)}")
        services.end_funds_out(
            _account(dfsp_of(name), account_id),
            transfer_id=transfer_id,
            commits=actions[body.action],
            reason=body.reason,
            actor=self.actor,
        )
        return HttpResponse(status=202, content_type="application/json")


class InitialLimitView(AdministrationView):
    @administration_schema(TAG, summary="Set the first limit and activate", request=InitialLimit, answer=201)
    def post(self, request: Request, name: str) -> HttpResponse:
        body = self.read(InitialLimit)
        if _amount(body.initial_position, "initialPosition") != 0:
            raise FspiopError(
                ErrorCode.VALIDATION_ERROR, "initialPosition: must be 0; a position comes from transfers alone"
            )
        services.set_initial_limit(
            dfsp_of(name), currency=body.currency, ndc=_amount(body.limit.value, "limit.value"), actor=self.actor
        )
        return HttpResponse(status=201, content_type="application/json")


class LimitsView(AdministrationView):
    @administration_schema(TAG, summary="A participant's limits")
    def get(self, request: Request, name: str) -> Response:
        positions = queries.positions_of(_participant(name), request.query_params.get("currency"))
        return Response([_show_limit(account) for account in positions if account.net_debit_cap is not None])

    @administration_schema(TAG, summary="Change a net debit cap", request=ChangedLimit)
    def put(self, request: Request, name: str) -> Response:
        body = self.read(ChangedLimit)
        account = services.change_ndc(
            dfsp_of(name),
            currency=body.currency,
            ndc=_amount(body.limit.value, "limit.value"),
            alarm_percentage=body.limit.alarm_percentage,
            actor=self.actor,
        )
        return Response(_show_limit(account))


class AllLimitsView(AdministrationView):
    @administration_schema(TAG, summary="All participants' limits")
    def get(self, request: Request) -> Response:
        positions = Account.objects.filter(type=Account.Type.POSITION, net_debit_cap__isnull=False)
        currency = request.query_params.get("currency")
        if currency:
            positions = positions.filter(currency=currency)
        return Response(
            [
                {"name": account.participant.name, **_show_limit(account)}
                for account in positions.select_related("participant")
            ]
        )


class PositionsView(AdministrationView):
    @administration_schema(TAG, summary="A participant's positions")
    def get(self, request: Request, name: str) -> Response:
        currency = request.query_params.get("currency")
        shown = [
            {
                "currency": account.currency,
                "value": as_number(queries.value_of(account)),
                "changedDate": time.format_datetime(account.changed_at),
            }
            for account in queries.positions_of(dfsp_of(name), currency)
        ]
        if currency:
            return Response(shown[0] if shown else {})
        return Response(shown)
