"""The folder of one local hub (STATE), the lock on this folder, and the folder of the servers' data."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

from hub.local import proc, server_data
from hub.local.errors import LocalError
from hub.local.os_user import Account, server_account
from hub.local.server_data import POINTER, hash_of

SIGN = "kitovu-state.json"  # this file marks a folder that Kitovu has made and is allowed to remove
_TRIES = 10


class State:
    """One STATE folder. Hubs with different STATE folders share no server, port or file."""

    def __init__(self, path: str | Path = ".local") -> None:
        """Stores the path. Creating the object does not create the folder STATE: call `open`."""
        self.path = Path(os.path.abspath(Path(path).expanduser()))
        self.account: Account = server_account()
        self.logs = self.path / "logs"
        self.mark = hash_of(self.path)
        self._lock: int | None = None
        self._data_lock: int | None = None  # on the folder of the servers' data, if it is outside of STATE

    def open(self) -> None:
        """Creates the folder STATE. If the folder exists, checks that it belongs to Kitovu and to this user."""
        try:
            self.logs.parent.mkdir(parents=True, exist_ok=True)
            strangers = self.path.name != ".local" and any(self.path.iterdir()) and not (self.path / SIGN).exists()
        except OSError as problem:
            raise LocalError(
                f"The state folder cannot be used: {problem.strerror}.",
                where=self.path,
                do="Choose another one: STATE=/some/folder.",
            ) from problem
        if strangers:
            raise LocalError(
                "The state folder has files that are not Kitovu's, and `clean` would remove them.",
                where=self.path,
                do="Choose an empty or a new folder: STATE=/some/folder.",
            )
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise LocalError(
                "The state folder belongs to another user.",
                where=self.path,
                do="Run as the user who made it, or choose another folder: STATE=/some/folder.",
            )
        if not (self.path / SIGN).exists():
            self.write(SIGN, {"made_by": "python -m hub.local", "uid": os.geteuid()})
        self.logs.mkdir(exist_ok=True)

    # -- small records -------------------------------------------------------------------------------------------

    def read(self, name: str) -> dict[str, Any]:
        """Reads a record from STATE.

        Returns an empty record if the record does not exist or is damaged.
        """
        try:
            record = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def write(self, name: str, record: dict[str, Any]) -> None:
        """Replaces a record in one step, so that a reader never sees an incomplete record."""
        new = self.path / f".{name}.{os.getpid()}"
        new.write_text(json.dumps(record, indent=1) + "\n")
        new.replace(self.path / name)

    # -- the lock ------------------------------------------------------------------------------------------------

    def lock(self, wait_s: float = 20.0) -> int:
        """Locks STATE for this process and for all processes that inherit the file descriptor. The lock ends when all
        these processes have ended. If the previous owner of the lock was killed, the owner's watchdog perhaps still
        stops processes. In this case, the function waits until the watchdog has ended.
        """
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)

        def taken() -> bool:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not taken():
            owner = self.owner()
            patience = 1.0 if owner and proc.is_alive(owner) else wait_s
            if not proc.wait_for(taken, patience):
                os.close(handle)
                raise LocalError(
                    f"Another hub.local (process {owner}) uses this state folder.",
                    where=self.path,
                    do="Stop it (`python -m hub.local stop`, or Ctrl-C in its terminal), or choose STATE=/other/folder "
                    "and another PORT to run a second hub.",
                )
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        self._lock = handle
        return handle

    def unlock(self) -> None:
        """Unlocks STATE, and the folder of the servers' data outside of STATE."""
        for handle in (self._lock, self._data_lock):
            if handle is not None:
                os.close(handle)
        self._lock = self._data_lock = None

    def owner(self) -> int | None:
        """Returns the pid of the last process that locked STATE."""
        try:
            return int((self.path / "lock").read_text() or 0) or None
        except (OSError, ValueError):
            return None

    def is_locked(self) -> bool:
        """Returns whether a process has locked STATE now."""
        try:
            handle = os.open(self.path / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    # -- the servers' data ---------------------------------------------------------------------------------------

    def server_folder(self, name: str) -> Path:
        """Returns a folder that belongs to the user that runs the servers. The folder is in STATE, or under /var/tmp if
        the servers' user has no access to STATE. A folder under /var/tmp stays locked until `unlock`."""
        outside = server_data.target_of(self.path)
        if outside and server_data.is_server_folder(outside) and not self._use(outside):
            (self.path / POINTER).unlink()  # the folder was removed
            outside = None
        for home in (self.path, outside):
            if home and (home / name).is_dir() and self._serves(home / name):
                return home / name
        inside = self.path / name
        if outside is None:
            new = not inside.exists()
            inside.mkdir(mode=0o700, exist_ok=True)
            if self._serves(inside):
                return inside
            if not new:
                raise LocalError(
                    f"The server runs as the user '{self.account.name}', who can no longer reach its data.",
                    where=inside,
                    do=f"Make the folders above accessible (chmod o+x), or run as the owner of {inside}.",
                )
            inside.rmdir()
        if outside is None or not server_data.is_server_folder(outside):
            outside = self._make_outside()
        (outside / name).mkdir(mode=0o700, exist_ok=True)
        if not self._serves(outside / name):
            raise LocalError(
                f"The server runs as the user '{self.account.name}', who can write neither in STATE nor here.",
                where=outside,
                do="Choose a STATE folder that this user can reach, such as one under /var/tmp.",
            )
        return outside / name

    def _make_outside(self) -> Path:
        """Makes a folder under /var/tmp, and the pointer to this folder. If the folder already exists, uses its data:
        the STATE that was at this path earlier was removed, and was not temporary."""
        server_data.remove_abandoned()
        server_data.private_folder(self.path)
        folder = server_data.folder_of(self.path)
        for _ in range(_TRIES):
            folder.mkdir(mode=0o711, exist_ok=True)
            # Another hub can remove an abandoned folder of this name before the folder is locked.
            if self._use(folder):
                break
        else:
            raise LocalError("Other processes remove this folder again and again.", where=folder, do="Try again.")
        folder.chmod(0o711)  # for any umask
        if not (self.path / POINTER).is_symlink():
            (self.path / POINTER).symlink_to(folder)
        return folder

    def _use(self, folder: Path) -> bool:
        """Locks a folder under /var/tmp, so that no other hub removes it, and writes its record. Returns False if the
        folder does not exist, or if another hub has removed it meanwhile."""
        if self._data_lock is None:
            self._data_lock = server_data.lock(folder, fcntl.LOCK_SH)
            if self._data_lock is not None:
                server_data.write_record(folder, self.path)
        return self._data_lock is not None

    def _serves(self, folder: Path) -> bool:
        try:
            self.account.own(folder)
        except OSError:
            return False
        return self.account.can("-w", folder) and self.account.can("-x", folder)

    def remove(self) -> None:
        """Removes STATE, and the folders outside of STATE that belong to the same hub. The caller must hold the lock on
        STATE, and must have stopped all processes."""
        if not (self.path / SIGN).exists():
            raise LocalError("This is not a state folder of Kitovu. Nothing was removed.", where=self.path)
        if Path.cwd().is_relative_to(self.path) or self.path in (Path.home(), Path("/")):
            raise LocalError(
                "The state folder is, or contains, your working directory or home. Nothing was removed.",
                where=self.path,
                do="Remove its contents by hand if you want to.",
            )
        outside = server_data.target_of(self.path)
        if outside and server_data.is_server_folder(outside):
            server_data.remove(outside, last=server_data.RECORD)
        shutil.rmtree(self.path)
        self.unlock()
