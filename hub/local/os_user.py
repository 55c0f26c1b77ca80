"""Determines which user of the operating system runs the servers. PostgreSQL refuses to run as root. If the caller is
root, both servers therefore run as `nobody`."""

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
    """A user of the operating system. If the calling program runs as root, `drop` is true, and the calling program
    starts the servers as this user."""

    name: str
    uid: int
    gid: int
    drop: bool

    def popen(self) -> dict[str, Any]:
        """Returns the arguments with which `subprocess` runs a program as this user, in a folder that this user can
        read."""
        as_user = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drop else {}
        return {**as_user, "cwd": "/", "env": server_environment()}

    def can(self, test: str, path: Path) -> bool:
        """Runs the shell command `test` as this user, with `-r`, `-w`, `-x` or `-d`. Returns whether the command
        succeeds. The command reports whether the user can really read, write or execute a file. The mode bits alone do
        not show this.
        """
        return subprocess.run(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)], **self.popen()).returncode == 0

    def own(self, path: Path) -> None:
        """Makes this user the owner of the file or folder."""
        if self.drop:
            os.chown(path, self.uid, self.gid)


def server_account() -> Account:
    """Returns the user of this program, or `nobody` if this program runs as root."""
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
    """Returns the environment for a server: with the locale C, and without PG* variables, because these variables would
    change the server's behaviour."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def without_pg(environment: dict[str, str]) -> dict[str, str]:
    """Returns the environment without libpq's variables, because these variables would silently change every
    connection."""
    return {name: value for name, value in environment.items() if not re.fullmatch("PG[A-Z]+", name)}
