"""Whom the servers run as. PostgreSQL refuses root, so root hands both servers to `nobody`."""

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
    """A user of this machine; `drop` says whether we have to become it first."""

    name: str
    uid: int
    gid: int
    drop: bool

    def popen(self) -> dict[str, Any]:
        """Arguments for subprocess that start a program as this user, in a folder it can read."""
        as_user = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drop else {}
        return {**as_user, "cwd": "/", "env": server_environment()}

    def can(self, test: str, path: Path) -> bool:
        """Asks as this user: `-r`, `-w`, `-x`, `-d` as in test(1). Trying beats reading mode bits."""
        return subprocess.run(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)], **self.popen()).returncode == 0

    def own(self, path: Path) -> None:
        """Makes the path this user's."""
        if self.drop:
            os.chown(path, self.uid, self.gid)


def server_account() -> Account:
    """The caller; for root, `nobody`."""
    if os.geteuid() != 0:
        return Account("you", os.geteuid(), os.getegid(), drop=False)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise LocalError(
            "PostgreSQL does not run as root, and this machine has no user 'nobody' to run it as.",
            where="/etc/passwd",
            do="Run as an ordinary user, or set DATABASE_URL and REDIS_URL to servers of your own.",
        ) from None
    return Account("nobody", entry.pw_uid, entry.pw_gid, drop=True)


def server_environment() -> dict[str, str]:
    """An environment that cannot change what a server does: no PG* variable, no locale but C."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def without_pg(environment: dict[str, str]) -> dict[str, str]:
    """The environment without libpq's variables, which would silently redirect or change every connection."""
    return {name: value for name, value in environment.items() if not re.fullmatch("PG[A-Z]+", name)}
