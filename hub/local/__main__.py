"""python -m hub.local: runs, tests, stops and removes a hub on this machine. The Makefile's targets call this command
(see `make help`)."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from hub.local import proc, server_data
from hub.local.errors import LocalError
from hub.local.stack import PROJECT, Stack
from hub.local.state import State
from hub.local.temporary_state import temporary_state

console = Console(highlight=False)


def main() -> int:
    """Parses the command line and runs the command. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hub.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start a hub and keep it running until Ctrl-C")
    run.add_argument("--demo", action="store_true", help="also start the two banks of the demo")
    run.add_argument("--life", type=float, default=0.0, help="payments per second that the demo's banks make")
    demo = commands.add_parser(
        "demo", help="make payments between two banks, close the settlement window, compare the books"
    )
    demo.add_argument("--payments", type=Path, help="another CSV of payments")
    for command in (run, demo):
        command.add_argument("--port", type=int, help="the hub's port; PORT, or 8000")
    test = commands.add_parser("test", help="run the tests with their own servers")
    test.add_argument("arguments", nargs=argparse.REMAINDER, help="for pytest")
    commands.add_parser("stop", help="stop the hub that uses STATE")
    commands.add_parser("clean", help="stop the hub and remove STATE")
    commands.add_parser("env", help="print the shell variables with which manage.py reaches the hub that uses STATE")
    for command in (*commands.choices.values(),):
        command.add_argument("--state", help="folder for all data of this hub; STATE, or .local")
    asked = parser.parse_args()
    try:
        return _do(asked)
    except LocalError as error:
        console.print(f"[red]{error.what}[/red]", markup=True)
        for line in str(error).splitlines()[len(error.what.splitlines()) :]:
            console.print(line, markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


def _do(asked: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    match asked.command:
        case "run":
            return _run(asked)
        case "demo":
            from hub.local import demo

            return demo.run(state=asked.state, port=asked.port, payments=asked.payments)
        case "test":
            return _test(asked)
        case "stop":
            return _stop(State(asked.state or os.environ.get("STATE") or ".local"))
        case "clean":
            state = State(asked.state or os.environ.get("STATE") or ".local")
            _stop(state)
            if state.path.exists():
                state.open()
                state.lock()
                state.remove()
            server_data.remove_abandoned()
            return 0
        case _:
            return _env(asked)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _tell(text: str) -> None:
    console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim] {text}")


def _run(asked: argparse.Namespace) -> int:
    stack = Stack(asked.state, asked.port, environ=environ_of_run(os.environ), tell=_tell)
    with stack:
        if asked.demo:
            from hub.local import demo

            banks = demo.bring_up(stack, tell=_tell, life=asked.life)
            demo.add_fxp(stack, tell=_tell)
            console.print(demo.introduction(banks), markup=False, soft_wrap=True)
        console.print(
            f"\n[bold]The hub runs at {stack.base_url}[/bold]\n"
            f"  API documentation   {stack.base_url}/docs/\n"
            f"  operators' portal   {stack.base_url}/portal/\n"
            f"  health, metrics     {stack.base_url}/health  {stack.base_url}/metrics\n"
            f"  logs                {stack.state.logs}\n"
            f"Ctrl-C stops it; its data stays, `{clean_command(stack.state.path)}` removes it.",
            soft_wrap=True,
        )
        console.print("\nIn a second terminal, make the portal's first two users:")
        console.print("\n".join(f"  {line}" for line in first_users(stack.base_url, stack.state.path)), soft_wrap=True)
        while True:
            time.sleep(1)
            stack.check()


def environ_of_run(given: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of a hub that `make run` starts.

    The demo's customers have Tanzanian telephone numbers. With SCHEME_COUNTRY, the portal also accepts these numbers
    without the country code.
    """
    return {"SCHEME_COUNTRY": "TZ", **given}


def clean_command(state: Path) -> str:
    """Returns the command that removes this hub's data, and not the data of another hub."""
    is_usual = state.absolute() == PROJECT / ".local"
    return "make clean" if is_usual else f"make clean STATE={shlex.quote(str(state.absolute()))}"


def first_users(base_url: str, state: Path) -> list[str]:
    """Returns the commands that create the portal's first two users. A person types these commands in another terminal,
    one after the other, in any folder and with any STATE.
    """
    program = f"{shlex.quote(sys.executable)} -m hub.local env --state {shlex.quote(str(state.absolute()))}"
    env = f'eval "$(cd {shlex.quote(str(PROJECT))} && {program})"'
    command = f"python {shlex.quote(str(PROJECT / 'manage.py'))} create_administrator"
    return [
        env,
        *(f"{command} {name} --email {name}@example.org --url {shlex.quote(base_url)}" for name in ("asha", "juma")),
    ]


def _test(asked: argparse.Namespace) -> int:
    """First runs the tests that are not live tests, in three processes.

    After these tests, runs the live tests, two files at a time.

    Three processes keep two cores busy, because tests wait for a server, a browser or the clock during a third of their
    time.

    Leaves out tests with the mark "thorough", because these tests take a long time and have their own command.
    """
    home = asked.state or os.environ.get("STATE") or ".local"
    pytest = [sys.executable, "-m", "pytest"]
    chosen = [argument for argument in asked.arguments if argument != "--"]
    with (
        temporary_state("test", home) as folder,
        Stack(folder / "hub", programs=(), throwaway=True, tell=_tell) as stack,
    ):
        # If several test processes share one PostgreSQL server, the migrations run only once.
        environment = stack.env | ({"TEST_TEMPLATE": "migrated"} if stack.postgres else {})
        if chosen:
            return subprocess.run([*pytest, *chosen], env=environment, cwd=PROJECT).returncode
        # Each process gets few tests at a time. Otherwise a single process would get all browser tests.
        shared = ["-m", "not live and not thorough", "-n", "3", "--maxschedchunk", "10", "-q", "--durations=25"]
        first = subprocess.run([*pytest, *shared], env=environment, cwd=PROJECT).returncode
        # These tests start hubs, and wait for them most of the time.
        alone = ["-m", "live and not thorough", "-n", "2", "--dist", "loadfile", "-v", "--durations=25"]
        live = subprocess.run([*pytest, *alone, *_files_of_live_tests()], env=environment, cwd=PROJECT).returncode
        return first or (0 if live == 5 else live)  # pytest exits with status 5 if no test has this mark


def _files_of_live_tests() -> list[str]:
    """Returns the test files that use the pytest mark `live`. Without this function, pytest would load all test files.
    Loading all files takes longer than some live tests."""
    files = sorted((PROJECT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(PROJECT)) for file in files if "pytest.mark.live" in file.read_text()]


def _stop(state: State) -> int:
    owner = state.owner()
    if not state.is_locked() or owner is None:
        _tell(f"No hub uses {state.path}.")
        return 0
    proc.send(owner, signal.SIGTERM)
    if not proc.wait_for(lambda: not state.is_locked(), 60):
        raise LocalError(
            f"Process {owner} did not stop.",
            where=state.path,
            do=f"kill -9 {owner}: its watchdog then ends the hub's other processes.",
        )
    _tell(f"The hub of {state.path} has stopped.")
    return 0


def _env(asked: argparse.Namespace) -> int:
    stack = Stack(asked.state)
    for name in ("DATABASE_URL", "REDIS_URL"):
        print(f"export {name}={shlex.quote(stack.env[name])}")
    # The commands in the documentation are `python manage.py ...`. With this PATH, these commands use the Python that
    # has Django.
    print(f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
