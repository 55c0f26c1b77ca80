"""Detects changed key files and certificate files, so that the connector uses the new files without a restart."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from kitovu_connector.background import Background
from kitovu_connector.config import ConfigError

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0


class ChangedFiles:
    """Watches the files that a function reads. If one of these files has changed, calls the function again.

    If the new files cannot be used, the old content stays in use. For example, a new certificate cannot be used without
    its new key.
    """

    def __init__(self) -> None:
        self._watched: list[tuple[Sequence[Path], Callable[[], None]]] = []
        self._seen: dict[Path, tuple[int, int] | None] = {}
        self._background = Background()

    def watch(self, files: Sequence[str], use: Callable[[], None]) -> None:
        """Calls `use` after one of these files has changed. Ignores empty file names."""
        paths = [Path(file) for file in files if file]
        if paths:
            self._watched.append((paths, use))
            self._seen |= {path: _stamp(path) for path in paths}

    def start(self) -> None:
        """Starts the checks of the files."""
        if self._watched:
            self._background.start(self._look_now_and_then())

    async def close(self) -> None:
        """Stops the checks of the files."""
        await self._background.close()

    def look(self) -> None:
        """Reads every file that has changed since the previous check."""
        for paths, use in self._watched:
            now = {path: _stamp(path) for path in paths}
            if all(self._seen[path] == stamp for path, stamp in now.items()):
                continue
            names = [path.name for path in paths]
            try:
                use()
            except (ConfigError, OSError) as error:
                log.error("changed_files_not_used", files=names, why=str(error))
            else:
                log.info("changed_files_used", files=names)
            self._seen |= now

    async def _look_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
