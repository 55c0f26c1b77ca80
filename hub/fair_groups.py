"""Chooses which waiting commands form the next group. Pure.

The number of bytes in a group is limited, and each sender gets a fair share of these bytes.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C")
R = TypeVar("R")

_COST = 1024  # these bytes are added to the size of each message


@dataclass(slots=True, eq=False)
class Waiting(Generic[C, R]):
    """A command, and the future that receives the command's outcome."""

    command: C
    outcome: "Future[R]"


def fair_share(
    waiting: list[Waiting[C, R]],
    *,
    most: int,
    most_octets: int,
    sender_of: Callable[[C], int],
    octets_of: Callable[[C], int],
) -> list[Waiting[C, R]]:
    """Chooses as many commands as fit into a group, and returns them in the order of their arrival.

    At each step, the function takes the sender with the fewest bytes in the group, and adds this sender's oldest
    command. So a sender of many or large messages does not delay other senders. The group always contains the oldest
    command of all.
    """
    sizes = [octets_of(item.command) for item in waiting]
    if len(waiting) <= most and sum(sizes) <= most_octets:
        return waiting
    by_sender: dict[int, deque[int]] = defaultdict(deque)
    for position, item in enumerate(waiting):
        by_sender[sender_of(item.command)].append(position)
    turns = [(0, positions.popleft(), positions) for positions in by_sender.values()]
    # the order of turns: by the sender's bytes in the group, then by the position in `waiting`; no two turns are equal
    heapq.heapify(turns)
    chosen: list[int] = []
    room = most_octets
    while turns and len(chosen) < most:
        had, position, positions = heapq.heappop(turns)
        if chosen and sizes[position] > room:
            continue  # all later commands of this sender also wait for a later group
        room -= sizes[position]
        chosen.append(position)
        if positions:
            heapq.heappush(turns, (had + _COST + sizes[position], positions.popleft(), positions))
    return [waiting[position] for position in sorted(chosen)]


def without(waiting: list[Waiting[C, R]], group: list[Waiting[C, R]]) -> list[Waiting[C, R]]:
    """Returns the waiting commands that are not in this group."""
    taken = {id(item) for item in group}
    return [item for item in waiting if id(item) not in taken]
