"""Reads the progress of a participant's off-boarding: five steps with their remaining obstacles."""

from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.participants.models import Participant
from ledger.accounts_and_funds import reserved_withdrawals
from ledger.models import FundsMovement
from settlement.services.closing_participants import Left, left_of


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A reason why a step of the off-boarding is not possible now. `amount_in` is the currency of `amount`.

    `url` is the page on which users can remove the obstacle.
    """

    text: str
    amount: int | None = None
    amount_in: str = ""
    url: tuple[str, list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    title: Promise
    hint: Promise
    change: str  # the kind of change that this step requests; empty if the step needs no change
    is_done: bool
    obstacles: list[Obstacle]


def steps_of(participant: Participant) -> list[Step]:
    left = left_of(participant)
    withdrawals = reserved_withdrawals(participant)
    is_leaving, is_closed = participant.leaving_since is not None, participant.closed_at is not None
    return [
        Step(
            gettext_lazy("Stop new payments"),
            gettext_lazy(
                "The participant can neither send nor receive new payments. Reserved payments are "
                "fulfilled, rejected or expire."
            ),
            "" if is_leaving else "begin_leaving",
            is_leaving and not left.reserved,
            [
                *_counted(_("%(count)s still reserved"), left.reserved - len(withdrawals)),
                *map(_reserved_withdrawal, withdrawals),
            ],
        ),
        Step(
            gettext_lazy("Settle"),
            gettext_lazy(
                "Close and settle the windows that contain payments of the participant, until all its positions are 0."
            ),
            "",
            is_leaving and left.is_settled,
            _unsettled(left),
        ),
        Step(
            gettext_lazy("Pay out"),
            gettext_lazy("The settlement bank pays out the participant's cover. Record the payment as funds out."),
            "",
            is_leaving and left.is_settled and not left.funds,
            [
                Obstacle(_("Cover"), amount, currency, ("funds_out", [participant.name, currency]))
                for currency, amount in left.funds
            ],
        ),
        Step(
            gettext_lazy("Revoke"),
            gettext_lazy(
                "All certificates, keys and clients of the participant are permanently revoked. The participant can no "
                "longer authenticate itself."
            ),
            "revoke_all" if left.credentials else "",
            is_leaving and left.is_settled and not left.funds and not left.credentials,
            _counted(_("%(count)s not revoked"), left.credentials),
        ),
        Step(
            gettext_lazy("Close"),
            gettext_lazy(
                "The participant is permanently closed, and its users can no longer sign in. Transfers, "
                "entries and the audit trail are kept."
            ),
            "" if is_closed else "close_participant",
            is_closed,
            [],
        ),
    ]


def _counted(text: str, count: int) -> list[Obstacle]:
    return [Obstacle(text % {"count": count})] if count else []


def _reserved_withdrawal(movement: FundsMovement) -> Obstacle:
    page = ("end_funds_out", [movement.account.participant.name, movement.pk])
    return Obstacle(
        _("Reserved funds out: when the bank has paid, record the outcome"),
        movement.amount,
        movement.account.currency,
        page,
    )


def _unsettled(left: Left) -> list[Obstacle]:
    positions = [Obstacle(_("Position"), amount, currency) for currency, amount in left.positions]
    windows = [
        Obstacle(_("Window %(n)s is not settled") % {"n": number}, url=("window", [number])) for number in left.windows
    ]
    return positions + windows


def current_of(steps: list[Step]) -> int:
    """Returns the index of the first step that is not done, or the number of steps if all steps are done."""
    return next((number for number, step in enumerate(steps) if not step.is_done), len(steps))
