"""The views of the Settlement API v2 that list, show, create, change and abort settlements."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Annotated, Any, Literal

import msgspec
from rest_framework.request import Request

from fspiop import time
from fspiop.errors import ErrorCode, FspiopError, error_body
from hub.api.administration.views import AdministrationView, Response
from hub.api.administration.whole_numbers_in_bodies import WholeNumber
from hub.api.openapi import administration_schema
from ledger.models import SettlementWindow
from ledger.views.administration.common import as_number
from settlement import change_request_terms, queries, services
from settlement.decide import Answer, Wish
from settlement.models import Settlement, SettlementAccount
from settlement.states import State
from settlement.views import query_parameters

TAG = "Settlements"
_FILTERS = {
    "currency": ("currency", query_parameters.currency),
    "participantId": ("participant_id", query_parameters.number),
    "settlementWindowId": ("window_id", query_parameters.number),
    "accountId": ("account_id", query_parameters.number),
    "state": ("state", query_parameters.one_of(*State)),
    "fromDateTime": ("from_date", query_parameters.moment),
    "toDateTime": ("to_date", query_parameters.moment),
    "fromSettlementWindowDateTime": ("from_window_date", query_parameters.moment),
    "toSettlementWindowDateTime": ("to_window_date", query_parameters.moment),
}
Reason = Annotated[str, msgspec.Meta(max_length=512)]
AccountState = Literal[
    "PENDING_SETTLEMENT", "PS_TRANSFERS_RECORDED", "PS_TRANSFERS_RESERVED", "PS_TRANSFERS_COMMITTED", "SETTLED"
]


class WindowId(msgspec.Struct):
    id: WholeNumber


class NewSettlement(msgspec.Struct, rename="camel"):
    settlement_model: Annotated[str, msgspec.Meta(min_length=1, max_length=30)]
    reason: Reason
    settlement_windows: Annotated[list[WindowId], msgspec.Meta(min_length=1, max_length=1000)]


class AccountStep(msgspec.Struct, rename="camel", kw_only=True):
    state: AccountState
    reason: Reason = ""
    external_reference: Reason = ""


class OneAccountStep(AccountStep, kw_only=True):
    reason: Reason


class NumberedAccountStep(AccountStep, kw_only=True):
    id: WholeNumber


class ParticipantSteps(msgspec.Struct):
    accounts: Annotated[list[NumberedAccountStep], msgspec.Meta(min_length=1, max_length=1000)]


class NumberedParticipantSteps(ParticipantSteps, kw_only=True):
    id: WholeNumber


class Change(msgspec.Struct, rename="camel"):
    participants: Annotated[list[NumberedParticipantSteps], msgspec.Meta(min_length=1, max_length=1000)] | None = None
    state: Literal["ABORTED"] | None = None
    reason: Reason | None = None
    external_reference: Reason = ""


def _show_window(window: SettlementWindow) -> dict[str, Any]:
    return {
        "id": window.pk,
        "state": window.state,
        "reason": window.reason,
        "createdDate": time.format_datetime(window.created_at),
        "changedDate": time.format_datetime(window.changed_at),
    }


def _show_account(account: SettlementAccount) -> dict[str, Any]:
    shown = {
        "id": account.account_id,
        "state": account.state,
        "reason": account.reason,
        "netSettlementAmount": {
            "amount": as_number(int(account.net)),
            "currency": account.account.currency,
        },
    }
    return shown | ({"externalReference": account.external_reference} if account.external_reference else {})


def _show_refusal(answer: Answer) -> dict[str, Any]:
    assert answer.refusal is not None
    code, text = answer.refusal.value
    return {"id": answer.wish.account_id, **error_body(code.code, f"{code.text} - {text}")}


def _show(settlement: Settlement, participants: list[dict[str, Any]]) -> dict[str, Any]:
    windows = {content.window_id: content.window for content in settlement.contents.all()}
    return {
        "id": settlement.pk,
        "state": settlement.state,
        "reason": settlement.reason,
        "settlementModel": settlement.model.name,
        "createdDate": time.format_datetime(settlement.created_at),
        "changedDate": time.format_datetime(settlement.changed_at),
        "settlementWindows": [_show_window(window) for window in windows.values()],
        "participants": participants,
    }


def _show_participants(accounts: Iterable[SettlementAccount]) -> list[dict[str, Any]]:
    by_participant = groupby(accounts, key=lambda account: account.account.participant_id)
    return [{"id": number, "accounts": [_show_account(account) for account in mine]} for number, mine in by_participant]


def _show_answers(settlement: Settlement, answers: list[Answer]) -> list[dict[str, Any]]:
    """Returns the accounts in the order in which the request names them. For each account, the response has the new
    state, or the reason why the change was refused."""
    accounts = {account.account_id: account for account in settlement.accounts.all()}
    by_participant = groupby(answers, key=lambda answer: answer.wish.participant_id)
    return [
        {
            "id": number,
            "accounts": [
                _show_refusal(answer) if answer.refusal else _show_account(accounts[answer.wish.account_id])
                for answer in mine
            ],
        }
        for number, mine in by_participant
    ]


def _show_whole(number: int, keeps: Callable[[SettlementAccount], bool] = lambda account: True) -> dict[str, Any]:
    settlement = queries.settlement(number)
    accounts = [account for account in settlement.accounts.all() if keeps(account)]
    if not accounts:
        raise FspiopError(ErrorCode.VALIDATION_ERROR, "The settlement does not have this participant or account")
    return _show(settlement, _show_participants(accounts))


class SettlementsView(AdministrationView):
    @administration_schema(TAG, summary="Find settlements by at least one filter", query=list(_FILTERS))
    def get(self, request: Request) -> Response:
        found = queries.settlements(**query_parameters.filters(request.query_params, _FILTERS))
        return Response([_show(settlement, _show_participants(settlement.accounts.all())) for settlement in found])

    @administration_schema(TAG, summary="Settle closed windows under a model", request=NewSettlement, two_people=())
    def post(self, request: Request) -> Response:
        body = self.read(NewSettlement)
        made = services.create(
            model_name=body.settlement_model,
            window_ids=[window.id for window in body.settlement_windows],
            reason=body.reason,
            actor=self.actor,
        )
        return Response(_show_whole(made.pk))


class _Moving(AdministrationView):
    def move(self, number: int, wishes: list[Wish]) -> Response:
        self.needs_two(
            "move_settlement",
            subject=f"settlement {number}",
            payload=lambda: change_request_terms.terms_of_steps(queries.settlement(number), wishes),
        )
        answers = services.move(number, wishes, actor=self.actor)
        settlement = queries.settlement(number)
        return Response(_show(settlement, _show_answers(settlement, answers)))


def _wish(participant_id: int, account_id: int, step: AccountStep) -> Wish:
    return Wish(participant_id, account_id, State(step.state), step.reason, step.external_reference)


class SettlementView(_Moving):
    @administration_schema(TAG, summary="Show a settlement")
    def get(self, request: Request, sid: str) -> Response:
        return Response(_show_whole(query_parameters.number(sid, "id")))

    @administration_schema(
        TAG,
        summary="Move accounts one step each, or abort the settlement",
        request=Change,
        two_people=("move_settlement", "abort_settlement"),
    )
    def put(self, request: Request, sid: str) -> Response:
        number, body = query_parameters.number(sid, "id"), self.read(Change)
        if body.state is not None and body.participants is None:
            if not body.reason:
                raise FspiopError(ErrorCode.MISSING_ELEMENT, "reason is required")
            reason = body.reason
            self.needs_two(
                "abort_settlement",
                subject=f"settlement {number}",
                reason=reason,
                payload=lambda: change_request_terms.terms(queries.settlement(number), State.ABORTED.value, reason),
            )
            services.abort(number, reason=reason, actor=self.actor)
            return Response(_show_whole(number))
        if body.participants is None or body.state is not None:
            raise FspiopError(ErrorCode.VALIDATION_ERROR, "give either participants, or the state ABORTED and a reason")
        return self.move(
            number,
            [
                _wish(participant.id, step.id, step)
                for participant in body.participants
                for step in participant.accounts
            ],
        )


class ParticipantView(_Moving):
    @administration_schema(TAG, summary="Show one participant's part of a settlement")
    def get(self, request: Request, sid: str, pid: str) -> Response:
        participant = query_parameters.number(pid, "pid")
        return Response(
            _show_whole(
                query_parameters.number(sid, "sid"), lambda account: account.account.participant_id == participant
            )
        )

    @administration_schema(
        TAG,
        summary="Move one participant's accounts one step",
        request=ParticipantSteps,
        two_people=("move_settlement",),
    )
    def put(self, request: Request, sid: str, pid: str) -> Response:
        participant, body = query_parameters.number(pid, "pid"), self.read(ParticipantSteps)
        return self.move(
            query_parameters.number(sid, "sid"), [_wish(participant, step.id, step) for step in body.accounts]
        )


class AccountView(_Moving):
    @administration_schema(TAG, summary="Show one account of a settlement")
    def get(self, request: Request, sid: str, pid: str, aid: str) -> Response:
        participant, number = query_parameters.number(pid, "pid"), query_parameters.number(aid, "aid")
        return Response(
            _show_whole(
                query_parameters.number(sid, "sid"),
                lambda account: (account.account.participant_id, account.account_id) == (participant, number),
            )
        )

    @administration_schema(
        TAG, summary="Move one account one step", request=OneAccountStep, two_people=("move_settlement",)
    )
    def put(self, request: Request, sid: str, pid: str, aid: str) -> Response:
        body = self.read(OneAccountStep)
        wish = _wish(query_parameters.number(pid, "pid"), query_parameters.number(aid, "aid"), body)
        return self.move(query_parameters.number(sid, "sid"), [wish])
