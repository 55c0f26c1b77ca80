"""Folders for hubs that exist only during a measurement or a test. The folder and all data of its hubs are removed at
the end of the run. If the run is killed, a later run removes them."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.local import proc, server_data
from hub.local.server_data import TEMPORARY
from hub.local.state import SIGN, State


@contextmanager
def temporary_state(purpose: str, home: str | Path | None = None) -> Iterator[Path]:
    """Makes a folder in which the caller can make STATE folders, and removes it at the end. The caller must stop its
    hubs before the end.

    The default for `home` is the folder in the environment variable TMPDIR, or /var/tmp. /var/tmp is on a disk, but on
    many machines /tmp is in memory. Other users can enter the new folder. So the servers' user can enter it too, and
    the servers' data can be in STATE.
    """
    home = Path(os.path.abspath(home or os.environ.get("TMPDIR") or server_data.VAR_TMP))
    home.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(home)
    folder = Path(tempfile.mkdtemp(prefix=f"kitovu-{purpose}-", dir=home))
    # A later run removes the folder only if the file TEMPORARY exists and nobody has locked the folder.
    handle = server_data.lock(folder, fcntl.LOCK_SH)
    assert handle is not None
    try:
        (folder / TEMPORARY).touch()
        folder.chmod(0o711)
        yield folder
    finally:
        server_data.remove(folder, last=TEMPORARY)
        os.close(handle)
        server_data.remove_abandoned()


def discard(state: Path) -> None:
    """Removes a STATE folder that is in a folder of `temporary_state`, together with its servers' data. The caller must
    have stopped the hub."""
    shutil.rmtree(state, ignore_errors=True)
    server_data.remove_abandoned()


def _remove_abandoned(home: Path) -> None:
    """Removes the folders of runs that were killed, unless a process of their hubs still runs."""
    for folder in home.glob("kitovu-*"):
        if not server_data.is_own_folder(folder) or not os.path.isfile(folder / TEMPORARY):
            continue
        handle = server_data.lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if handle is None:
            continue
        try:
            if not any(_runs(state) for state in _states_in(folder)):
                server_data.remove(folder, last=TEMPORARY)
        finally:
            os.close(handle)
    server_data.remove_abandoned()


def _states_in(folder: Path) -> Iterator[State]:
    for path, folders, files in os.walk(folder):
        if SIGN in files:
            folders.clear()
            yield State(path)


def _runs(state: State) -> bool:
    homes = [state.path, server_data.target_of(state.path)]
    return (
        state.is_locked()
        or any(server_data.servers_run(home, state.path) for home in homes if home)
        or bool(proc.marked(state.mark))
    )
