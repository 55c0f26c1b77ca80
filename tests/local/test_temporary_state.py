"""The folder of a measurement's or a test's hubs leaves nothing behind, even if the run is killed."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from hub.local import proc, server_data
from hub.local.stack import PROJECT
from hub.local.state import State
from hub.local.temporary_state import discard, temporary_state
from tests.local.closed_states import process, with_data

_RUN = """
import sys
from pathlib import Path
from hub.local import server_data
from hub.local.temporary_state import temporary_state
from tests.local.closed_states import with_data
server_data.VAR_TMP = Path(sys.argv[1])
with temporary_state("story", sys.argv[2]) as folder:
    print(with_data(folder / "pair" / "hub")[1], flush=True)
    sys.stdin.read()
"""


@contextmanager
def run(var_tmp: Path, home: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """A run with one hub, which lasts until its input is closed. Yields the run, and the folder of its data."""
    command = [sys.executable, "-c", _RUN, str(var_tmp), str(home)]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield running, Path(running.stdout.readline().strip())
        finally:
            running.kill()


def folders_in(home: Path) -> list[Path]:
    return sorted(home.glob("kitovu-story-*"))


@pytest.fixture
def home(tmp_path: Path, var_tmp: Path) -> Path:
    return tmp_path / "home"


def test_nothing_is_left_at_the_end(home: Path) -> None:
    with temporary_state("story", home) as folder:
        state, data = with_data(folder / "hub")
        (folder / "hub-key.pem").write_text("beside STATE")
        state.unlock()
    assert not data.exists()
    assert list(home.iterdir()) == []


def test_nothing_is_left_of_a_run_that_fails(home: Path) -> None:
    folders = []

    def fail() -> None:
        with temporary_state("story", home) as folder:
            state, data = with_data(folder / "hub")
            folders.extend([folder, data])
            state.unlock()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [folder for folder in folders if folder.exists()] == []


def test_the_servers_user_can_enter_the_folder_but_cannot_list_it(home: Path) -> None:
    with temporary_state("story", home) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711


def test_one_hub_of_a_run_can_be_removed_before_the_end(home: Path) -> None:
    with temporary_state("story", home) as folder:
        (first, data), (second, other) = (with_data(folder / name) for name in ("first", "second"))
        first.unlock()
        discard(first.path)
        assert not first.path.exists()
        assert not data.exists()
        assert other.exists()
        second.unlock()


def test_a_later_run_removes_what_a_killed_run_has_left(home: Path, var_tmp: Path) -> None:
    with run(var_tmp, home) as (running, data):
        (folder,) = folders_in(home)
        with temporary_state("other", home):
            assert (folder / "pair" / "hub").exists()  # the run still lasts
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert data.exists()
    with temporary_state("other", home):
        assert folders_in(home) == []
        assert not data.exists()


@contextmanager
def watchdog_of(state: Path) -> Iterator[None]:
    """A process that keeps STATE locked until it has ended the servers."""
    with subprocess.Popen(["flock", state / "lock", "sh", "-c", "read line"], stdin=subprocess.PIPE) as running:
        assert proc.wait_for(State(state).is_locked, 5)
        yield
        running.communicate()


def postgres_of(state: Path) -> AbstractContextManager[None]:
    return process("postgres", server_data.postgres_title(server_data.folder_of(state) / "postgres"))


def postgres_within(state: Path) -> AbstractContextManager[None]:
    return process("postgres", server_data.postgres_title(state / "postgres"))


def valkey_of(state: Path) -> AbstractContextManager[None]:
    return process("valkey-server", server_data.valkey_title(state))


def worker_of(state: Path) -> AbstractContextManager[None]:
    return process("celery", "worker", **{proc.MARK: server_data.hash_of(state)})


@pytest.mark.skipif(not proc.PROC.is_dir(), reason="only /proc has the titles of processes")
@pytest.mark.parametrize("running_still", [watchdog_of, postgres_of, postgres_within, valkey_of, worker_of])
def test_what_a_killed_run_has_left_stays_while_a_process_of_its_hub_runs(
    home: Path, var_tmp: Path, running_still: Callable[[Path], AbstractContextManager[None]]
) -> None:
    with run(var_tmp, home) as (running, data):
        running.send_signal(signal.SIGTERM)
        running.wait()
    (folder,) = folders_in(home)
    (folder / "pair" / "hub" / "lock").touch()
    with running_still(folder / "pair" / "hub"), temporary_state("other", home):
        assert (folder / "pair" / "hub").exists()
        assert data.exists()
    with temporary_state("other", home):
        assert folders_in(home) == []
        assert not data.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_folder_of_another_user_stays(home: Path, var_tmp: Path) -> None:
    with run(var_tmp, home) as (running, _):
        running.send_signal(signal.SIGKILL)
        running.wait()
    (folder,) = folders_in(home)
    os.chown(folder, 12345, 12345)
    with temporary_state("other", home):
        assert (folder / "pair" / "hub").exists()


def test_a_folder_that_no_run_has_made_stays(home: Path) -> None:
    made_by_another_program = home / "kitovu-story-x" / "hub"
    made_by_another_program.mkdir(parents=True)
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / server_data.TEMPORARY).touch()
    (home / "kitovu-story-y").symlink_to(elsewhere)
    with temporary_state("other", home):
        assert made_by_another_program.exists()
        assert (elsewhere / server_data.TEMPORARY).exists()
