"""Determines the operating system's user that runs the servers. PostgreSQL refuses root, so root starts both servers as
`nobody`."""

import os
import pwd
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.local.errors import LocalError


@dataclass(frozen=True)
class Account:
    """A user of the operating system. If `drop` is true, the calling program runs as root but starts the servers as
    this user."""

    name: str
    uid: int
    gid: int
    drop: bool

    def popen(self) -> dict[str, Any]:
        """Returns arguments for `subprocess`. With these arguments, a program runs as this user, in a folder that this
        user can read."""
        as_user = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drop else {}
        return {**as_user, "cwd": "/", "env": server_environment()}

    def can(self, test: str, path: Path) -> bool:
        """Runs test(1) as this user with `-r`, `-w`, `-x` or `-d`, and returns whether the test succeeds.

        The command test(1) reports whether a user may read, write or execute a file. The command test(1) is more
        reliable than the mode bits of the file.
        """
        return subprocess.run(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)], **self.popen()).returncode == 0

    def own(self, path: Path) -> None:
        """Makes this user the path's owner."""
        if self.drop:
            os.chown(path, self.uid, self.gid)


def server_account() -> Account:
    """Returns the calling user, or `nobody` if the calling user is root."""
    if os.geteuid() != 0:
        return Account("you", os.geteuid(), os.getegid(), drop=False)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise LocalError(
            "PostgreSQL does not run as root, and this machine has no user 'nobody'.",
            where="/etc/passwd",
            do="Run as an ordinary user, or set DATABASE_URL and REDIS_URL to servers of your own.",
        ) from None
    return Account("nobody", entry.pw_uid, entry.pw_gid, drop=True)


def server_environment() -> dict[str, str]:
    """Returns an environment with locale C and without PG* variables, because PG* variables would change a server's
    behaviour."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def without_pg(environment: dict[str, str]) -> dict[str, str]:
    """Returns the environment without libpq's variables, because these variables would silently change every
    connection."""
    return {name: value for name, value in environment.items() if not re.fullmatch("PG[A-Z]+", name)}
