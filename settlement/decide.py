"""Decides whether the hub moves an account in a settlement to a requested state. Pure. The caller of this module must
lock and read the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from fspiop.errors import ErrorCode
from ledger.position_limit import Bound, passed
from ledger.settlement_postings import Balance
from settlement.states import NEXT, State


class Refusal(Enum):
    """The reason why a step is refused, as a code and a text. The response contains each refusal together with the
    account that is refused."""

    NO_PARTICIPANT = (ErrorCode.CLIENT_ERROR, "Participant not found")
    NO_ACCOUNT = (ErrorCode.CLIENT_ERROR, "Account not found")
    NOT_ITS_OWN = (ErrorCode.CLIENT_ERROR, "Participant and account mismatch")
    TWICE = (ErrorCode.CLIENT_ERROR, "Account already processed once")
    NO_STEP = (ErrorCode.CLIENT_ERROR, "State change not allowed")
    ABOVE_CAP = (ErrorCode.PAYER_LIMIT_ERROR, "The position would exceed the net debit cap; raise the cap first")
    ABOVE_COVER = (
        ErrorCode.PAYER_FSP_INSUFFICIENT_LIQUIDITY,
        "The position would exceed the liquidity cover; record funds in first",
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """The step that a caller requests for one account of a settlement."""

    participant_id: int
    account_id: int
    state: State
    reason: str
    external_reference: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """The present state of an account in a settlement. `balance` is set if the net debit cap and the cover can prevent
    the step."""

    participant_id: int
    state: State
    net: int
    balance: Balance | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The decision to accept or to refuse a requested step.

    `is_step` is True if the state changes, and False if only the reason for the state changes.
    """

    wish: Wish
    refusal: Refusal | None = None
    is_step: bool = False


def decide(wishes: Sequence[Wish], now: State, accounts: Mapping[int, Standing]) -> list[Answer]:
    """Returns a decision for each requested step, in the order of the requests.

    The state of the settlement decides which step is next. The state of the account does not decide this.
    """
    participants = {standing.participant_id for standing in accounts.values()}
    seen: set[int] = set()
    answers = []
    for wish in wishes:
        answer = _decide_one(wish, now, accounts, participants, seen)
        answers.append(answer)
        if answer.refusal is None:
            seen.add(wish.account_id)
    return answers


def _decide_one(
    wish: Wish, now: State, accounts: Mapping[int, Standing], participants: set[int], seen: set[int]
) -> Answer:
    standing = accounts.get(wish.account_id)
    if wish.participant_id not in participants:
        return Answer(wish, Refusal.NO_PARTICIPANT)
    if standing is None:
        return Answer(wish, Refusal.NO_ACCOUNT)
    if standing.participant_id != wish.participant_id:
        return Answer(wish, Refusal.NOT_ITS_OWN)
    if wish.account_id in seen:
        return Answer(wish, Refusal.TWICE)
    if wish.state == standing.state:
        return Answer(wish)
    if wish.state != NEXT.get(now) or standing.state == State.ABORTED:
        return Answer(wish, Refusal.NO_STEP)
    if wish.state == State.PS_TRANSFERS_RESERVED and standing.net < 0 and standing.balance is not None:
        # This step raises a net recipient's position by the received amount. The recipient can already have spent this
        # amount.
        after = standing.balance.position - standing.net
        above = passed(after, standing.balance.cap, standing.balance.cover)
        if above:
            return Answer(wish, Refusal.ABOVE_CAP if Bound.CAP in above else Refusal.ABOVE_COVER)
    return Answer(wish, is_step=True)
