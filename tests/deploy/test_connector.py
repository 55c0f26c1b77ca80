"""The connector's image and systemd unit, as far as they can be judged without a container engine."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from hub.local.net import free_port
from kitovu_connector import command_line

PROJECT = Path(__file__).resolve().parents[2]
UNIT = PROJECT / "deploy" / "systemd" / "kitovu-connector.service"
STATE, SETTINGS, USER = "/var/lib/kitovu-connector", "/etc/kitovu-connector", "10001"


def dockerfile() -> str:
    return (PROJECT / "connector" / "Dockerfile").read_text().replace("\\\n", " ")


def last(instruction: str) -> str:
    """What this instruction says in the image that is run."""
    return re.findall(rf"^{instruction} (.*)$", dockerfile(), re.MULTILINE)[-1]  # type: ignore[no-any-return]


def copied() -> dict[str, str]:
    """What is copied from the repository, and where to."""
    found = re.findall(r"^COPY (?!--from)(\S+) (\S+)$", dockerfile(), re.MULTILINE)
    return dict(found)


def parsed(command: list[str]) -> Any:
    """The command of the connector, as the command line reads it."""
    return command_line._parser().parse_args(command)


# --- the image --------------------------------------------------------------------------------------------------------


def test_the_image_runs_as_a_user_without_rights_and_stores_its_state_in_a_volume() -> None:
    assert last("USER") == USER
    assert f"--uid {USER}" in dockerfile()
    assert last("VOLUME") == STATE
    assert f"install --directory --owner={USER} --mode=0700 {STATE}" in dockerfile()
    assert last("WORKDIR") == SETTINGS
    assert dockerfile().index("\nUSER ") > dockerfile().rindex("\nRUN ")


def test_the_image_serves_and_checks_itself() -> None:
    program = ["python", "-m", "kitovu_connector"]
    assert yaml.safe_load(last("ENTRYPOINT")) == program
    assert parsed(yaml.safe_load(last("CMD"))).command == "serve"
    options, _, check = last("HEALTHCHECK").partition(" CMD ")
    command = yaml.safe_load(check)
    assert command[:3] == program
    assert parsed(command[3:]).command == "live"
    assert {"--interval", "--timeout", "--retries"} <= {option.split("=")[0] for option in options.split()}


def test_the_image_holds_what_was_looked_at_and_nothing_else() -> None:
    locked = (PROJECT / "connector" / "requirements.txt").read_text()
    blocks = re.findall(r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", locked, re.MULTILINE)
    assert [f"{name}=={version}" for name, version, _ in blocks] == re.findall(r"^([^\s#-]\S*)", locked, re.MULTILINE)
    versions = {name: version for name, version, _ in blocks}
    everything = (PROJECT / "requirements.txt").read_text().splitlines()
    assert {f"{name}=={version}" for name, version in versions.items() if name != "psycopg"} <= set(everything)
    declared = tomllib.loads((PROJECT / "connector" / "pyproject.toml").read_text())["project"]
    for text in [*declared["dependencies"], *declared["optional-dependencies"]["postgresql"]]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(versions[wanted.name]), text
    assert "--require-hashes" in dockerfile()


def test_what_is_copied_is_in_the_repository_and_not_kept_from_the_build() -> None:
    ignored = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if not line.startswith("!")]
    for source in copied():
        assert (PROJECT / source).exists(), source
        parts = source.split("/")
        beginnings = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
        assert not any(fnmatch(beginning, pattern) for beginning in beginnings for pattern in ignored), source
    assert set(copied()) == {"connector/requirements.txt", "fspiop", "kitovu_connector"}


def test_every_image_can_be_named_by_its_digest() -> None:
    assert set(re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    assert re.search(r"^ARG PYTHON_IMAGE=python:\S+$", dockerfile(), re.MULTILINE)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[list[str], dict[str, str], "subprocess.Popen[bytes]"]]:
    """The image's program, with the files that the image has: the command, its environment, the process."""
    code, settings, state = (folder / name for name in ("code", "settings", "state"))
    for source, target in copied().items():
        if (PROJECT / source).is_dir():
            assert target == f"{_environment()['PYTHONPATH']}/{source}"
            shutil.copytree(PROJECT / source, code / source, ignore=shutil.ignore_patterns("__pycache__"))
    for each in (settings, state):
        each.mkdir()
    values: dict[str, Any] = {"dfsp": "green", "hub_url": "http://127.0.0.1:9", "backend_url": "http://127.0.0.1:9"}
    values |= {"state": str(state), "ilp_secret": "at least sixteen characters", "inbound_is_private": True}
    values |= {"inbound_host": "0.0.0.0", "outbound_host": "0.0.0.0"}
    values |= {"inbound_port": free_port(), "outbound_port": free_port()}
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    (settings / "connector.toml").write_text(text)
    settings.chmod(0o500)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(code)}
    program = [sys.executable, *yaml.safe_load(last("ENTRYPOINT"))[1:]]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [*program, *yaml.safe_load(last("CMD"))], cwd=settings, env=environment, stdout=log, stderr=log
    )
    try:
        yield program, environment, process
    finally:
        process.kill()
        process.wait()
        log.close()


def _environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in last("ENV").split())


def test_the_program_of_the_image_serves_is_healthy_and_stops_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as (program, environment, process):
        check = [*program, *yaml.safe_load(last("HEALTHCHECK").partition(" CMD ")[2])[3:]]

        def status() -> int:
            done = subprocess.run(
                check, cwd=tmp_path / "settings", env=environment, capture_output=True, timeout=30, check=False
            )
            return done.returncode

        ends = time.monotonic() + 30
        while status() != 0:
            assert time.monotonic() < ends, (tmp_path / "log").read_text()
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert status() == 1
        assert (tmp_path / "state" / "connector.sqlite3").exists()


# --- the unit ---------------------------------------------------------------------------------------------------------


def in_unit(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_the_unit_starts_the_connector_and_starts_it_again() -> None:
    (line,) = in_unit("ExecStart")
    program, *arguments = line.split()
    assert program.endswith("/kitovu-connector")
    asked = parsed(arguments)
    assert (asked.command, asked.config) == ("serve", Path(SETTINGS) / "connector.toml")
    assert in_unit("Restart") == ["always"]
    assert in_unit("StartLimitIntervalSec") == ["0"]
    assert f"/var/lib/{in_unit('StateDirectory')[0]}" == STATE
    assert in_unit("User") == ["kitovu-connector"]


def test_the_unit_may_no_more_than_the_hubs_units() -> None:
    def hardening(unit: Path) -> set[str]:
        return set(re.findall(r"^((?:NoNew|Private|Protect)\w+=.*)$", unit.read_text(), re.MULTILINE))

    of_the_hub = hardening(UNIT.with_name("kitovu-web.service"))
    assert len(of_the_hub) >= 4
    assert of_the_hub <= hardening(UNIT)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_systemd_can_read_the_unit(tmp_path: Path) -> None:
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    (tmp_path / UNIT.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line] == [], done.stderr


def test_the_page_on_production_describes_both() -> None:
    page = (PROJECT / "docs" / "connect" / "production.md").read_text().split("## In a container, or under systemd")[1]
    for named in ("connector/Dockerfile", "deploy/systemd/kitovu-connector.service", STATE, SETTINGS, USER):
        assert named in page, named
    assert in_unit("ExecStart")[0].split("/bin/")[0] in page
