"""The figures of a run: the time of each hop, the lost transfers, and the CPU seconds of each process."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

TRANSFER_HOPS = ("POST accepted", "prepare at payee", "PUT accepted", "callback at payer")
PAYMENT_HOPS = ("GET accepted", "lookup", "terms", "transfer")
WHOLE = "whole"
GOAL_S, GOAL_SHARE = 1.0, 0.99  # GOAL_SHARE of the payments must be done within GOAL_S


def percentile(values: Sequence[float], percent: float) -> float:
    """Returns the nearest-rank percentile: at least `percent` % of the values are not greater than the result.

    Returns 0 if there are no values.
    """
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass
class Outcome:
    """The numbers that a run has counted. For the transfers that were due during the measurement, `hops` has the
    duration of each hop in seconds."""

    sent: int = 0
    accepted: int = 0
    completed: int = 0
    completed_while_measured: int = 0
    lost: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)  # payments that the hub refused at every attempt
    hops: dict[str, list[float]] = field(default_factory=dict)


def join(
    sent: Mapping[str, Sequence[Any]], notes: Collection[Mapping[str, Any]], *, since: float, until: float
) -> Outcome:
    """Combines the records of the load generator with the records of the DFSPs.

    Measures the transfers (or payments) that were due from `since` to `until`.

    A transfer is lost if its status is 202 or unknown, and the payer never received the outcome. A payment is not lost
    if the hub refused every attempt to send the payment's quote or transfer.
    """
    names = ("prepares", "ends", "found", "quoted", "given_up")
    prepares, ends, found, quoted, given_up = (_all(notes, what) for what in names)
    is_payments = bool(found)
    outcome = Outcome(sent=len(sent))
    outcome.hops = {hop: [] for hop in (*(PAYMENT_HOPS if is_payments else TRANSFER_HOPS), WHOLE)}
    for key, (due, answered, status) in sent.items():
        ended, said = ends.get(key, (0.0, ""))
        if said == "COMMITTED":
            outcome.completed += 1
            outcome.completed_while_measured += since <= ended < until
        elif said:
            outcome.failed[said] += 1
        elif key in given_up:
            outcome.given_up[given_up[key]] += 1
        if status not in (0, 202):
            outcome.refused[f"HTTP {status}"] += 1
        elif not said and key not in given_up:
            outcome.lost += 1
        outcome.accepted += status == 202
        if status == 202 and said == "COMMITTED" and since <= due < until:
            outcome.hops[WHOLE].append(ended - due)
            if is_payments:
                named, offered = found[key], quoted[key]
                _add(outcome.hops, PAYMENT_HOPS, (due, due, named, offered), (answered, named, offered, ended))
            elif key in prepares:
                came, taken, _ = prepares[key]
                taken = taken or ended  # the DFSP was stopped before it received the response
                _add(outcome.hops, TRANSFER_HOPS, (due, answered, came, taken), (answered, came, taken, ended))
    return outcome


def recovery(sent: Mapping[str, Sequence[Any]], notes: Collection[Mapping[str, Any]], since: float) -> float | None:
    """Returns the whole seconds from `since` until the hub's recovery. Returns None if the hub has not recovered.

    A hub has recovered when it commits nearly all transfers of each second within `GOAL_S`. If the hub commits too few
    transfers of the last second within this time, the hub has not recovered.
    """
    ends = _all(notes, "ends")
    due_in: Counter[int] = Counter()
    served_in: Counter[int] = Counter()
    for key, (due, *_) in sent.items():
        if due >= since:
            ended, said = ends.get(key, (0.0, ""))
            second = int(due - since)
            due_in[second] += 1
            served_in[second] += said == "COMMITTED" and ended - due <= GOAL_S
    unserved = [second for second, count in due_in.items() if served_in[second] < count * GOAL_SHARE]
    if not unserved:
        return 0.0
    return max(unserved) + 1.0 if max(unserved) < max(due_in) else None


def _all(notes: Collection[Mapping[str, Any]], what: str) -> dict[str, Any]:
    return {key: value for note in notes for key, value in note[what].items()}


def _add(hops: dict[str, list[float]], names: Sequence[str], starts: Sequence[float], ends: Sequence[float]) -> None:
    for name, start, end in zip(names, starts, ends, strict=True):
        # The hub notifies the payee DFSP after the commit. This process can receive the notification before it reads
        # the response.
        hops[name].append(max(0.0, end - start))


def cpu_seconds(pid: int) -> float:
    """Returns the CPU seconds of a process and all its running descendants. The result includes the seconds of children
    of these processes that have already ended."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for process in family:
        try:
            total += sum(process.cpu_times()[:4])  # user and system time, of the process and of its ended children
        except psutil.NoSuchProcess:
            continue
    return total


def cpu_by_process(pids: Mapping[str, int]) -> dict[str, float]:
    """For each process name, returns the CPU seconds that the process has used until now."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def machine_cpu_seconds() -> float:
    """Returns the CPU seconds of the whole machine until now, for all users."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def grouped(seconds: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Adds up the values whose names have the same first word, such as 'sink bench1' and 'sink bench2'."""
    sums: dict[str, float] = {}
    for name, used in seconds:
        group = name.split(" ")[0]
        sums[group] = sums.get(group, 0.0) + used
    return sums
