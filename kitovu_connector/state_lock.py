"""Ensures that at most one connector uses a state directory.

If two connectors used one state directory, both would continue all payments. Each request would then be sent twice.
"""

import sqlite3
from pathlib import Path

from kitovu_connector.config import StartError


class StateLock:
    """An exclusive SQLite lock on a separate file.

    The operating system releases the lock when the process ends, even after a crash.
    """

    def __init__(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"state: {directory} cannot be made: {error.strerror}") from None
        try:
            self._conn = sqlite3.connect(
                directory / "lock.sqlite3", isolation_level=None, check_same_thread=False, timeout=0
            )
            self._conn.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            reason = f"another connector uses {directory}" if "locked" in str(error) else f"{directory}: {error}"
            raise StartError(f"state: {reason}") from None

    def release(self) -> None:
        """Releases the lock, so that another connector can use the directory."""
        self._conn.close()
