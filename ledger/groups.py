"""Chooses the next group of waiting commands. Pure.

A group holds no more bytes than one transaction should hold, and gives each sender a fair share.
"""

import heapq
from collections import defaultdict, deque
from concurrent.futures import Future
from dataclasses import dataclass

from ledger.commands_and_outcomes import Command, Expire, Outcome, Prepare
from ledger.fx.commands_and_outcomes import FxCommand, FxExpire, FxOutcome, FxPrepare

_COST = 1024  # bytes that a command costs in addition to its message
_OF_THE_HUB = (Expire, FxExpire)
_BEGINS = (Prepare, FxPrepare)


@dataclass(slots=True, eq=False)
class Waiting:
    """A command, and the future that will hold its outcome."""

    command: Command | FxCommand
    outcome: "Future[Outcome | FxOutcome]"


def take(waiting: list[Waiting], *, most: int, most_octets: int) -> list[Waiting]:
    """Takes the next group off the list. Returns it in the order in which it is decided."""
    group = _in_order(_fair_share(waiting, most, most_octets))
    taken = {id(item) for item in group}
    waiting[:] = [item for item in waiting if id(item) not in taken]
    return group


def _fair_share(waiting: list[Waiting], most: int, most_octets: int) -> list[Waiting]:
    """Returns as many commands as fit.

    The next command is always the oldest one of the sender that has had the least room. So a sender of many or of large
    messages keeps no other sender out. The oldest command of all is always included.
    """
    sizes = [_octets_of(item.command) for item in waiting]
    if len(waiting) <= most and sum(sizes) <= most_octets:
        return waiting
    by_sender: dict[int, deque[int]] = defaultdict(deque)
    for position, item in enumerate(waiting):
        by_sender[_sender_of(item.command)].append(position)
    turns = [(0, positions.popleft(), positions) for positions in by_sender.values()]
    heapq.heapify(turns)  # by the room that the sender has had, then by age; no two have the same position
    chosen: list[int] = []
    room = most_octets
    while turns and len(chosen) < most:
        had, position, positions = heapq.heappop(turns)
        if chosen and sizes[position] > room:
            continue  # and skip all later commands of this sender
        room -= sizes[position]
        chosen.append(position)
        if positions:
            heapq.heappush(turns, (had + _COST + sizes[position], positions.popleft(), positions))
    return [waiting[position] for position in sorted(chosen)]


def _in_order(chosen: list[Waiting]) -> list[Waiting]:
    """Returns the group in order, without commands that may depend on a prepare of the same group.

    `load` locks stored rows only, so such a command waits for the next group.

    A command that ends a transfer never depends on a prepare of its own group: nobody has received that prepare yet.
    Such commands therefore come first. They never wait for a prepare with the same id.
    """
    ends = [item for item in chosen if not isinstance(item.command, _BEGINS)]
    begins: list[Waiting] = []
    prepared: set[str] = set()
    converted: set[str] = set()  # new conversions, and their determining transfers
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
