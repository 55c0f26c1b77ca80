"""What README, CONTRIBUTING, SECURITY and docs/ name is there: files, modules, settings, metrics, commands, links.

A page that names what was renamed or removed misleads the reader who trusts it most, the newcomer.
"""

import ast
import dataclasses
import importlib
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.core.management import get_commands

from kitovu_connector.config import Config

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
SETTINGS_PAGE = PROJECT / "docs" / "settings.md"

# Read by the one-machine set-up and by the metrics, before there are settings.
READ_ELSEWHERE = {"PROMETHEUS_MULTIPROC_DIR", "STATE", "WEB_WORKERS", "WEB_THREADS", "WORKER_PROCESSES"}
# Hosts and files of examples, which begin like a package.
NO_MODULES = {"hub.example", "hub.pem"}
NO_METRICS = {"kitovu_app"}  # a role of the database
# Settings of Mojaloop's SDK, commands of Redis, spellings that are examples, a variable of a page's own commands; and
# names of tests.
NO_SETTINGS = {"API_TYPE", "ILP_VERSION", "LPUSH", "BLPOP", "BLMPOP", "GREENBANK", "HOME", "CONNECTOR"} | {
    "ACCOUNT",
    "LARGE",
    "SCREENSHOTS",
    "TIMING_PAIRS",
}
MADE_AT_WORK = {"bench/results/"}
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^|\n)\n((?:    .*(?:\n|\Z))+)")
_INLINE = re.compile(r"`([^`]+)`")


@cache
def code_of(page: Path) -> list[str]:
    """The texts of a page that are code: in backticks, fenced or indented."""
    text = page.read_text()
    blocks = [block.split("\n", 1)[1].rsplit("\n", 1)[0] for block in _FENCE.findall(text)]
    text = _FENCE.sub("", text)
    blocks += _INDENTED.findall(text)
    return blocks + [" ".join(code.split()) for code in _INLINE.findall(_INDENTED.sub("\n", text))]


def commands_of(code: str) -> str:
    """Without the comments of a shell's lines."""
    return re.sub(r"(?m)(?:^|\s)# .*", "", code)


def named(find: Callable[[str], Iterator[str]]) -> set[tuple[str, str]]:
    """What the code of the pages names, each with its page."""
    return {(str(page.relative_to(PROJECT)), name) for page in PAGES for code in code_of(page) for name in find(code)}


@cache
def files() -> frozenset[str]:
    """Every file of the project, and every folder with a slash at its end; not what was made beside them."""
    found = set()
    for folder, folders, names in os.walk(PROJECT):
        folders[:] = [name for name in folders if name == ".ci" or not name.startswith((".", "__"))]
        here = Path(folder).relative_to(PROJECT).as_posix()
        inside = "" if here == "." else f"{here}/"
        found |= {inside + name for name in names} | {f"{inside}{name}/" for name in folders}
    return frozenset(found)


# --- settings ---------------------------------------------------------------------------------------------------------


def settings_read() -> set[str]:
    tree = ast.parse((PROJECT / "hub" / "settings.py").read_text())
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "env"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def settings_listed() -> list[str]:
    rows = re.findall(r"^\| (`[^|]+`) \|", SETTINGS_PAGE.read_text(), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)]


def test_the_settings_page_lists_each_setting_that_is_read_once_and_no_other() -> None:
    listed = settings_listed()
    assert len(listed) > 50
    assert sorted(listed) == sorted(settings_read() | READ_ELSEWHERE)


def test_what_is_read_elsewhere_is_read_there() -> None:
    elsewhere = [PROJECT / "hub" / "metrics.py", *(PROJECT / "hub" / "local").rglob("*.py")]
    assert {name for name in READ_ELSEWHERE if not any(f'"{name}"' in path.read_text() for path in elsewhere)} == set()


@cache
def words_of_the_code() -> frozenset[str]:
    """Names in capitals that the project has anywhere but on its pages."""
    suffixes = (".py", ".html", ".template", ".example", ".yaml", ".service", "Makefile", "Dockerfile", ".conf")
    names = [name for name in files() if name.endswith(suffixes) and not name.startswith("tests/")]
    texts = [(PROJECT / name).read_text() for name in names]
    return frozenset(word for text in texts for word in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\b", text))


def settings_in(code: str) -> Iterator[str]:
    """With a value, or alone in backticks; codes and states of the protocol look alike, and are in the code as well."""
    yield from re.findall(r"(?:^|(?<=\s))([A-Z][A-Z0-9_]{3,})=", code)
    if re.fullmatch(r"[A-Z][A-Z0-9_]{3,}", code):
        yield code


def test_settings_that_are_named_are_there() -> None:
    of_connectors = {f"CONNECTOR_{field.name.upper()}" for field in dataclasses.fields(Config)}
    there = {*settings_listed(), *words_of_the_code(), *of_connectors} | NO_SETTINGS
    found = named(settings_in)
    assert len(found) > 100
    assert {(page, name) for page, name in found if name not in there} == set()


# --- files and modules ------------------------------------------------------------------------------------------------

_PATH = re.compile(r"(?<![\w/.<{@:-])((?:\.ci/)?[a-z_0-9]+(?:/[\w.*-]+)*/?)(?![\w/{}:])")
_SUFFIXES = (".py", ".md", ".html", ".toml", ".in", ".template", ".yaml", ".example")


def roots() -> dict[str, str]:
    """What a path may begin with: a folder of the project, of its tests or of what is deployed; and where that is."""
    found = {}
    for name in sorted(files()):
        parts = name.rstrip("/").split("/")
        if name.endswith("/") and len(parts) == 1:
            found[parts[0]] = ""
        elif name.endswith("/") and len(parts) == 2 and parts[0] in ("tests", "deploy"):
            found.setdefault(parts[1], f"{parts[0]}/")
    return found


def paths_in(code: str) -> Iterator[str]:
    for path in _PATH.findall(code):
        first = path.split("/")[0]
        if ("/" in path and first in roots()) or ("/" not in path and path.endswith(_SUFFIXES)):
            yield path


def is_there(path: str) -> bool:
    if path in MADE_AT_WORK:
        return True
    if "/" not in path:
        return any(name.endswith(f"/{path}") or name == path for name in files())
    bare = path.rstrip("/")
    first = bare.split("/")[0]
    tops = {"", roots()[first], "tests/"}
    return any(any(PROJECT.glob(f"{top}{bare}{suffix}")) for top in tops for suffix in ("", ".py"))


def test_files_that_are_named_are_there() -> None:
    found = named(paths_in)
    assert len(found) > 150
    assert {(page, path) for page, path in found if not is_there(path)} == set()


_DOTTED = re.compile(r"(?<![\w/.@-])([a-z_][a-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+)(?![\w/(-]|\.\w)")
OWN = {"fspiop", "hub", "rules", "directory", "quotes", "ledger", "settlement", "portal"} | {
    "kitovu_connector",
    "example_dfsp",
    "bench",
    "tests",
}
PARTS_OF_HUB = {"api", "audit", "local", "notifications", "outbox", "participants", "sweeps"}


def modules_in(code: str) -> Iterator[str]:
    for name in _DOTTED.findall(code.replace(":application", ".application")):
        first, _, rest = name.partition(".")
        if name in NO_MODULES or name.endswith(_SUFFIXES) or rest == "tables":
            continue
        if first in OWN:
            yield name
        elif first in PARTS_OF_HUB:
            yield f"hub.{name}"


def is_module_or_in_one(name: str) -> bool:
    """Whether this is a module, or something in one; of what is in one, each step is looked for."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        try:
            if find_spec(module) is None:
                continue
        except ModuleNotFoundError:
            continue
        if length == len(parts):
            return True
        found = importlib.import_module(module)
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_modules_that_are_named_are_there() -> None:
    found = named(modules_in)
    assert len(found) > 30
    assert {(page, name) for page, name in found if not is_module_or_in_one(name)} == set()


# --- commands ---------------------------------------------------------------------------------------------------------


def test_make_targets_that_are_named_are_there() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    found = named(lambda code: iter(re.findall(r"(?<![\w./-])make (?:-s )?([a-z]+)\b", commands_of(code))))
    assert len(found) > 15
    assert {(page, name) for page, name in found if name not in targets} == set()
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE)) | set(re.findall(r"\$\(([A-Z]+)\)", makefile))
    with_value = re.compile(r"(?<![\w./-])make [a-z]+(?: [A-Z]+=\S+)*? ([A-Z]+)=")
    given = named(lambda code: iter(with_value.findall(commands_of(code))))
    assert {(page, name) for page, name in given if name not in variables} == set()


def test_management_commands_that_are_named_are_there() -> None:
    found = named(lambda code: iter(re.findall(r"manage\.py ([a-z_]+)", commands_of(code))))
    assert len(found) > 10
    assert {(page, name) for page, name in found if name not in get_commands()} == set()


# --- what operators watch ---------------------------------------------------------------------------------------------


def code_of_the_hub() -> str:
    return "\n".join(
        path.read_text()
        for app in ("hub", "ledger", "settlement", "portal", "kitovu_connector")
        for path in (PROJECT / app).rglob("*.py")
    )


def test_metrics_that_are_named_are_there() -> None:
    told = {
        (page.name, name)
        for page in [*PAGES, *(PROJECT / "deploy").rglob("*.yaml")]
        for name in re.findall(r"\bkitovu_[a-z_]+", page.read_text())
        if name not in NO_METRICS
    }
    code = code_of_the_hub()
    assert len(told) > 5
    assert {(page, name) for page, name in told if f'"{name}"' not in code} == set()


def test_log_events_that_are_named_are_there() -> None:
    watching = (PROJECT / "docs" / "operators.md").read_text().split("## Watching")[1].split("\n### ")[0]
    events = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`(?=[^|`]* log)", watching))
    code = code_of_the_hub()
    assert len(events) > 3
    assert {event for event in events if f'"{event}"' not in code} == set()


# --- links ------------------------------------------------------------------------------------------------------------


def anchors_of(page: Path) -> set[str]:
    """As the usual hosts make them of headings."""
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        if not to.exists() or (anchor and anchor not in anchors_of(to)):
            wrong.append(target)
    assert wrong == []


def test_every_decision_has_a_date_and_a_status_and_stands_in_the_list() -> None:
    folder = PROJECT / "docs" / "decisions"
    pages = sorted(page for page in folder.glob("*.md") if page.name != "README.md")
    assert pages
    for page in pages:
        title, blank, status = page.read_text().splitlines()[:3]
        assert re.match(r"# [^0-9]", title), page.name
        assert blank == "", page.name
        assert re.match(r"20\d\d-\d\d-\d\d · (Accepted|Amended by \[\d{4}\]\(\S+\.md\))", status), page.name
    listed = re.findall(r"^\| \[\d{4}\]\(([^)]+)\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert listed == [page.name for page in pages]
