"""The benchmark starts other modules by name in processes of their own. Each of these names is a module."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

_PROJECT = Path(__file__).parents[2]
_STARTED = re.compile(r'"(bench\.[a-z_.]+)"')
_NAMES = sorted({name for path in (_PROJECT / "bench").rglob("*.py") for name in _STARTED.findall(path.read_text())})


@pytest.mark.parametrize("name", _NAMES)
def test_a_module_that_the_benchmark_starts_exists(name: str) -> None:
    assert find_spec(name) is not None


def test_the_names_include_the_modules_that_it_starts() -> None:
    assert {"bench.load", "bench.simulated_dfsps", "bench.engine", "bench.database_ceiling"} <= set(_NAMES)
