"""STATE folders that the servers' user cannot enter, for every user who runs the tests."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.local import proc, server_data
from hub.local.state import State


class ClosedState(State):
    """A STATE folder that the servers' user cannot enter."""

    def _serves(self, folder: Path) -> bool:
        return not folder.is_relative_to(self.path)


def opened(path: Path) -> ClosedState:
    state = ClosedState(path)
    state.open()
    return state


def with_data(path: Path) -> tuple[ClosedState, Path]:
    """A hub that has started: its STATE, and the folder of its servers' data, which is elsewhere."""
    state = opened(path)
    data = state.server_folder("postgres")
    (data / "PG_VERSION").write_text("18\n")
    (data / "base").mkdir(exist_ok=True)
    folder = data.parent
    assert folder == server_data.folder_of(path) != path
    return state, folder


@contextmanager
def process(program: str, word: str, **environ: str) -> Iterator[None]:
    """A process with this name and this word in its command line. It ends when its input is closed."""
    command = [program, "-c", "read line", word]
    running = subprocess.Popen(command, executable="/bin/sh", stdin=subprocess.PIPE, env=os.environ | environ)
    assert proc.wait_for(lambda: proc.titled(program, word), 5)
    try:
        yield
    finally:
        running.communicate()
