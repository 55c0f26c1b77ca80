"""The connector is a package: its wheel works in an empty environment, without the repository and the hub."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import wheels
from tests.wheels import PROJECT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    return wheels.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.environment(wheel, tmp_path_factory.mktemp("environment"))


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
        try:
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
        except ModuleNotFoundError as error:  # only the extra "postgresql" needs it
            assert (found.name, error.name) == ("kitovu_connector.postgresql_state", "psycopg"), error
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
from kitovu_connector import Config, Connector, Backend, HttpBackend, NoSuchPayment

async def main() -> None:
    config = Config(dfsp="green", hub_url="http://127.0.0.1:9", state=Path("state"), ilp_secret="s" * 16)
    async with HttpBackend("http://127.0.0.1:9") as core, Connector(config, core) as connector:
        print(await connector.payment("R"))
        try:
            await connector.confirm("R")
        except NoSuchPayment as error:
            print(error.code)

asyncio.run(main())
"""


def test_a_connector_starts_there_and_answers(python: Path, tmp_path: Path) -> None:
    assert run(python, tmp_path, "-c", STARTS).splitlines()[-2:] == ["None", "3200"]
    assert "--hub-url" in run(python, tmp_path, str(python.parent / "kitovu-connector"), "serve", "--help")
    assert "--config" in run(python, tmp_path, "-m", "kitovu_connector", "doctor", "--help")


IN_POSTGRESQL = STARTS.replace('state=Path("state")', 'state="postgresql://nobody@127.0.0.1:1/x"')


def test_a_state_in_postgresql_needs_the_extra_and_says_so(wheel: Path, python: Path, tmp_path: Path) -> None:
    assert "Provides-Extra: postgresql" in wheels.metadata_of(wheel)
    (tmp_path / "program.py").write_text(IN_POSTGRESQL)
    done = subprocess.run([str(python), "program.py"], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert "pip install 'kitovu-connector[postgresql]'" in done.stderr.splitlines()[-1]


def examples() -> list[str]:
    """The programs of the README. tests/live/test_connect.py runs them at a hub."""
    text = (PROJECT / "connector" / "README.md").read_text()
    return [part.split("```")[0] for part in text.split("```python\n")[1:]]


@pytest.mark.parametrize("number", range(len(examples())))
def test_the_wheel_has_all_that_the_examples_of_the_readme_use(python: Path, tmp_path: Path, number: int) -> None:
    begins = re.split(r"^(?:asyncio\.run|with Connector)", examples()[number], flags=re.MULTILINE)[0]
    (tmp_path / "program.py").write_text(begins + 'print("read")\n')
    assert run(python, tmp_path, "program.py") == "read\n"


def test_the_package_is_typed_for_those_who_use_it(python: Path, tmp_path: Path) -> None:
    program = """
from decimal import Decimal
from kitovu_connector import Connector, Order, Payment, sync
async def right(connector: Connector, order: Order) -> Payment:
    return await connector.pay(order)
async def wrong(connector: Connector, order: Order) -> int:
    return await connector.pay(order)
def without_asyncio(connector: sync.Connector, order: Order) -> Decimal | None:
    return connector.pay(order).transfer_amount
"""
    (tmp_path / "program.py").write_text(program)
    for number, example in enumerate(examples()):
        (tmp_path / f"example{number}.py").write_text(example)
    files = sorted(path.name for path in tmp_path.glob("*.py"))
    command = [sys.executable, "-m", "mypy", "--python-executable", str(python), "--no-incremental", "--strict", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1, done.stdout
    assert 'Incompatible return value type (got "Payment", expected "int")' in errors[0]
