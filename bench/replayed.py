"""Measures the time and the memory of a replay of rules over stored payments."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from bench import generated_rules
from bench.hubs import PROJECT
from bench.seed_busy_day import BUSY

RULES = 200
WITHIN_S_FOR_A_MILLION = 60.0


def run(state: str, payments: int, rules: int, console: Console) -> int:
    """Fills a database, runs the replay, and prints the figures.

    Returns 1 if, at the measured speed, a replay of a million payments would exceed the permitted time.
    """
    from hub.local.stack import Stack

    with Stack(state, programs=()) as stack:
        stack.manage("migrate", "--noinput")
        env = {**stack.env, "DJANGO_SETTINGS_MODULE": "hub.settings", "LOG_LEVEL": "ERROR"}
        command = [sys.executable, "-m", "bench.seed_history", str(payments)]
        subprocess.run(command, cwd=PROJECT, env=env, check=True)
        path = Path(f"{state}-rules.json")
        path.write_text(json.dumps(generated_rules.document(rules, [f"busy-{number:02}" for number in range(BUSY)])))
        began = time.monotonic()
        command = [sys.executable, "manage.py", "rules", "replay", str(path), "--json"]
        done = subprocess.run(command, cwd=PROJECT, env=env, stdout=subprocess.PIPE, text=True, check=True)
        took = time.monotonic() - began
    found = json.loads(done.stdout)
    # The memory of the largest child process that has ended. This child process is the replay, because a replay needs
    # more memory than the process that fills the database.
    memory_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    judged = sum(found["judged"].values())
    console.print(
        f"replay: {payments} payments, {judged} verdicts by {rules} rules, {found['hits']} hits, {took:.1f} s,"
        f" {took / payments * 1e6:.0f} us per payment, {memory_mb:.0f} MB",
        highlight=False,
    )
    return 0 if took <= max(5.0, WITHIN_S_FOR_A_MILLION * payments / 1_000_000) else 1
