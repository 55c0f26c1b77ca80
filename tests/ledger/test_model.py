"""`decide` against a small independent model: random commands, in groups of any size, over any limits."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.commands_and_outcomes import (
    Aborted,
    Committed,
    Expire,
    Fulfil,
    PaymentMessage,
    Prepare,
    Refused,
    Reject,
    Reserved,
)
from ledger.decide import decide
from ledger.snapshot import AccountState, ParticipantState, Snapshot
from tests.examples import examples
from tests.keys import CONDITION, FULFILMENT, OTHER_FULFILMENT

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("green", "blue", "red")
SENT = PaymentMessage(b"", {}, "1.1")


def snapshot(limits: dict[str, tuple[int, int]]) -> Snapshot:
    """A world in memory: each DFSP's account has its participant's number; limits are (cap, cover)."""
    accounts, participants = {}, {}
    for number, name in enumerate(NAMES, 1):
        ndc, cover = limits[name]
        accounts[number] = AccountState(number, number, "TZS", True, 0, 0, ndc, cover)
        participants[name] = ParticipantState(number, name, True, {"TZS": (number, True)})
    return Snapshot(START, 1, "Hub", START + timedelta(days=1), participants, accounts, {})


@dataclass
class Model:
    """What a scheme's rules say, without batches, snapshots or SQL."""

    limits: dict[str, tuple[int, int]]
    position: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    transfers: dict[str, list[Any]] = field(default_factory=dict)  # [payer, payee, amount, state, expires]

    def held(self, name: str) -> int:
        return sum(t[2] for t in self.transfers.values() if t[0] == name and t[3] == "RESERVED")

    def prepare(self, transfer_id: str, payer: str, payee: str, amount: int, expires: int, now: int) -> str | None:
        if transfer_id in self.transfers:
            return None
        room = min(self.limits[payer]) - self.position[payer] - self.held(payer)
        state = "RESERVED" if payer != payee and expires > now and amount <= room else "ABORTED"
        self.transfers[transfer_id] = [payer, payee, amount, state, expires]
        return state

    def end(self, transfer_id: str, by: str | None, kind: str, now: int) -> str | None:
        t = self.transfers.get(transfer_id)
        if t is None or t[3] != "RESERVED" or (by is not None and by != t[1]):
            return None
        is_late = t[4] <= now
        if kind == "expire" and not is_late:
            return None
        t[3] = "COMMITTED" if kind == "fulfil" and not is_late else "ABORTED"
        if t[3] == "COMMITTED":
            self.position[t[0]] += t[2]
            self.position[t[1]] -= t[2]
        return str(t[3])


ids = st.integers(0, 12).map(lambda number: f"T{number}")
names = st.sampled_from(NAMES)
commands = st.one_of(
    st.tuples(st.just("prepare"), ids, names, names, st.integers(1, 120), st.integers(-2, 30)),
    st.tuples(st.sampled_from(["fulfil", "misfit", "reject"]), ids, names),
    st.tuples(st.just("expire"), ids),
    st.tuples(st.just("time"), st.integers(1, 10)),
    st.tuples(st.just("group")),
)
limits = st.fixed_dictionaries({name: st.tuples(st.integers(0, 200), st.integers(0, 200)) for name in NAMES})


@settings(max_examples=examples(400), deadline=None)
@given(limits=limits, script=st.lists(commands, max_size=60))
def test_any_commands_in_any_groups_do_what_the_model_says(
    limits: dict[str, tuple[int, int]], script: list[tuple[Any, ...]]
) -> None:
    world, model = snapshot(limits), Model(limits)
    now = 0
    group: list[tuple[Prepare | Fulfil | Reject | Expire, str | None]] = []

    def settle() -> None:
        outcomes = decide([command for command, _ in group], world)
        for (command, expected), outcome in zip(group, outcomes, strict=True):
            moved = isinstance(outcome, Reserved | Refused | Committed | Aborted)
            assert (outcome.transfer.state.value if moved else None) == expected, command  # type: ignore[union-attr]
        group.clear()

    def part(transfer_id: str) -> None:
        # As the engine groups them: no transfer is prepared and ended in one group.
        if any(isinstance(command, Prepare) and command.transfer_id == transfer_id for command, _ in group):
            settle()

    for number, (kind, *rest) in enumerate(script):
        digest = f"{kind} {rest} {number}".encode()
        match kind:
            case "time":
                settle()
                now += rest[0]
                world.now = START + timedelta(seconds=now)
            case "group":
                settle()
            case "prepare":
                transfer_id, payer, payee, amount, life = rest
                expires = START + timedelta(seconds=now + life)
                source = NAMES.index(payer) + 1
                command = Prepare(transfer_id, source, payer, payee, "TZS", amount, CONDITION, expires, digest, SENT)
                group.append((command, model.prepare(transfer_id, payer, payee, amount, now + life, now)))
            case "expire":
                part(rest[0])
                group.append((Expire(rest[0]), model.end(rest[0], None, "expire", now)))
            case "reject":
                part(rest[0])
                reject = Reject(rest[0], NAMES.index(rest[1]) + 1, "5104", "no", digest, SENT)
                group.append((reject, model.end(rest[0], rest[1], "reject", now)))
            case _:
                part(rest[0])
                told = FULFILMENT if kind == "fulfil" else OTHER_FULFILMENT
                fulfil = Fulfil(rest[0], NAMES.index(rest[1]) + 1, None, told, None, False, digest, SENT)
                group.append((fulfil, model.end(rest[0], rest[1], kind, now)))
        for name in NAMES:
            assert model.position[name] + model.held(name) <= max(0, min(limits[name]))
    settle()

    for number, name in enumerate(NAMES, 1):
        account = world.accounts[number]
        assert account.position == account.new_debits - account.new_credits == model.position[name]
        assert account.reserved == account.new_reserved == model.held(name)
    assert sum(model.position.values()) == 0
