"""The user that runs the servers. PostgreSQL refuses root, so root starts both servers as `nobody`."""

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
    """A user of this machine; `drop` says whether this program must switch to that user."""

    name: str
    uid: int
    gid: int
    drop: bool

    def popen(self) -> dict[str, Any]:
        """Arguments for subprocess that start a program as this user, in a folder that the user can read."""
        as_user = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drop else {}
        return {**as_user, "cwd": "/", "env": server_environment()}

    def can(self, test: str, path: Path) -> bool:
        """Runs test(1) as this user with `-r`, `-w`, `-x` or `-d`, which is more reliable than reading mode bits."""
        return subprocess.run(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)], **self.popen()).returncode == 0

    def own(self, path: Path) -> None:
        """Makes this user the path's owner."""
        if self.drop:
            os.chown(path, self.uid, self.gid)


def server_account() -> Account:
    """The calling user; for root, `nobody`."""
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
    """An environment that cannot change what a server does: without PG* variables, with locale C."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def without_pg(environment: dict[str, str]) -> dict[str, str]:
    """The environment without libpq's variables, which would silently redirect or change every connection."""
    return {name: value for name, value in environment.items() if not re.fullmatch("PG[A-Z]+", name)}
