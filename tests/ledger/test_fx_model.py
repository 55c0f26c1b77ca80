"""Random commands about transfers and conversions: what must hold for states and accounts after any of them.

The test computes each account's expected amounts from the sent messages and the resulting states.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.commands_and_outcomes import Expire, Fulfil, PaymentMessage, Prepare, Reject
from ledger.decide import decide
from ledger.fx.commands_and_outcomes import FxExpire, FxFulfil, FxPrepare, FxReject
from ledger.fx.snapshot import ConversionState, Side
from ledger.fx.states import FX_TERMINAL, LIVE, FxState
from ledger.snapshot import AccountState, ParticipantState, Snapshot, TransferState
from ledger.states import TERMINAL, State
from tests.examples import examples
from tests.keys import CONDITION, FULFILMENT, OTHER_FULFILMENT

START = datetime(2026, 1, 1, tzinfo=UTC)
WAIT = timedelta(seconds=10)
SENT = PaymentMessage(b"", {}, "2.0")
NAMES = ("green", "blue", "fxp", "other")
ACCOUNTS = [(name, currency) for name in NAMES for currency in ("TZS", "KES") if (name, currency) != ("green", "KES")]
LIMIT = 150


def snapshot() -> Snapshot:
    """green has an account in TZS, the others in TZS and KES; each may go to the same limit."""
    accounts, participants = {}, {}
    for number, name in enumerate(NAMES, 1):
        participants[name] = ParticipantState(number, name, True)
    for number, (name, currency) in enumerate(ACCOUNTS, 1):
        participant = participants[name]
        accounts[number] = AccountState(number, participant.id, currency, True, 0, 0, LIMIT, LIMIT)
        participant.accounts[currency] = (number, True)
    latest = START + timedelta(days=1)
    return Snapshot(START, 1, "Hub", latest, participants, accounts, {}, fx_wait=WAIT)


transfer_ids = st.integers(0, 5).map(lambda number: f"T{number}")
conversion_ids = st.integers(0, 11).map(lambda number: f"C{number}")
small = st.sampled_from([10, 20, 100])
lives = st.integers(1, 30)
answers = st.sampled_from([FULFILMENT, OTHER_FULFILMENT])
# Anything at all ...
commands = st.one_of(
    st.tuples(
        st.just("convert"),
        conversion_ids,
        transfer_ids,
        st.sampled_from(["green", "blue"]),
        st.sampled_from(["fxp", "other"]),
        small,
        small,
        lives,
    ),
    st.tuples(st.just("agree"), conversion_ids, st.sampled_from(["fxp", "other", "blue"]), answers),
    st.tuples(st.just("decline"), conversion_ids, st.sampled_from(["fxp", "other", "green"])),
    st.tuples(st.just("release"), conversion_ids),
    st.tuples(st.just("pay"), transfer_ids, st.sampled_from(["TZS", "KES"]), small, lives),
    st.tuples(st.just("fulfil"), transfer_ids, st.sampled_from(["blue", "fxp"]), answers),
    st.tuples(st.just("reject"), transfer_ids, st.sampled_from(["blue", "other"])),
    st.tuples(st.just("expire"), transfer_ids),
    st.tuples(st.just("time"), st.integers(1, 8)),
)


def payment(number: int, side: Side, life: int, end: str) -> list[tuple[Any, ...]]:
    """... among the steps of payments that could succeed, of which any may be left out or come late."""
    transfer_id, conversion_id = f"T{number}", f"C{number}"
    initiator = "green" if side is Side.PAYER else "blue"
    convert = ("convert", conversion_id, transfer_id, initiator, "fxp", 10, 20, life)
    pay = ("pay", transfer_id, "KES", 20, life) if side is Side.PAYER else ("pay", transfer_id, "TZS", 10, life)
    agree = ("agree", conversion_id, "fxp", FULFILMENT)
    begun = [convert, agree, pay] if side is Side.PAYER else [pay, convert, agree]
    return [*begun, ("reject", transfer_id, "blue") if end == "reject" else ("fulfil", transfer_id, "blue", FULFILMENT)]


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    payments = [
        payment(number, draw(st.sampled_from(list(Side))), draw(lives), draw(st.sampled_from(["fulfil", "reject"])))
        for number in range(draw(st.integers(0, 5)))
    ]
    script: list[tuple[Any, ...]] = []
    while any(payments):
        steps = draw(st.sampled_from([steps for steps in payments if steps]))
        script.append(steps.pop(0))
        if draw(st.integers(0, 5)) == 0:
            script.append(draw(commands))
    return script + draw(st.lists(commands, max_size=10))


def command_of(number: int, kind: str, rest: list[Any], now: datetime) -> Any:
    digest = f"{kind} {rest} {number}".encode()
    match kind:
        case "convert":
            id, determining, initiator, fxp, source, target, life = rest
            source_id, ends = NAMES.index(initiator) + 1, now + timedelta(seconds=life)
            return FxPrepare(
                id, determining, source_id, initiator, fxp, "TZS", source, "KES", target, CONDITION, ends, digest, SENT
            )
        case "agree":
            return FxFulfil(rest[0], NAMES.index(rest[1]) + 1, None, rest[2], True, digest, SENT)
        case "decline":
            return FxReject(rest[0], NAMES.index(rest[1]) + 1, "5103", "no", digest, SENT)
        case "release":
            return FxExpire(rest[0])
        case "pay":
            id, currency, amount, life = rest
            ends = now + timedelta(seconds=life)
            return Prepare(id, 1, "green", "blue", currency, amount, CONDITION, ends, digest, SENT)
        case "fulfil":
            return Fulfil(rest[0], NAMES.index(rest[1]) + 1, None, rest[2], None, False, digest, SENT)
        case "reject":
            return Reject(rest[0], NAMES.index(rest[1]) + 1, "5104", "no", digest, SENT)
    return Expire(rest[0])


def conversions_of(t: TransferState, s: Snapshot) -> dict[Side, ConversionState]:
    """Those that are not aborted, by who converts."""
    ids = (t.payer_conversion_id, t.payee_conversion_id)
    found = [s.conversions[id] for id in ids if id is not None]
    return {c.side: c for c in found if c.state is not FxState.ABORTED}


def expected(s: Snapshot) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """(what each account has posted, what it holds reserved), as the states say."""
    posted: Counter[tuple[str, str]] = Counter()
    held: Counter[tuple[str, str]] = Counter()

    def move(debtor: str, creditor: str, currency: str, amount: int, *, is_committed: bool) -> None:
        if is_committed:
            posted[debtor, currency] += amount
            posted[creditor, currency] -= amount
        else:
            held[debtor, currency] += amount

    for t in s.transfers.values():
        if t.state is not State.ABORTED:
            sides = conversions_of(t, s)
            debtor = sides[Side.PAYER].fxp if Side.PAYER in sides else t.payer
            creditor = sides[Side.PAYEE].fxp if Side.PAYEE in sides else t.payee
            move(debtor, creditor, t.currency, t.amount, is_committed=t.state is State.COMMITTED)
    for c in s.conversions.values():
        if c.state is not FxState.ABORTED:
            pair = (c.initiator, c.fxp) if c.side is Side.PAYER else (c.fxp, c.initiator)
            move(*pair, *c.leg, is_committed=c.state is FxState.COMMITTED)
    return posted, held


@settings(max_examples=examples(500), deadline=None)
@given(script=scripts())
def test_whatever_comes_both_legs_commit_or_neither_and_each_currency_sums_to_zero(
    script: list[tuple[Any, ...]],
) -> None:
    s = snapshot()
    ended: dict[str, str] = {}
    for number, (kind, *rest) in enumerate(script):
        if kind == "time":
            s.now += timedelta(seconds=rest[0])
            continue
        decide([command_of(number, kind, rest, s.now)], s)

        posted, held = expected(s)
        for id, place in enumerate(ACCOUNTS, 1):
            account = s.accounts[id]
            assert account.position == account.new_debits - account.new_credits == posted[place], place
            assert account.reserved == account.new_reserved == held[place], place
            assert account.position + account.reserved <= LIMIT, place
        for currency in ("TZS", "KES"):
            assert sum(account.position for account in s.accounts.values() if account.currency == currency) == 0
        for t in s.transfers.values():
            sides = conversions_of(t, s)
            if t.state is State.COMMITTED:
                assert all(c.state is FxState.COMMITTED for c in sides.values())
            if t.state is State.ABORTED:
                assert not sides
            for c in sides.values():
                assert (t.currency, t.amount) == c.bridge
        for c in s.conversions.values():
            if c.state is FxState.COMMITTED:
                assert c in conversions_of(s.transfers[c.determining_transfer_id], s).values()
            if c.state in LIVE:
                assert c.completed_at is None
        ends = {id: t.state.value for id, t in s.transfers.items() if t.state in TERMINAL}
        ends |= {id: c.state.value for id, c in s.conversions.items() if c.state in FX_TERMINAL}
        assert ended.items() <= ends.items()  # an end is never left
        ended = ends
    committed = [id for id, state in ended.items() if state == "COMMITTED"]
    assert Counter(posting.transfer_id for posting in s.postings) == Counter(committed)


@pytest.mark.slow
def test_the_scripts_reach_every_end_of_both_kinds_of_conversion() -> None:
    """Or the test above would be idle."""
    seen: Counter[tuple[Side, str, str | None]] = Counter()

    @settings(max_examples=300, deadline=None, database=None)
    @given(script=scripts())
    def walk(script: list[tuple[Any, ...]]) -> None:
        s = snapshot()
        for number, (kind, *rest) in enumerate(script):
            if kind == "time":
                s.now += timedelta(seconds=rest[0])
            else:
                decide([command_of(number, kind, rest, s.now)], s)
        seen.update((c.side, c.state.value, c.reason) for c in s.conversions.values())

    walk()
    for side in Side:
        assert seen[side, "COMMITTED", None] > 20
        assert seen[side, "ABORTED", "TRANSFER_WAS_ABORTED"] > 20
