"""Servers' data outside of STATE: a later hub removes it if its STATE is gone, but never while it is in use."""

import json
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.local import proc, server_data
from hub.local.server_data import POINTER, RECORD, remove_abandoned
from tests.local.closed_states import opened, process, with_data

pytestmark = pytest.mark.usefixtures("var_tmp")

_ROUNDS = 20


def with_removed_state(path: Path) -> Path:
    """A hub that has stopped, and whose STATE was then removed. Returns the folder of the data."""
    state, folder = with_data(path)
    state.unlock()
    shutil.rmtree(path)
    return folder


# --- removed ----------------------------------------------------------------------------------------------------------


def test_the_next_hub_removes_the_data_of_a_state_that_is_gone(tmp_path: Path) -> None:
    abandoned = with_removed_state(tmp_path / "one")
    assert (abandoned / "postgres" / "PG_VERSION").exists()
    _, folder = with_data(tmp_path / "two")
    assert not abandoned.exists()
    assert (folder / "postgres" / "PG_VERSION").exists()


def test_a_new_hub_at_the_same_path_does_not_get_the_data_of_the_hub_before(tmp_path: Path) -> None:
    abandoned = with_removed_state(tmp_path / "one")
    folder = opened(tmp_path / "one").server_folder("postgres")
    assert folder.parent == abandoned
    assert list(folder.iterdir()) == []


def test_data_is_removed_if_its_state_points_to_another_folder(tmp_path: Path) -> None:
    state, folder = with_data(tmp_path / "one")
    state.unlock()
    (state.path / POINTER).unlink()
    (state.path / POINTER).symlink_to(folder.parent / "state-of-another-hub")
    remove_abandoned()
    assert not folder.exists()


def test_a_removal_that_is_interrupted_is_completed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = with_removed_state(tmp_path / "one")
    with monkeypatch.context() as patched:
        patched.setattr(server_data.shutil, "rmtree", lambda *_, **__: None)
        remove_abandoned()
    assert {part.name for part in folder.iterdir()} == {"postgres", RECORD}
    remove_abandoned()
    assert not folder.exists()


def test_removing_a_state_removes_its_data(tmp_path: Path) -> None:
    state, folder = with_data(tmp_path / "one")
    state.remove()
    assert not folder.exists()
    assert not state.path.exists()


# --- not removed ------------------------------------------------------------------------------------------------------


def test_the_data_of_a_stopped_hub_stays_while_its_state_points_to_it(tmp_path: Path) -> None:
    state, folder = with_data(tmp_path / "one")
    state.unlock()
    remove_abandoned()
    again = opened(tmp_path / "one")
    assert again.server_folder("postgres") == folder / "postgres"
    assert (folder / "postgres" / "PG_VERSION").exists()


def test_the_data_of_a_running_hub_stays_even_if_its_state_was_removed(tmp_path: Path) -> None:
    state, folder = with_data(tmp_path / "one")
    shutil.rmtree(state.path)
    remove_abandoned()
    assert (folder / "postgres" / "PG_VERSION").exists()
    state.unlock()
    remove_abandoned()
    assert not folder.exists()


@pytest.mark.skipif(not proc.PROC.is_dir(), reason="only /proc has the titles of processes")
@pytest.mark.parametrize("program", ["postgres", "valkey-server"])
def test_data_stays_while_a_server_still_runs_on_it(tmp_path: Path, program: str) -> None:
    folder = with_removed_state(tmp_path / "one")
    titles = {
        "postgres": server_data.postgres_title(folder / "postgres"),
        "valkey-server": server_data.valkey_title(tmp_path / "one"),
    }
    with process(program, titles[program]):
        remove_abandoned()
        assert (folder / "postgres" / "PG_VERSION").exists()
    remove_abandoned()
    assert not folder.exists()


@pytest.mark.parametrize("file", ["postgres/postmaster.pid", "valkey/pid"])
def test_without_proc_data_stays_while_the_process_of_a_pid_file_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setattr(proc, "PROC", tmp_path / "no-proc")
    folder = with_removed_state(tmp_path / "one")
    (folder / "valkey").mkdir()
    with subprocess.Popen(["sh", "-c", "read line"], stdin=subprocess.PIPE) as running:
        (folder / file).write_text(f"{running.pid}\n{folder}\n")
        remove_abandoned()
        assert (folder / file).exists()
        running.communicate()
    remove_abandoned()
    assert not folder.exists()


def test_data_stays_if_its_state_was_not_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(server_data, "is_temporary", lambda state: False)
        state, folder = with_data(tmp_path / "kept")
    state.unlock()
    state.path.rename(tmp_path / "moved")
    remove_abandoned()
    moved = opened(tmp_path / "moved")
    assert moved.server_folder("postgres") == folder / "postgres"
    assert (folder / "postgres" / "PG_VERSION").exists()


def test_data_without_a_record_stays_until_its_hub_has_started_again(tmp_path: Path) -> None:
    state, folder = with_data(tmp_path / "one")
    state.unlock()
    (folder / RECORD).unlink()  # as an earlier version made it
    with_removed_state(tmp_path / "two")
    remove_abandoned()
    assert (folder / "postgres" / "PG_VERSION").exists()
    opened(tmp_path / "one").server_folder("postgres")
    assert json.loads((folder / RECORD).read_text()) == {"state": str(tmp_path / "one"), "is_temporary": True}


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"is_temporary": true}', '{"state": "/gone", "is_temporary": 1}'])
def test_data_with_a_damaged_record_stays(tmp_path: Path, damaged: str) -> None:
    folder = with_removed_state(tmp_path / "one")
    (folder / RECORD).write_text(damaged)
    remove_abandoned()
    assert (folder / "postgres" / "PG_VERSION").exists()


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    folder = with_removed_state(tmp_path / "one")
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    within = with_removed_state(tmp_path / "two")
    (within / "postgres" / "link").symlink_to(elsewhere)
    (within / "link").symlink_to(elsewhere)
    remove_abandoned()
    assert not within.exists()
    assert folder.is_symlink()
    assert (elsewhere / "postgres" / "PG_VERSION").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_stays(tmp_path: Path) -> None:
    folder = with_removed_state(tmp_path / "one")
    os.chown(folder, 12345, 12345)
    remove_abandoned()
    assert (folder / "postgres" / "PG_VERSION").exists()


def test_nothing_is_removed_in_a_folder_in_which_others_may_write(tmp_path: Path) -> None:
    folder = with_removed_state(tmp_path / "one")
    folder.parent.chmod(0o777)
    remove_abandoned()
    assert (folder / "postgres" / "PG_VERSION").exists()


# --- moved, and started at the same time ------------------------------------------------------------------------------


def test_the_record_follows_a_state_that_was_moved_and_started_again(tmp_path: Path) -> None:
    state, folder = with_data(tmp_path / "one")
    state.unlock()
    state.path.rename(tmp_path / "moved")
    moved = opened(tmp_path / "moved")
    assert moved.server_folder("valkey") == folder / "valkey"
    moved.unlock()
    remove_abandoned()
    assert (folder / "postgres" / "PG_VERSION").exists()
    moved.remove()
    assert not folder.exists()


def test_a_state_whose_data_was_removed_gets_a_new_folder(tmp_path: Path) -> None:
    state, folder = with_data(tmp_path / "one")
    state.unlock()
    shutil.rmtree(folder)
    data = opened(tmp_path / "one").server_folder("postgres")
    assert data == folder / "postgres"
    assert list(data.iterdir()) == []
    assert server_data.target_of(state.path) == folder


def test_another_hub_that_starts_before_the_pointer_exists_leaves_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []

    def write_record(folder: Path, state: Path, write: Callable[..., None] = server_data.write_record) -> None:
        write(folder, state)
        judged.append(server_data._is_abandoned(folder))
        remove_abandoned()

    monkeypatch.setattr(server_data, "write_record", write_record)
    _, folder = with_data(tmp_path / "one")
    assert judged == [True]  # so only the lock has protected the folder
    assert (folder / "postgres" / "PG_VERSION").exists()


def test_a_hub_whose_new_folder_is_removed_before_it_is_locked_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = []

    def lock(folder: Path, how: int, real: Callable[..., int | None] = server_data.lock) -> int | None:
        if not removed:
            removed.append(folder)
            shutil.rmtree(folder)
        return real(folder, how)

    monkeypatch.setattr(server_data, "lock", lock)
    _, folder = with_data(tmp_path / "one")
    assert removed == [folder]
    assert server_data._record(folder)["state"] == str(tmp_path / "one")
    assert server_data.target_of(tmp_path / "one") == folder


def test_a_hub_that_starts_while_another_judges_its_folder_keeps_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = with_removed_state(tmp_path / "one")
    started = []

    def lock(folder: Path, how: int, real: Callable[..., int | None] = server_data.lock) -> int | None:
        if not started:
            started.append(folder)
            pointer = opened(tmp_path / "one").path / POINTER
            pointer.symlink_to(folder)
        return real(folder, how)

    monkeypatch.setattr(server_data, "lock", lock)
    remove_abandoned()
    assert started == [folder]
    assert (folder / "postgres" / "PG_VERSION").exists()


def start_and_leave(path: Path, var_tmp: Path) -> int:
    """Again and again, starts a hub at the same path, and removes STATE after it has stopped. Returns how often the
    hub's data was lost."""
    server_data.VAR_TMP, lost = var_tmp, 0
    for _ in range(_ROUNDS):
        state = opened(path)
        data = state.server_folder("postgres")
        (data / "PG_VERSION").write_text("18\n")
        remove_abandoned()
        lost += not (data / "PG_VERSION").exists() or not (data.parent / RECORD).exists()
        state.unlock()
        shutil.rmtree(path)
    return lost


def test_hubs_that_start_at_the_same_time_do_not_harm_each_other(tmp_path: Path, var_tmp: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        lost = pool.starmap(start_and_leave, [(tmp_path / name, var_tmp) for name in ("one", "two", "three")])
    assert lost == [0, 0, 0]
    remove_abandoned()
    (private,) = var_tmp.iterdir()
    assert list(private.iterdir()) == []


def test_states_among_temporary_files_and_in_temporary_folders_are_temporary(tmp_path: Path) -> None:
    assert server_data.is_temporary(Path("/tmp/kitovu-bench-x/hub"))
    assert server_data.is_temporary(Path("/var/tmp/state"))
    assert server_data.is_temporary(tmp_path / "some" / "hub")
    assert not server_data.is_temporary(Path("/root/kitovu/.local"))
    assert not server_data.is_temporary(Path("/srv/tmp/hub"))
