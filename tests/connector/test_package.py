"""The connector is a package: its wheel works in an empty environment, without the repository and the hub."""

import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the folder `connector`, with what is installed here: no network is needed."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*PIP, *build, str(PROJECT / "connector")], check=True, timeout=120, cwd=folder)
    (found,) = folder.glob("kitovu_connector-*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the distributions that it declares, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    found = folder / "bin" / "python"
    install = ["--python", str(found), "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([*PIP, *install], check=True, timeout=120, cwd=folder)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    declared = [line.split(": ", 1)[1] for line in metadata_of(wheel) if line.startswith("Requires-Dist: ")]
    assert {canonicalize_name(Requirement(text).name) for text in declared} == {
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


def run(python: Path, folder: Path, *arguments: str) -> str:
    """What a program in that environment prints; it runs away from the repository."""
    done = subprocess.run(
        [str(python), *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=folder, env={}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_both_packages_and_their_types_and_nothing_of_the_hub(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {
        *("fspiop", "kitovu_connector", f"{wheel.name.split('-py3')[0]}.dist-info")
    }
    assert {"fspiop/py.typed", "kitovu_connector/py.typed"} <= set(names)
    here = {
        str(path.relative_to(PROJECT))
        for package in ("fspiop", "kitovu_connector")
        for path in (PROJECT / package).rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == here
    assert not [name for name in names if "__pycache__" in name]


EVERY_MODULE = """
import importlib, pkgutil, sys
import fspiop, kitovu_connector
for package in (fspiop, kitovu_connector):
    assert "site-packages" in package.__file__, package.__file__
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
for name in kitovu_connector.__all__:
    assert getattr(kitovu_connector, name) is not None
of_the_hub = {"django", "rest_framework", "celery", "psycopg", "redis", "hub", "ledger", "connector"}
print(sorted(of_the_hub & set(sys.modules)))
"""


def test_every_module_is_imported_in_an_empty_environment(python: Path, tmp_path: Path) -> None:
    assert run(python, tmp_path, "-c", EVERY_MODULE) == "[]\n"


STARTS = """
import asyncio, socket
from pathlib import Path
from kitovu_connector import Config, Connector, Backend, FspiopError, HttpBackend

async def main() -> None:
    config = Config(dfsp="green", hub_url="http://127.0.0.1:9", state=Path("state"), ilp_secret="s" * 16)
    async with HttpBackend("http://127.0.0.1:9") as core, Connector(config, core) as connector:
        print(await connector.payment("R"))
        try:
            await connector.confirm("R")
        except FspiopError as error:
            print(error.code)

asyncio.run(main())
"""


def test_a_connector_starts_there_and_answers(python: Path, tmp_path: Path) -> None:
    assert run(python, tmp_path, "-c", STARTS).splitlines()[-2:] == ["None", "3200"]
    assert "--hub-url" in run(python, tmp_path, str(python.parent / "kitovu-connector"), "serve", "--help")
    assert "--config" in run(python, tmp_path, "-m", "kitovu_connector", "doctor", "--help")


def test_the_example_of_the_readme_can_be_run(python: Path, tmp_path: Path) -> None:
    text = (PROJECT / "connector" / "README.md").read_text()
    (program,) = (part.split("```")[0] for part in text.split("```python\n")[1:])
    (tmp_path / "program.py").write_text(program.replace("asyncio.run(main())", 'print("read")'))
    assert run(python, tmp_path, "program.py") == "read\n"


def test_the_package_is_typed_for_those_who_use_it(python: Path, tmp_path: Path) -> None:
    program = """
from kitovu_connector import Connector, Order, Payment
async def right(connector: Connector, order: Order) -> Payment:
    return await connector.pay(order)
async def wrong(connector: Connector, order: Order) -> int:
    return await connector.pay(order)
"""
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--python-executable", str(python), "--no-incremental", "program.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1, done.stdout
    assert 'Incompatible return value type (got "Payment", expected "int")' in errors[0]
