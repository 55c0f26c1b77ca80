"""The files of deploy/ say what is true of this project: as far as that can be seen without a container engine."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from hub.local.stack import HUB_PROGRAMS

PROJECT = Path(__file__).resolve().parents[2]
DEPLOY = PROJECT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
RESOURCES = [
    resource for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for resource in yaml.safe_load_all(file.open())
]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KUBERNETES = "1.35"
REQUEST_DEADLINE_S = 15


def settings_of_this_project() -> set[str]:
    return set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (PROJECT / "hub" / "settings.py").read_text()))


def pods() -> dict[str, Any]:
    return {
        resource["metadata"]["labels"]["part"]: resource["spec"]["template"]["spec"]
        for resource in RESOURCES
        if resource["kind"] in ("Deployment", "Job")
    }


def commands() -> dict[str, list[str]]:
    """Every command line that a file of deploy/ starts, by where it stands."""
    dockerfile = (DEPLOY / "Dockerfile").read_text().replace("\\\n", "")
    found = {"Dockerfile": yaml.safe_load(re.search(r"^CMD (\[.*\])", dockerfile, re.MULTILINE)[1])}  # type: ignore[index]
    found |= {
        f"compose {name}": service["command"]
        for name, service in COMPOSE["services"].items()
        if "build" in service and "command" in service
    }
    found |= {
        f"kubernetes {part}": pod["containers"][0]["command"]
        for part, pod in pods().items()
        if "command" in pod["containers"][0]
    }
    for unit in UNITS:
        line = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)[1]  # type: ignore[index]
        found[unit.name] = [part.removeprefix("/srv/kitovu/.venv/bin/") for part in line.split()]
    return found


@pytest.mark.parametrize(
    "resource", RESOURCES, ids=lambda resource: f"{resource['kind']}-{resource['metadata']['name']}"
)
def test_each_manifest_is_what_kubernetes_knows(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_every_process_of_the_hub_is_deployed_everywhere() -> None:
    wanted = {*HUB_PROGRAMS, "migrate"}
    assert wanted <= set(COMPOSE["services"])
    assert set(pods()) == wanted
    assert {unit.stem.removeprefix("kitovu-") for unit in UNITS} == wanted


@pytest.mark.parametrize("where", commands())
def test_each_command_starts_what_is_there(where: str) -> None:
    command = commands()[where]
    match command[0]:
        case "granian":
            assert command[-1] == "hub.wsgi:application"
            assert command[command.index("--interface") + 1] == "wsgi"
        case "celery":
            assert command[1:3] == ["-A", "hub"]
            assert command[3] in ("worker", "beat")
        case "python":
            assert (PROJECT / command[1]).is_file()
            assert command[2] == "migrate"
        case other:
            pytest.fail(f"{where} starts {other}")


def test_only_settings_that_the_hub_reads_are_given() -> None:
    given = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "hub.env.example").read_text(), re.MULTILINE))
    given |= set(COMPOSE["x-hub"]["environment"])
    given |= {name for resource in RESOURCES if resource["kind"] == "ConfigMap" for name in resource["data"]}
    assert given <= settings_of_this_project()
    assert {"PRODUCTION", "SECRET_KEY", "DATABASE_URL", "HUB_SIGNING_KEY_FILE"} <= given


def test_a_stop_waits_longer_than_the_longest_request() -> None:
    for part in ("web", "worker"):
        assert pods()[part]["terminationGracePeriodSeconds"] > REQUEST_DEADLINE_S
        assert int(COMPOSE["services"][part]["stop_grace_period"].removesuffix("s")) > REQUEST_DEADLINE_S
        unit = (DEPLOY / "systemd" / f"kitovu-{part}.service").read_text()
        assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) > REQUEST_DEADLINE_S  # type: ignore[index]


def test_what_compose_names_is_declared() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"], name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")
def test_systemd_can_read_the_units(tmp_path: Path) -> None:
    # The paths and the user of a server are not there on this machine; everything else is judged.
    for unit in UNITS:
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text.replace("postgresql.service", "basic.target"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert said == [], done.stderr
