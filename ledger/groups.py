"""Which of the commands that wait are the next group: no more octets than one transaction should hold, and a fair share
of it for each sender. Pure."""

import heapq
from collections import defaultdict, deque
from concurrent.futures import Future
from dataclasses import dataclass

from ledger.fx.messages import FxCommand, FxExpire, FxOutcome, FxPrepare
from ledger.messages import Command, Expire, Outcome, Prepare

_COST = 1024  # octets: what a command costs beside those of its message
_OF_THE_HUB = (Expire, FxExpire)
_BEGINS = (Prepare, FxPrepare)


@dataclass(slots=True, eq=False)
class Waiting:
    """A command, and where the outcome is waited for."""

    command: Command | FxCommand
    outcome: "Future[Outcome | FxOutcome]"


def take(waiting: list[Waiting], *, most: int, most_octets: int) -> list[Waiting]:
    """The next group, in the order in which it is decided, taken off the list."""
    group = _in_order(_fair_share(waiting, most, most_octets))
    taken = {id(item) for item in group}
    waiting[:] = [item for item in waiting if id(item) not in taken]
    return group


def _fair_share(waiting: list[Waiting], most: int, most_octets: int) -> list[Waiting]:
    """As many as fit. The sender who has had least is next, with its oldest: whoever sends much, or much at once, keeps
    nobody else out. The oldest of all is always there."""
    sizes = [_octets_of(item.command) for item in waiting]
    if len(waiting) <= most and sum(sizes) <= most_octets:
        return waiting
    by_sender: dict[int, deque[int]] = defaultdict(deque)
    for position, item in enumerate(waiting):
        by_sender[_sender_of(item.command)].append(position)
    turns = [(0, positions.popleft(), positions) for positions in by_sender.values()]
    heapq.heapify(turns)  # by what was had, and then by age: no two have one position
    chosen: list[int] = []
    room = most_octets
    while turns and len(chosen) < most:
        had, position, positions = heapq.heappop(turns)
        if chosen and sizes[position] > room:
            continue  # and nothing that this sender sent after it
        room -= sizes[position]
        chosen.append(position)
        if positions:
            heapq.heappush(turns, (had + _COST + sizes[position], positions.popleft(), positions))
    return [waiting[position] for position in sorted(chosen)]


def _in_order(chosen: list[Waiting]) -> list[Waiting]:
    """Without those that may need what another of the group brings into being: `load` locks what is there already.

    What ends something needs nothing that is not there yet: nobody can have been asked about it. So it comes first, and
    waits for no prepare of the same id, whoever sends that, and however often.
    """
    ends = [item for item in chosen if not isinstance(item.command, _BEGINS)]
    begins: list[Waiting] = []
    prepared: set[str] = set()
    converted: set[str] = set()  # new conversions, and the transfers that they wait for
    for item in chosen:
        match item.command:
            case Prepare(transfer_id=id) if id not in converted:
                prepared.add(id)
                begins.append(item)
            case FxPrepare(commit_request_id=own_id, determining_transfer_id=id) if id not in prepared:
                converted |= {own_id, id}
                begins.append(item)
    return ends + begins


def _sender_of(command: Command | FxCommand) -> int:
    return 0 if isinstance(command, _OF_THE_HUB) else command.source_id  # 0: the hub itself


def _octets_of(command: Command | FxCommand) -> int:
    return 0 if isinstance(command, _OF_THE_HUB) else len(command.message.body)
