"""A run in words: tables for the reader, JSON for the next comparison, and one last line for both."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.hubs import PROJECT
from bench.measure import HOPS, grouped, percentile
from bench.run import Plan, Result

RESULTS = PROJECT / "bench" / "results"


def summary(plan: Plan, result: Result, ledger_ok: bool | None) -> dict[str, Any]:
    """All figures of a run, ready for JSON."""
    outcome = result.outcome
    completed = outcome.completed_while_measured
    cpu = grouped(result.cpu.items())
    return {
        "plan": asdict(plan),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()},
        "revision": _revision(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "transfers_per_s": round(completed / plan.seconds, 1),
        "sent": outcome.sent,
        "accepted": outcome.accepted,
        "completed": outcome.completed,
        "lost": outcome.lost,
        "refused": dict(outcome.refused),
        "failed": dict(outcome.failed),
        "delivered_more_than_once": result.repeats,
        "fulfils_sent_again": result.retries,
        "measurement_late_s": round(result.late_s, 3),
        "hops_ms": {hop: _figures(outcome.hops[hop]) for hop in HOPS},
        "cpu_s": {name: round(used, 2) for name, used in cpu.items()},
        "cpu_ms_per_transfer": {name: round(used / completed * 1000, 2) for name, used in cpu.items()}
        if completed
        else {},
        "machine_cpu_s": round(result.machine_cpu_s, 2),
        "ledger_ok": ledger_ok,
    }


def verdict(figures: Mapping[str, Any]) -> list[str]:
    """Why the run failed; empty if it did not. A hub that says 503 is busy, which an overload run may want to see."""
    faults = []
    if figures["lost"]:
        faults.append(f"{figures['lost']} transfers lost")
    if figures["failed"]:
        faults.append(f"transfers failed: {figures['failed']}")
    if others := {status: count for status, count in figures["refused"].items() if status != "HTTP 503"}:
        faults.append(f"requests refused: {others}")
    if figures["ledger_ok"] is False:
        faults.append("the ledger check failed")
    if not figures["completed"]:
        faults.append("no transfer completed")
    return faults


def last_line(figures: Mapping[str, Any]) -> str:
    """The line that scripts read."""
    ledger = {True: "ok", False: "BROKEN", None: "not checked"}[figures["ledger_ok"]]
    whole = figures["hops_ms"]["whole transfer"]["p99"]
    return f"bench: {figures['transfers_per_s']} transfers/s, p99 {whole} ms, lost {figures['lost']}, ledger {ledger}"


def write(figures: Mapping[str, Any]) -> Path:
    """Keeps the figures in bench/results."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{figures['at'].replace(':', '').replace('+0000', 'Z')}-{figures['plan']['rate']:g}.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    return path


def show(figures: Mapping[str, Any], console: Console) -> None:
    """Prints the tables."""
    hops = Table("hop", "p50 ms", "p99 ms", "max ms", "of", title="Time")
    for hop, times in figures["hops_ms"].items():
        hops.add_row(
            hop, *(str(times[name]) if times["count"] else "-" for name in ("p50", "p99", "max")), str(times["count"])
        )
    cpu = Table("process", "CPU s", "ms per transfer", title="CPU while measured")
    for name, used in figures["cpu_s"].items():
        cpu.add_row(name, str(used), str(figures["cpu_ms_per_transfer"].get(name, "-")))
    total = sum(figures["cpu_s"].values())
    cpu.add_section()
    cpu.add_row("all", f"{total:.2f}", f"{sum(figures['cpu_ms_per_transfer'].values()):.2f}")
    # What others on the machine take is missing from the run, and is not seen anywhere else.
    cpu.add_row("others on this machine", f"{max(0.0, figures['machine_cpu_s'] - total):.2f}", "")
    console.print(hops, cpu)
    for name in (
        "sent",
        "accepted",
        "completed",
        "refused",
        "failed",
        "delivered_more_than_once",
        "fulfils_sent_again",
    ):
        if figures[name]:
            console.print(f"{name.replace('_', ' ')}: {figures[name]}", highlight=False)


def _figures(seconds: list[float]) -> dict[str, float]:
    found = {"p50": percentile(seconds, 50), "p99": percentile(seconds, 99), "max": percentile(seconds, 100)}
    return {name: round(value * 1000, 1) for name, value in found.items()} | {"count": len(seconds)}


def _revision() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()
