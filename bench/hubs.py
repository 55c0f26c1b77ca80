"""The hub that gets the load: a hub that the bench starts for the run, or a hub that already runs."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bench.seed_busy_day import Crowd
from bench.signing import make_key

PROJECT = Path(__file__).resolve().parent.parent
COUNTED = {"shared_preload_libraries": "pg_stat_statements", "track_io_timing": "off"}


class Hub(Protocol):
    """The interface to the hub of a run: the hub's addresses, processes, transfers, rules and invariants."""

    url: str
    database_url: str | None

    def pids(self) -> dict[str, int]:
        """Returns the name and the id of each process that can be watched."""
        ...

    def committed(self, participants: Collection[str]) -> list[dict[str, Any]] | None:
        """Returns the committed transfers between these participants, or None if the hub's transfers cannot be read."""
        ...

    def use_rules(self, document: Mapping[str, Any]) -> None:
        """Makes the given rules the active rules."""
        ...

    def check_ledger(self) -> tuple[bool | None, str]:
        """Returns whether all invariants of the ledger are true (None if not checked). Also returns the output of the
        command that checks the invariants."""
        ...


@dataclass
class GivenHub:
    """A running hub that the bench did not start."""

    url: str
    watched: dict[str, int]
    database_url: str | None

    def pids(self) -> dict[str, int]:
        """Returns the processes that the caller named."""
        return self.watched

    def committed(self, participants: Collection[str]) -> list[dict[str, Any]] | None:
        """Uses this repository's code to read the transfers in the given database."""
        return None if self.database_url is None else _last_json(self._manage(*_committed(participants))[1])

    def use_rules(self, document: Mapping[str, Any]) -> None:
        """Uses this repository's code to store and activate the rules."""
        use_rules(document, lambda *arguments: self._manage(*arguments)[1])

    def check_ledger(self) -> tuple[bool | None, str]:
        """Uses this repository's code to check the invariants of the given database."""
        if self.database_url is None:
            return None, "the ledger was not checked: give --database-url"
        return self._manage("check_ledger")

    def _manage(self, *arguments: str) -> tuple[bool, str]:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=os.environ | {"DATABASE_URL": self.database_url or ""},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode == 0, done.stdout + done.stderr


def _committed(participants: Collection[str]) -> list[str]:
    return ["committed_transfers", "--json", "--between", *participants]


def use_rules(document: Mapping[str, Any], manage: Callable[..., str]) -> None:
    """Stores and activates rules with the command `manage.py rules`."""
    with tempfile.TemporaryDirectory(prefix="bench-rules-") as folder:
        path = Path(folder) / "rules.json"
        path.write_text(json.dumps(document))
        said = manage("rules", "import", str(path))
    found = re.search(r"^version (\d+):", said, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"the rules were not stored: {said}")
    said = manage("rules", "activate", found[1])
    if "active from" not in said:
        raise RuntimeError(f"the rules are not active: {said}")


def _last_json(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text.strip().splitlines()[-1])
    return found


@contextmanager
def own_hub(
    state: str,
    port: int | None,
    *,
    signed: bool = False,
    settings: Mapping[str, str] | None = None,
    stored: Crowd | None = None,
) -> Iterator[Hub]:
    """Starts a hub with its own database and broker, and stops this hub at the end of the run. All files of the hub are
    in one folder.

    With `signed`, the hub checks every signature and signs its own messages. Without `signed`, the hub checks no
    signatures and signs no messages. The values in `settings` override the environment. `stored` is the data that the
    database contains before the hub's processes start.
    """
    from hub.local import net
    from hub.local.errors import LocalError
    from hub.local.stack import Stack

    @dataclass
    class OwnHub:
        stack: Stack
        url: str
        database_url: str | None

        def pids(self) -> dict[str, int]:
            found = {name: self.stack.pid(name) for name in ("postgres", "valkey", "web", "worker", "beat")}
            return {name: pid for name, pid in found.items() if pid is not None}

        def committed(self, participants: Collection[str]) -> list[dict[str, Any]] | None:
            return _last_json(self.stack.manage(*_committed(participants)))

        def use_rules(self, document: Mapping[str, Any]) -> None:
            use_rules(document, self.stack.manage)

        def check_ledger(self) -> tuple[bool | None, str]:
            self.stack.check()
            try:
                return True, self.stack.manage("check_ledger")
            except LocalError as error:
                return False, str(error)

    tell = partial(print, "  ", sep="", flush=True)
    environ = dict(os.environ) | {"SIGNATURES": "required" if signed else "ignored"} | dict(settings or {})
    if signed:
        key = Path(f"{state}-key.pem")  # beside the state folder, which must contain only the hub's own files
        key.parent.mkdir(parents=True, exist_ok=True)
        make_key(key)
        environ["HUB_SIGNING_KEY_FILE"] = str(key)
    port = port or net.free_port()
    if stored:
        with Stack(state, port, programs=(), environ=environ, tell=tell) as stack:
            stack.manage("migrate", "--noinput")
            tell(_fill(stack.env, stored))
    with Stack(state, port, postgres_settings=COUNTED, environ=environ, tell=tell) as stack:
        yield OwnHub(stack, stack.base_url, stack.env["DATABASE_URL"])


def _fill(env: Mapping[str, str], stored: Crowd) -> str:
    command = [sys.executable, "-m", "bench.seed_busy_day", str(stored.transfers), str(stored.hours)]
    done = subprocess.run(
        command + ["--payments"] * stored.are_payments,
        cwd=PROJECT,
        env={**env, "DJANGO_SETTINGS_MODULE": "hub.settings", "LOG_LEVEL": "ERROR"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]
