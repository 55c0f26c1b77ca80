"""The tables of operations are complete: no path of the connector, of the core or of the documents is without tests."""

import importlib
import re
from pathlib import Path
from types import ModuleType

from tests.reference.core import Core
from tests.reference.operations import ADDED, CORE, FRONT_END, form, routes, unseen

OF_THE_DOCUMENTS = {"outbound": 25, "backend": 21}
"""How many operations the SDK's documents have, version 2.1.0 of each."""


def test_each_path_of_a_core_is_in_the_table() -> None:
    """The core of these tests answers 404 to everything else, so the connector calls nothing else."""
    assert routes(Core("blue").application()) == {form(operation) for operation in CORE}


def test_the_tables_have_all_operations_of_the_documents() -> None:
    assert {"outbound": len(FRONT_END), "backend": len(CORE)} == OF_THE_DOCUMENTS


def test_each_test_in_the_tables_exists() -> None:
    folder = Path(__file__).parent
    modules = [importlib.import_module(f"tests.reference.{file.stem}") for file in folder.glob("test_*.py")]
    existing = {name for module in modules for name in _tests_in(module)}
    named = {name for table in (FRONT_END, ADDED, CORE) for proofs in table.values() for name in proofs}
    assert named - existing == set()


def test_a_test_that_does_not_see_what_it_should_prove_is_found() -> None:
    calls = [("GET", "/", 200), ("GET", "/health", 404)]
    assert unseen("test_health", calls, []) == {("front end", "GET /", False)}
    assert unseen("test_health", [*calls, ("GET", "/", 403)], []) == set()
    assert unseen("test_of_another_folder", [], []) == set()


def _tests_in(module: ModuleType) -> set[str]:
    classes = [found for name, found in vars(module).items() if name.startswith("Test")]
    found: set[str] = set()
    for place in (module, *classes):
        for name, function in vars(place).items():
            if name.startswith("test_"):
                marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
                values = [value for mark in marks for value in mark.args[1]]
                found |= {f"{name}[{_id(value)}]" for value in values} or {name}
    return found


def _id(value: object) -> str:
    """The name that pytest gives to plain values, which all parameters of the tables are."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else re.sub(r"\s+", " ", str(value))
