"""The guide docs/connect/: every command is run as a reader copies it, on one live hub. And `doctor` names faults."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from aiohttp import web

from fspiop.time import http_date
from hub.local import net
from hub.local.demo import bring_up, introduction
from hub.local.demo.banks import Bank
from hub.local.demo.http import call
from hub.local.stack import PROJECT, Stack
from hub.participants import certificate_authority
from kitovu_connector import doctor
from kitovu_connector.config import Config
from kitovu_connector.connector import Connector
from kitovu_connector.doctor import Finding, Verdict
from kitovu_connector.hub_api import HubUnreachable
from tests import proofs, wheels
from tests.connector.hub_stub import Core
from tests.live_hubs import own_hub
from tests.proofs import key_of, private_pem, public_pem

pytestmark = pytest.mark.live

GUIDE = PROJECT / "docs" / "connect"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_RUN = "make run DEMO=1\n"
_INSTALL = "python3 -m venv FOLDER\nFOLDER/bin/pip install --quiet ./connector\n"
_AS_IF_INSTALLED = """mkdir -p FOLDER/bin
printf '#!/bin/sh\\nexport PYTHONPATH=%s\\nexec %s -m kitovu_connector "$@"\\n' \\
    "$PROJECT" "$PYTHON" > FOLDER/bin/kitovu-connector
chmod +x FOLDER/bin/kitovu-connector
"""


@dataclass
class Hub:
    """The hub, with a second door that requires tokens and signatures."""

    stack: Stack
    strict_url: str
    folder: Path
    banks: list[Bank]

    @property
    def api(self) -> str:
        return f"{self.stack.base_url}/api/ledger/v1/participants"

    def post(self, path: str, body: object) -> Any:
        status, answer = call("POST", f"{self.api}{path}", body)
        assert status in (200, 201, 202), answer
        return answer


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("hub")
    (folder / "hub.key").write_text(private_pem(key_of("Hub")))
    certificate_authority.create("scheme", certificate_file=folder / "ca.pem", key_file=folder / "ca.key")
    files = {
        "HUB_SIGNING_KEY_FILE": "hub.key",
        "HUB_CA_CERTIFICATE_FILE": "ca.pem",
        "HUB_CA_KEY_FILE": "ca.key",
    }
    with own_hub(folder / "state", **{name: str(folder / file) for name, file in files.items()}) as stack:
        strict = net.free_port()
        granian = [str(Path(sys.executable).with_name("granian")), "--interface", "wsgi", "--http", "1"]
        size = ["--host", net.HOST, "--port", str(strict), "--workers", "1", "--blocking-threads", "16"]
        stack.add_process(
            "strict",
            [*granian, *size, "hub.wsgi:application"],
            env={"PARTICIPANT_AUTH": "token", "SIGNATURES": "required"},
            health_url=f"http://{net.HOST}:{strict}/health",
        )
        banks = bring_up(stack, tell=lambda _: None)
        yield Hub(stack, f"http://{net.HOST}:{strict}", folder, banks)


# --- the guide --------------------------------------------------------------------------------------------------------


def commands_of(page: str) -> str:
    return "\n".join(_BLOCK.findall((GUIDE / page).read_text()))


def as_if_installed(script: str, folder: str) -> str:
    """The commands of a page, with this environment's connector in place of the one that the page installs."""
    assert _INSTALL.replace("FOLDER", folder) in script
    return script.replace(*(text.replace("FOLDER", folder) for text in (_INSTALL, _AS_IF_INSTALLED)))


def run(script: str, place: Path, **environ: str) -> str:
    """Runs a page's commands in one shell, which stops at the first that fails. Returns what they print."""
    environment = os.environ | {"PROJECT": str(PROJECT), "PYTHON": sys.executable} | environ
    stop = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", stop + script],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    logs = "".join(path.read_text() for path in place.glob("bank/*.log"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{logs}"
    return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder in which the repository's own are, as far as the guide needs them."""
    for name in ("docs", "connector"):
        (tmp_path / name).symlink_to(PROJECT / name)
    return tmp_path


def with_own_ports(script: str, hub: Hub, **others: str) -> str:
    known = {"http://127.0.0.1:8000": hub.stack.base_url} | others
    for port in ("4000", "4001", "4002", "4100"):
        known[port] = known.get(port) or str(net.free_port())
    for text, found in known.items():
        script = re.sub(rf"(?<!\d){re.escape(text)}(?!\d)", found, script)
    return script


def test_a_reader_comes_from_nothing_to_the_first_payments_and_to_production_by_copy_and_paste(
    hub: Hub, place: Path
) -> None:
    """Both pages in one folder, one after the other: what the first page leaves must not stop the second."""
    _pay_first(hub, place)
    _prepare_production(hub, place)


def _pay_first(hub: Hub, place: Path) -> None:
    script = commands_of("README.md")
    assert _RUN in script
    script = as_if_installed(script.replace(_RUN, ""), "bank")
    # As the page's last words propose: other cores in place of this one, and a payment from Node.
    others = [name for name in OTHER_CORES if _has(name)]
    more = "core=%1\n" + "".join(_with_core(name) for name in others)
    if _has("node"):
        more += "node docs/connect/pay.js http://127.0.0.1:4001 255655001001 250\n"
    script = script.replace("kill %1 %2", f"{more}\nkill $(jobs -p)")
    said = run(with_own_ports(script, hub), place, GREENBANK=hub.banks[0].url)
    assert "All is well." in said
    assert "COMMITTED 15000 TZS to" in said
    assert '"homeTransactionId":"my-first"' in said
    assert said.count("credited 2500 TZS to 255770001001") == 1 + len(others)
    assert said.count("PAID 700 TZS by") == said.count("PAID 800 TZS by") == 1
    assert '"waitsFor":"TERMS"' in said
    assert said.count('"homeTransactionId":"my-second"') == 3
    assert ("COMMITTED 250 TZS to" in said) == _has("node")
    assert "transfers: 6 EQUAL" in said, said
    report = (place / "bank" / "report.csv").read_text().splitlines()
    assert sum(",EQUAL,COMMITTED," in line for line in report) == 6
    assert [line for line in report if line.endswith(",funds")] == [
        "opening deposit,IN,UNCHECKED,COMMITTED,5000000,,,TZS,funds"
    ]
    assert introduction(hub.banks).count("2557120010") >= 3


OTHER_CORES = {
    "node": "node docs/connect/backend.js 4002",
    "javac": "javac -d bank docs/connect/Backend.java; java -cp bank Backend 4002",
}
_PAID_AGAIN = """curl --silent --fail --retry 20 --retry-delay 1 --retry-connrefused \\
    http://127.0.0.1:4002/parties/MSISDN/255770001001
curl --silent --fail -X POST $GREENBANK/pay \\
    -H 'Content-Type: application/json' -d '{"reference": "rent-NAME", "payer": "255712001001", "payee": "255770001001",
    "amount": "2500", "currency": "TZS", "note": "rent"}'
sleep 2"""


def _with_core(name: str) -> str:
    compiled, _, started = OTHER_CORES[name].rpartition("; ")
    return f"""{compiled}
kill $core; sleep 0.5; {started} > bank/{name}.log 2>&1 & core=$!
{_PAID_AGAIN.replace("NAME", name)}
cat bank/{name}.log
"""


def _has(program: str) -> bool:
    return shutil.which(program) is not None


@pytest.mark.parametrize("name", OTHER_CORES)
def test_the_other_cores_of_the_page_can_be_run_here(name: str) -> None:
    if not _has(name):
        pytest.skip(f"{name} is not installed here, so its core in docs/connect was not run")


def test_each_core_of_the_page_is_short_and_needs_no_library() -> None:
    for core in ("backend.py", "backend.js", "Backend.java"):
        assert len((GUIDE / core).read_text().splitlines()) < 100, core


# --- the wheel --------------------------------------------------------------------------------------------------------


@pytest.mark.thorough  # the guide's test pays by the same connector, from its sources
def test_the_wheel_alone_pays_and_is_paid_with_signatures_both_ways(hub: Hub, tmp_path: Path) -> None:
    """Two banks in an empty environment, away from the repository, at the door that requires tokens and signatures."""
    pytest.importorskip("hatchling")
    (tmp_path / "wheel").mkdir()
    python = wheels.environment(wheels.build(tmp_path / "wheel"), tmp_path / "environment")
    numbers = {"wheelone": "255780001001", "wheeltwo": "255780001002"}
    ports = {name: [str(net.free_port()) for _ in range(3)] for name in numbers}
    command = str(python.with_name("kitovu-connector"))

    def connector(*arguments: str, name: str = "") -> str:
        environ = {"CONNECTOR_CONFIG": f"{name}/connector.toml"} if name else {}
        done = subprocess.run(
            [command, *arguments], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for name, (inbound, outbound, core) in ports.items():
        places = ["--backend-url", f"http://127.0.0.1:{core}", "--inbound-port", inbound, "--outbound-port", outbound]
        connector("init", "--yes", "--folder", name, "--dfsp", name, "--hub-url", hub.strict_url, *places)
        _made_participant(hub, name, inbound, tmp_path / name)
    time.sleep(2.5)  # the hub's processes read credentials again every two seconds
    running = []
    try:
        for name, (_, _, core) in ports.items():
            text = (tmp_path / name / "connector.toml").read_text().replace("# verify_jws = true", "verify_jws = true")
            fetched = connector("signing-key", "fetch", "--out", f"{name}/keys", name=name)
            (tmp_path / name / "connector.toml").write_text(f"{text}\n{fetched}")
            program = (GUIDE / "backend.py").read_text().replace("255770001001", numbers[name])
            (tmp_path / name / "core.py").write_text(program)
            for arguments in (
                [str(python), f"{name}/core.py", core],
                [command, "serve", "--config", f"{name}/connector.toml"],
            ):
                log = (tmp_path / name / f"{Path(arguments[0]).name}.log").open("w")
                running.append(subprocess.Popen(arguments, cwd=tmp_path, env={}, stdout=log, stderr=log))
        for name, (_, outbound, _) in ports.items():
            alias = {"idType": "MSISDN", "idValue": numbers[name], "currency": "TZS"}
            _until_answers(f"http://127.0.0.1:{outbound}/health/live")
            status, answer = call("POST", f"http://127.0.0.1:{outbound}/aliases", alias)
            assert status == 201, answer
        for payer, payee in (("wheelone", "wheeltwo"), ("wheeltwo", "wheelone")):
            given = [f"MSISDN/{numbers[payee]}", "700", "TZS", "--from", f"MSISDN/{numbers[payer]}", "--yes"]
            assert "COMMITTED 700 TZS to Amina Salim" in connector("send", *given, name=payer)
        time.sleep(1)
        for name in numbers:
            assert f"credited 700 TZS to {numbers[name]}" in (tmp_path / name / "python.log").read_text()
            assert "transfers: 2 EQUAL" in connector("reconcile", "--since", "1h", "--until", "0s", name=name)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(10)


def _made_participant(hub: Hub, name: str, inbound: str, folder: Path) -> None:
    hub.post("", {"name": name, "currency": "TZS"})
    limit = {"type": "NET_DEBIT_CAP", "value": 1000}
    hub.post(f"/{name}/initialPositionAndLimits", {"currency": "TZS", "limit": limit, "initialPosition": 0})
    hub.post(f"/{name}/endpoints", {"type": "FSPIOP_CALLBACK_URL", "value": f"http://127.0.0.1:{inbound}"})
    hub.post(f"/{name}/credentials/signingKeys", {"key": (folder / "jws.pub").read_text()})
    client = hub.post(f"/{name}/credentials/clients", {})
    (folder / "token.secret").write_text(client["clientSecret"])
    text = (folder / "connector.toml").read_text()
    (folder / "connector.toml").write_text(text.replace('token_client = ""', f'token_client = "{client["clientKey"]}"'))
    _, accounts = call("GET", f"{hub.api}/{name}/accounts", None)
    (account,) = (each["id"] for each in accounts if each["ledgerAccountType"] == "SETTLEMENT")
    cover = {
        "transferId": str(uuid.uuid4()),
        "externalReference": "opening",
        "action": "recordFundsIn",
        "reason": "cover",
    }
    hub.post(f"/{name}/accounts/{account}", cover | {"amount": {"amount": "5000", "currency": "TZS"}})


def _until_answers(url: str) -> None:
    for _ in range(100):
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


# --- the README of the connector --------------------------------------------------------------------------------------


def test_the_readmes_programs_pay_as_they_stand(hub: Hub, place: Path) -> None:
    """Only the addresses and the name of the bank are others."""
    inbound, core = str(net.free_port()), str(net.free_port())
    join = "sh docs/connect/join.sh readmebank http://127.0.0.1:4000 http://127.0.0.1:8000"
    run(with_own_ports(join, hub, **{"4000": inbound}), place)
    text = (PROJECT / "connector" / "README.md").read_text()
    programs = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    own = {
        "greenbank": "readmebank",
        "https://hub.example": hub.stack.base_url,
        "http://core.internal:8080": f"http://127.0.0.1:{core}",
        "inbound_port=4000": f"inbound_port={inbound}",
    }
    bank = subprocess.Popen([sys.executable, str(GUIDE / "backend.py"), core])
    try:
        _until_answers(f"http://127.0.0.1:{core}/parties/MSISDN/255770001001")
        said = [_printed_by(program, own, place) for program in programs]
    finally:
        bank.terminate()
        bank.wait(10)
    assert len(programs) == 2
    assert re.search(r"^\w+ \w+ gets [0-9.]+, and the fee is [0-9.]+$", said[0], re.MULTILINE), said[0]
    for printed in said:
        assert printed.splitlines()[-1] == "COMMITTED None None", printed
    _, accounts = call("GET", f"{hub.api}/readmebank/accounts", None)
    positions = [account["value"] for account in accounts if account["ledgerAccountType"] == "POSITION"]
    assert [float(value) for value in positions] == [30_000]  # each program has paid once


def _printed_by(program: str, own: dict[str, str], place: Path) -> str:
    for text, found in own.items():
        program = program.replace(text, found)
    (place / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- the other pages --------------------------------------------------------------------------------------------------


def test_becoming_a_participant_needs_exactly_the_requests_of_the_page(hub: Hub, place: Path) -> None:
    said = run(with_own_ports(commands_of("participant.md"), hub), place)
    assert '"clientSecret":' in said
    assert '"name":"newbank"' in said
    assert '"free":"1000000"' in said


_APPROVE = """
from django.contrib.auth.models import User
from hub.audit.models import Approval
from portal import changes, users
from portal.permissions import Role
from portal.visitor import visitor_for
people = []
for name in ("asha", "juma"):
    user = User.objects.filter(username=name).first() or users.create(
        username=name, email=name + "@example.org", roles=frozenset({Role.OPERATOR}), participant=None,
        actor="test", is_confirmed=True)
    people.append(user)
for person in people:
    for approval in Approval.objects.filter(state="PENDING").order_by("pk"):
        if approval.maker_id != person.pk:
            changes.approve(visitor_for(User.objects.get(pk=person.pk)), approval.pk)
"""


def _prepare_production(hub: Hub, place: Path) -> None:
    """At the door that requires tokens and signatures."""
    inbound = net.free_port()
    script = with_own_ports(as_if_installed(commands_of("production.md"), "production"), hub, **{"4000": str(inbound)})
    script = script.replace("https://hub.example", hub.strict_url)
    command, show_key = "production/bin/kitovu-connector", "openssl pkey -pubin -in production/jws.pub"
    setup, rest = script.split(show_key, 1)
    run(setup, place)
    configuration = place / "production" / "connector.toml"

    # What the operator does meanwhile.
    hub.post("", {"name": "mybank2", "currency": "TZS"})
    hub.post("/mybank2/endpoints", {"type": "FSPIOP_CALLBACK_URL", "value": f"http://127.0.0.1:{inbound}"})
    hub.post("/mybank2/credentials/signingKeys", {"key": (place / "production" / "jws.pub").read_text()})
    client = hub.post("/mybank2/credentials/clients", {})
    (place / "production" / "token.secret").write_text(client["clientSecret"])
    text = configuration.read_text().replace('"mybank"', '"mybank2"')
    configuration.write_text(text.replace('token_client = ""', f'token_client = "{client["clientKey"]}"'))
    csr = ["req", "-new", "-key", "production/tls.key", "-subj", "/CN=mybank2", "-out", "production/tls.csr"]
    subprocess.run(["openssl", *csr], cwd=place, check=True, capture_output=True)
    time.sleep(2.5)  # the hub's processes read credentials again every two seconds

    environ = {"CONNECTOR_CONFIG": "production/connector.toml"}
    first, second = (show_key + rest).split(f"{command} certificate fetch")
    said = run(first, place, **environ)
    assert '[jws_keys]\n"Hub" = [' in said
    own = re.search(r"SHA-256 of the key: (\w+)", said)
    assert own is not None
    assert said.count(own[1]) == 2  # what openssl shows is what the hub names
    hub.stack.manage("shell", "-c", _APPROVE)

    fetch, further = second.split("openssl genpkey", 1)
    said = run(f"{command} certificate fetch{fetch}", place, **environ)
    assert "wrote production/tls.pem, valid until" in said
    submit, last = ("openssl genpkey" + further).split(f"{command} doctor")
    assert "PENDING, 0 of 2 approvals" in run(submit, place, **environ)
    assert not last.strip()
    found = subprocess.run([command, "doctor"], cwd=place, env=os.environ | environ, capture_output=True, text=True)
    # Neither core nor connector runs, and nothing proves who calls: that is named first.
    assert found.returncode == 1, found.stdout
    assert "nothing proves that a caller is the hub" in found.stdout


def test_the_other_pages_have_no_commands_that_nobody_runs() -> None:
    assert {path.name for path in GUIDE.glob("*.md") if commands_of(path.name)} == {
        "README.md",
        "certification.md",  # run by tests/certification
        "participant.md",
        "production.md",
    }


# --- doctor -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def configs(hub: Hub) -> dict[str, Config]:
    """Banks at the strict door, each with all that it needs, by name."""
    made = {}
    for name in ("careful", "quiet", "prefix", "wrongkey", "disabled"):
        made[name] = _bank(hub, name, "/other" if name == "prefix" else "")
    keys: dict[str, tuple[str, ...]] = {}
    for number, key in enumerate(_listed(hub)):
        file = hub.folder / f"listed-{number}.pub"
        file.write_text(key["key"])
        keys[key["participant"]] = (*keys.get(key["participant"], ()), str(file))
    call("PUT", f"{hub.api}/disabled", {"isActive": False})
    time.sleep(2.5)
    return {
        name: replace(config, jws_keys={sender: found for sender, found in keys.items() if sender != name})
        for name, config in made.items()
    }


def _listed(hub: Hub) -> list[dict[str, str]]:
    """The keys that the hub hands out: of these banks, and of those that earlier tests have registered."""
    headers = {"FSPIOP-Source": "careful", "Date": http_date(datetime.now(UTC))}
    request = urllib.request.Request(f"{hub.stack.base_url}/dfsp/v1/signingKeys", headers=headers)
    with urllib.request.urlopen(request) as answer:
        found: list[dict[str, str]] = json.load(answer)["keys"]
    return found


def _bank(hub: Hub, name: str, path: str) -> Config:
    inbound, outbound = net.free_port(), net.free_port()
    (hub.folder / f"{name}.key").write_text(private_pem(key_of(name)))
    (hub.folder / f"{name}.pub").write_text(public_pem(key_of(name)))
    (hub.folder / "Hub.pub").write_text(public_pem(key_of("Hub")))
    hub.post("", {"name": name, "currency": "TZS"})
    limit = {"type": "NET_DEBIT_CAP", "value": 1000}
    hub.post(f"/{name}/initialPositionAndLimits", {"currency": "TZS", "limit": limit, "initialPosition": 0})
    hub.post(f"/{name}/endpoints", {"type": "FSPIOP_CALLBACK_URL", "value": f"http://127.0.0.1:{inbound}{path}"})
    hub.post(f"/{name}/credentials/signingKeys", {"key": public_pem(key_of(name))})
    client = hub.post(f"/{name}/credentials/clients", {})
    return Config(
        dfsp=name,
        hub_url=hub.strict_url,
        state=hub.folder / name,
        ilp_secret="a secret of this bank's",
        backend_url=hub.banks[0].url,
        inbound_port=inbound,
        outbound_port=outbound,
        signing_key=str(hub.folder / f"{name}.key"),
        verify_jws=True,
        jws_keys={"Hub": (str(hub.folder / "Hub.pub"),)},
        token_url=f"{hub.strict_url}/token",
        token_client=client["clientKey"],
        token_secret=client["clientSecret"],
    )


def examined(config: Config, *, serves: Config | None = None) -> list[Finding]:
    async def main() -> list[Finding]:
        async with _serving(serves):
            return [finding async for finding in doctor.examine(config)]

    return asyncio.run(main())


@asynccontextmanager
async def _serving(config: Config | None) -> AsyncIterator[None]:
    if config is None:
        yield
        return
    async with Connector(config, Core()):
        yield


def faults_of(found: list[Finding]) -> dict[str, str]:
    return {each.check: f"{each.text} {each.advice}" for each in found if each.verdict is Verdict.FAULT}


def test_doctor_finds_nothing_where_nothing_is_wrong(hub: Hub, configs: dict[str, Config]) -> None:
    found = examined(configs["careful"], serves=configs["careful"])
    assert faults_of(found) == {}
    assert {each.check for each in found if each.verdict is Verdict.OK} == {
        *("settings", "files", "keys", "state", "core", "hub", "credentials", "clock", "participant", "signature"),
        *("keys of others", "callback"),
    }
    assert {each.check for each in found if each.verdict is Verdict.WARNING} == {"limit"}  # it has no cover yet


Plant = Callable[[Hub, Config, Path], Config]


def _ended(hub: Hub, config: Config, folder: Path) -> Config:
    certificate = proofs.Authority("scheme").issue("careful", days=(-30, -1), key=key_of("careful"))
    (folder / "tls.pem").write_text(proofs.pem_of(certificate))
    return replace(config, client_cert=str(folder / "tls.pem"), client_key=config.signing_key)


def _of_another(hub: Hub, config: Config, folder: Path) -> Config:
    certificate = proofs.Authority("scheme").issue("careful", key=key_of("careful"))
    (folder / "tls.pem").write_text(proofs.pem_of(certificate))
    return replace(config, client_cert=str(folder / "tls.pem"), client_key=str(hub.folder / "quiet.key"))


def _unknown_key(hub: Hub, config: Config, folder: Path) -> Config:
    (folder / "new.key").write_text(private_pem(key_of("nobody's")))
    return replace(config, signing_key=str(folder / "new.key"))


def _without(config: Config, sender: str) -> Config:
    return replace(config, jws_keys={name: files for name, files in config.jws_keys.items() if name != sender})


PLANTED: dict[str, tuple[str, str, Plant]] = {
    "a wrong port in hub_url": (
        "hub",
        "cannot be reached",
        lambda hub, config, _: replace(config, hub_url="http://127.0.0.1:9", token_url=""),
    ),
    "https to a server without": (
        "hub",
        "no secure connection",
        lambda hub, config, _: replace(config, hub_url=hub.strict_url.replace("http:", "https:"), token_url=""),
    ),
    "hub_url of another server": (
        "hub",
        "is not the hub's API",
        lambda hub, config, _: replace(config, hub_url=hub.banks[0].url, token_url=""),
    ),
    "a wrong secret": ("token", "gives no token", lambda hub, config, _: replace(config, token_secret="not this one")),
    "another's name": ("credentials", "for greenbank", lambda hub, config, _: replace(config, dfsp="greenbank")),
    "no token at all": ("credentials", "does not accept", lambda hub, config, _: replace(config, token_url="")),
    "a certificate that has ended": ("certificate", "expired on", _ended),
    "a certificate of another key": ("certificate", "client_cert and client_key", _of_another),
    "a signing key that the hub does not know": ("signature", "does not know signing_key", _unknown_key),
    "no signing key": (
        "signature",
        "requires signatures",
        lambda hub, config, _: replace(config, signing_key=""),
    ),
    "no key of another DFSP": ("keys of others", "of quiet", lambda hub, config, _: _without(config, "quiet")),
    "a file that is not there": (
        "files",
        "cannot be read",
        lambda hub, config, folder: replace(config, signing_key=str(folder / "lost.key")),
    ),
    "a core that is down": (
        "core",
        "Start the core",
        lambda hub, config, _: replace(config, backend_url="http://127.0.0.1:9", request_s=2.0),
    ),
    "nothing proves that the hub calls": (
        "settings",
        "nothing proves",
        lambda hub, config, _: replace(config, verify_jws=False),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_doctor_names_the_planted_fault(hub: Hub, configs: dict[str, Config], tmp_path: Path, name: str) -> None:
    check, text, plant = PLANTED[name]
    faults = faults_of(examined(plant(hub, configs["careful"], tmp_path)))
    faults.pop("callback", None)  # no connector runs here
    assert list(faults) == [check], faults
    assert text in faults[check]


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("quiet", None, "Start the connector"),
        ("prefix", {}, "inbound_prefix"),
        ("wrongkey", {"jws_keys": "quiet"}, "another key of Hub"),
    ],
)
def test_doctor_names_what_keeps_the_hub_from_calling(
    hub: Hub, configs: dict[str, Config], name: str, changes: dict[str, str] | None, text: str
) -> None:
    config = configs[name]
    serves = config if changes is not None else None
    if changes:
        wrong = str(hub.folder / f"{changes['jws_keys']}.pub")
        serves = replace(config, jws_keys={**config.jws_keys, "Hub": (wrong,)})
    assert text in faults_of(examined(config, serves=serves))["callback"]


def test_doctor_names_a_wrong_clock_and_a_disabled_participant(hub: Hub, configs: dict[str, Config]) -> None:
    with time_machine.travel(time.time() + 60, tick=True):
        faults = faults_of(examined(configs["careful"]))
    assert "Set this machine's clock" in faults["clock"]
    assert "enable" in faults_of(examined(configs["disabled"]))["participant"]


def test_doctor_names_an_answer_of_the_core_that_cannot_be_used(hub: Hub, configs: dict[str, Config]) -> None:
    async def main() -> dict[str, str]:
        app = web.Application()

        async def answer(_: web.Request) -> web.Response:
            return web.json_response({"name": "no displayName"})

        app.router.add_get("/{rest:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        port = net.free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            config = replace(configs["careful"], backend_url=f"http://127.0.0.1:{port}")
            return faults_of([finding async for finding in doctor.examine(config)])
        finally:
            await runner.cleanup()

    assert "displayName" in asyncio.run(main())["core"]


# --- the doctor without a check ---------------------------------------------------------------------------------------


def _no_finding(*_: Any) -> Finding:
    return Finding("removed", Verdict.OK, "")


async def _no_finding_later(*_: Any) -> Finding:
    return _no_finding()


def _no_findings(*_: Any) -> Iterator[Finding]:
    return iter(())


def _never_insecure(config: Config, why: HubUnreachable) -> Finding:
    why.is_insecure = False
    return _unreachable(config, why)


_unreachable = doctor._unreachable
REMOVED: dict[str, tuple[str, Any]] = {
    "a wrong port in hub_url": ("_unreachable", _no_finding),
    "https to a server without": ("_unreachable", _never_insecure),
    "hub_url of another server": ("_not_accepted", _no_findings),
    "a wrong secret": ("_not_accepted", _no_findings),
    "another's name": ("_not_accepted", _no_findings),
    "no token at all": ("_not_accepted", _no_findings),
    "a certificate that has ended": ("_end_of", _no_finding),
    "a certificate of another key": ("_keys", _no_findings),
    "a signing key that the hub does not know": ("_signature", _no_finding),
    "no signing key": ("_signature", _no_finding),
    "no key of another DFSP": ("_others_keys", _no_finding),
    "a file that is not there": ("_files", _no_finding),
    "a core that is down": ("_core", _no_finding_later),
    "nothing proves that the hub calls": ("_settings", _no_finding),
}
FURTHER: dict[str, tuple[str, Any, Callable[[Hub, dict[str, Config]], None]]] = {
    "a wrong clock": ("_clock", _no_finding, test_doctor_names_a_wrong_clock_and_a_disabled_participant),
    "a disabled participant": ("_participant", _no_finding, test_doctor_names_a_wrong_clock_and_a_disabled_participant),
    "a strange answer of the core": (
        "_core",
        _no_finding_later,
        test_doctor_names_an_answer_of_the_core_that_cannot_be_used,
    ),
    "no connector": (
        "_callback",
        _no_finding_later,
        lambda hub, configs: test_doctor_names_what_keeps_the_hub_from_calling(
            hub, configs, "quiet", None, "Start the connector"
        ),
    ),
}


def test_each_planted_fault_has_its_check() -> None:
    assert list(REMOVED) == list(PLANTED)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [*REMOVED, *FURTHER])
def test_without_its_check_the_doctor_names_no_fault(
    hub: Hub, configs: dict[str, Config], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a test above would pass without the check."""
    function, instead = REMOVED[name] if name in REMOVED else FURTHER[name][:2]
    monkeypatch.setattr(doctor, function, instead)
    with pytest.raises((AssertionError, KeyError)):  # noqa: PT012
        if name in REMOVED:
            test_doctor_names_the_planted_fault(hub, configs, tmp_path, name)
        else:
            FURTHER[name][2](hub, configs)
