"""Builds the connector's wheel, and an environment with nothing but the wheel and what it declares."""

import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def build(folder: Path) -> Path:
    """Builds from the folder `connector`, with what is installed here: no network is needed."""
    options = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*PIP, *options, str(PROJECT / "connector")], check=True, timeout=120, cwd=folder)
    (found,) = folder.glob("kitovu_connector-*.whl")
    return found


def environment(wheel: Path, folder: Path) -> Path:
    """The Python of an environment with the wheel and the distributions that it declares, and nothing else."""
    venv.create(folder, with_pip=False)
    found = folder / "bin" / "python"
    install = ["--python", str(found), "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([*PIP, *install], check=True, timeout=120, cwd=folder)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    declared = [line.split(": ", 1)[1] for line in metadata_of(wheel) if line.startswith("Requires-Dist: ")]
    needed = [Requirement(text) for text in declared if "extra ==" not in text]
    assert {canonicalize_name(found.name) for found in needed} == {
        *("aiohttp", "cryptography", "msgspec", "prometheus-client", "rich", "structlog", "yarl")
    }
    for name in with_their_own(declared):
        for top in {path.parts[0] for path in distribution(name).files or ()} - {"..", "bin"}:
            source = Path(str(distribution(name).locate_file(top)))
            if source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(source)
    return found


def metadata_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.read(name).decode().splitlines()


def with_their_own(declared: list[str]) -> set[str]:
    """The distributions, with those that they need themselves. Each installed version is one that is declared."""
    found: set[str] = set()
    left = [Requirement(text) for text in declared]
    while left:
        wanted = left.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        there = distribution(wanted.name)
        assert wanted.specifier.contains(there.version), f"{wanted}, but {there.version} is here"
        if canonicalize_name(wanted.name) not in found:
            found.add(canonicalize_name(wanted.name))
            left.extend(Requirement(text) for text in there.requires or ())
    return found
