"""The folders for the servers' data under /var/tmp. A hub has such a folder if the servers' user cannot access STATE.

If a person or a program removes STATE, this folder stays. So each folder has a record of its STATE, and a later hub
removes the folder if it is abandoned (`remove_abandoned`). A folder is abandoned if all of these are true:

- STATE was temporary, and STATE no longer exists or no longer points to the folder.
- No hub has locked the folder. A hub locks its folder before it writes the record, and keeps the lock until it stops.
- PostgreSQL and Valkey no longer run on the folder.

Two kinds of folders stay, because nobody can prove that their data is no longer needed:

- If STATE was not temporary (for example `.local`), a person has perhaps moved STATE, or its disk is not mounted.
- A folder without a record is from an earlier version. Its name is a hash of the path of STATE, so the path is not
  known. If the hub that owns this folder starts again, it writes the record.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hub.local import proc
from hub.local.errors import LocalError

VAR_TMP = Path("/var/tmp")  # noqa: S108 - `private_folder` checks the owner and the mode
POINTER = "servers-are-in"  # a symbolic link in STATE to the servers' data, if the data cannot be in STATE
RECORD = "state.json"  # in the folder of the servers' data: the path of STATE
TEMPORARY = "kitovu-temporary"  # this file marks a folder that `temporary_state` made


def hash_of(*parts: object) -> str:
    """Returns the first twelve hexadecimal digits of a hash of these texts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def postgres_title(data: Path) -> str:
    """Returns the name of the cluster in this folder. The name is in the title of each process of the cluster, and in
    no other process's title."""
    return f"kitovu-{hash_of(data)}"


def valkey_title(state: Path) -> str:
    """Returns the word in the title of the Valkey process that belongs to this STATE."""
    return f"kitovu-{hash_of(state)}"


def private_folder(wanted_by: object) -> Path:
    """Returns a folder under /var/tmp that belongs to this user, and in which nobody else can write."""
    folder = _private()
    folder.mkdir(mode=0o755, exist_ok=True)
    if not _is_private(folder):
        raise LocalError(
            f"This folder is needed for {wanted_by}, but another user made it or may write in it.",
            where=folder,
            do="Ask its owner to remove it, or set STATE to a folder that every user can enter.",
        )
    folder.chmod(0o755)  # for any umask
    return folder


def folder_of(state: Path) -> Path:
    """Returns the path of the folder for the servers of this STATE."""
    return _private() / f"state-{hash_of(state)}"


def is_server_folder(folder: Path) -> bool:
    """Returns whether the path is that of a folder for servers' data of this user."""
    return folder.parent == _private() and folder.name.startswith("state-")


def target_of(state: Path) -> Path | None:
    """Returns the path to which STATE points, or None if STATE has no pointer."""
    try:
        return Path(os.readlink(state / POINTER))
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_temporary(state: Path) -> bool:
    """Returns whether STATE is in a folder for temporary files, or in a folder that `temporary_state` made."""
    places = {Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")}  # noqa: S108 - nothing is written there
    return any(parent in places or os.path.exists(parent / TEMPORARY) for parent in state.parents)


# -- the lock and the record ---------------------------------------------------------------------------------------


def lock(folder: Path, how: int) -> int | None:
    """Locks a folder with flock, and returns the file descriptor. The lock ends when the descriptor is closed.

    Returns None if the folder does not exist, or if another process has removed it meanwhile. With LOCK_NB, also
    returns None if another process has locked the folder.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(handle, how)
        if os.path.samestat(os.fstat(handle), folder.lstat()):
            return handle
    os.close(handle)
    return None


def write_record(folder: Path, state: Path) -> None:
    """Writes the record of a folder. The caller has locked the folder."""
    new = folder / f".{RECORD}.{os.getpid()}"
    new.write_text(json.dumps({"state": str(state), "is_temporary": is_temporary(state)}) + "\n")
    new.replace(folder / RECORD)


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


# -- abandoned folders ---------------------------------------------------------------------------------------------


def remove_abandoned() -> None:
    """Removes the abandoned folders of this user. The module's docstring says which folders are abandoned."""
    if not _is_private(_private()):
        return
    for folder in _private().glob("state-*"):
        if not _is_abandoned(folder):
            continue
        handle = lock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if handle is None:
            continue
        try:
            # Again, because a hub perhaps started in this folder and stopped before this process locked the folder.
            if _is_abandoned(folder):
                remove(folder, last=RECORD)
        finally:
            os.close(handle)


def _is_abandoned(folder: Path) -> bool:
    if not is_own_folder(folder):
        return False
    record = _record(folder)
    if record.get("is_temporary") is not True or not isinstance(record.get("state"), str):
        return False
    state = Path(record["state"])
    try:
        return target_of(state) != folder and not servers_run(folder, state)
    except OSError:  # nobody can say whether STATE points to the folder
        return False


def servers_run(home: Path, state: Path) -> bool:
    """Returns whether PostgreSQL or Valkey runs with its data in this folder."""
    if proc.PROC.is_dir():
        data, title = home / "postgres", valkey_title(state)
        return bool(proc.titled("postgres", postgres_title(data)) or proc.titled("valkey-server", title))
    pids = (_first_number(home / name) for name in ("postgres/postmaster.pid", "valkey/pid"))
    return any(pid is not None and proc.is_alive(pid) for pid in pids)


def _first_number(path: Path) -> int | None:
    try:
        return abs(int(path.read_text().split()[0]))
    except (OSError, ValueError, IndexError):
        return None


def remove(folder: Path, *, last: str) -> None:
    """Removes a folder. Removes the file `last` only if nothing else is left. So if this function is interrupted, a
    later start removes the remaining files."""
    with suppress(OSError):
        for part in folder.iterdir():
            if part.is_dir() and not part.is_symlink():
                shutil.rmtree(part, ignore_errors=True)
            elif part.name != last:
                part.unlink()
        if [part.name for part in folder.iterdir()] == [last]:
            (folder / last).unlink()
        folder.rmdir()


def is_own_folder(folder: Path) -> bool:
    """Returns whether this is a folder that belongs to this user, and not a symbolic link."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _private() -> Path:
    return VAR_TMP / f"kitovu-{os.geteuid()}"


def _is_private(folder: Path) -> bool:
    return is_own_folder(folder) and not folder.lstat().st_mode & 0o022
