"""Certifications on a hub at work: a correct DFSP passes, each of ten broken ones fails its case."""

import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.local.demo import bring_up
from hub.local.demo.banks import Bank
from hub.local.demo.http import call
from hub.local.stack import PROJECT, Stack
from portal.certification import report
from portal.certification.cases import CASES
from tests.certification.dfsp import CUSTOMER, FAULTS, Loop, TestDfsp
from tests.live.bank_people import Person
from tests.live_hubs import own_hub
from tests.proofs import key_of, private_pem, public_pem

pytestmark = pytest.mark.live


@dataclass
class Hub:
    """The hub, with signatures checked, and the folder for reports."""

    stack: Stack
    folder: Path
    loop: Loop
    dfsps: list[TestDfsp] = field(default_factory=list)

    def add(self, name: str, fault: str = "") -> TestDfsp:
        dfsp = TestDfsp(name, self.stack.base_url, key_of("the key of every test DFSP" + name), fault=fault)
        self.loop.do(dfsp.open)
        self.dfsps.append(dfsp)
        self.operate("POST", "/participants", {"name": name, "currency": "TZS"})
        self.operate("POST", f"/participants/{name}/endpoints", {"type": "FSPIOP_CALLBACK_URL", "value": dfsp.url})
        self.operate("POST", f"/participants/{name}/credentials/signingKeys", {"key": public_pem(dfsp.key)})
        return dfsp

    def operate(self, method: str, path: str, body: Any) -> Any:
        status, answer = call(method, f"{self.stack.base_url}/api/ledger/v1{path}", body)
        assert status in (200, 201, 202), answer
        return answer

    def certify(self, *arguments: str) -> tuple[int, str]:
        """Runs the command. Returns its status and its output."""
        command = [sys.executable, "manage.py", "certify", *arguments, "--reports", str(self.folder)]
        done = subprocess.run(
            command, cwd=PROJECT, env=self.stack.env, capture_output=True, text=True, timeout=300, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def change(self, name: str, how: str) -> str:
        """Changes or reads the DFSP's row, and returns what is printed."""
        return self.stack.manage(
            "shell", "-c", "from django.utils import timezone; from hub.participants.models import Participant as P;"
            f"print(P.objects.filter(name={name!r}){how})",
        )  # fmt: skip

    def report(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return found


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("certification")
    (folder / "hub.key").write_text(private_pem(key_of("Hub")))
    loop = Loop()
    settings = {"SIGNATURES": "checked", "HUB_SIGNING_KEY_FILE": str(folder / "hub.key")}
    with own_hub(folder / "state", **settings) as stack:
        made = Hub(stack, folder / "reports", loop)
        for kind in ("HUB_RECONCILIATION", "HUB_MULTILATERAL_SETTLEMENT"):
            made.operate("POST", "/participants/Hub/accounts", {"type": kind, "currency": "TZS"})
        yield made
    for dfsp in made.dfsps:
        loop.do(dfsp.close)
    loop.stop()


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {case["name"]: case["verdict"] for case in found["report"]["cases"]}


def faults(found: dict[str, Any]) -> dict[str, list[str]]:
    return {
        case["name"]: [fault["wrong"] for fault in case["faults"]]
        for case in found["report"]["cases"]
        if case["verdict"] not in ("PASSED", "LEFT_OUT")
    }


def test_a_correct_dfsp_passes_and_gets_a_signed_report(hub: Hub) -> None:
    dfsp = hub.add("goodbank")
    not_live = "may_send=False, may_receive=False, onboarding_since=timezone.now()"
    hub.change("goodbank", f".update({not_live})")  # as the portal's onboarding makes it
    status, output = hub.certify("goodbank", "--payee", CUSTOMER, "--outbound", dfsp.url)
    assert "(False, None)" in hub.change("goodbank", ".values_list('may_send', 'tested_by')")
    found = hub.report("goodbank")
    assert faults(found) == {}
    assert status == 0, output
    passed = {name for name, verdict in verdicts(found).items() if verdict == "PASSED"}
    assert passed == {case.name for case in CASES} - {"payer-bulk"}
    assert report.verify(found["jws"], key_of("Hub").public_key()) == found["report"]
    with pytest.raises(ValueError, match="has not signed"):
        report.verify(found["jws"], key_of("Other").public_key())
    quote = next(case for case in found["report"]["cases"] if case["name"] == "payee-quote")
    assert [(each["sender"], each["method"]) for each in quote["messages"][:2]] == [
        ("certifier", "POST"),
        ("goodbank", "PUT"),
    ]
    assert (hub.folder / "goodbank.pdf").read_bytes().startswith(b"%PDF-")
    assert "invariants hold" in hub.stack.manage("check_ledger")


def test_each_broken_dfsp_fails_exactly_its_case(hub: Hub) -> None:
    dfsps = {fault: hub.add(f"broken-{fault}", fault) for fault in FAULTS}
    found: dict[str, Any] = {}
    outbound = [part for dfsp in dfsps.values() for part in ("--outbound", dfsp.url)]
    status, output = hub.certify(*(dfsp.name for dfsp in dfsps.values()), "--payee", CUSTOMER, *outbound)
    for fault, dfsp in dfsps.items():
        shown = verdicts(hub.report(dfsp.name))
        found[fault] = sorted(name for name, verdict in shown.items() if verdict == "FAILED")
    assert found == {fault: [case] for fault, case in FAULTS.items()}
    assert status == 1, output


@pytest.fixture(scope="module")
def example(hub: Hub) -> Bank:
    return bring_up(hub.stack, tell=lambda _: None)[0]


def test_the_example_dfsp_passes_by_the_pages_commands(hub: Hub, example: Bank) -> None:
    page = (PROJECT / "docs" / "connect" / "certification.md").read_text()
    script = "".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert "manage.py certify greenbank" in script
    script = script.replace('eval "$(make -s env)"\n', "").replace("--reports reports", f"--reports {hub.folder}")
    # The demo's hub, for which the page is, does not use signatures.
    environ = hub.stack.env | {"SIGNATURES": "ignored"}
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    found = hub.report(example.name)
    assert faults(found) == {}, done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    left_out = {name for name, verdict in verdicts(found).items() if verdict == "LEFT_OUT"}
    assert left_out == {"signatures", "payee-bad-signature", "payer-bad-signature", "payer-bulk"}


ORDER = re.compile(r"(Pay|Request|Give the order of) ([0-9.]+) XTS (?:to|from) MSISDN/([0-9]+)")


class ByHand(Person):
    """The person at the example bank who does what the command says, in the bank's pages."""

    def __init__(self, bank: Bank) -> None:
        super().__init__(bank, "255712009001")
        self.done: list[tuple[str, str]] = []
        self._latest: dict[str, str] = {}

    def obey(self, line: str) -> None:
        found = ORDER.search(line)
        if found is None:
            return
        what, amount, number = found.groups()
        self.done.append((line.split(": ")[1], what))
        if what == "Pay":
            self._latest = {"number": number, "amount": amount, "reference": uuid.uuid4().hex}
        form = self._latest if what != "Request" else {"number": number, "amount": amount}
        page = self.post("/request" if what == "Request" else "/send", **form)
        end = time.monotonic() + 10
        while page.startswith("/payments/") and time.monotonic() < end:
            state = self.json(f"{page}/state")["state"]
            if state == "OFFERED":
                self.post(f"{page}/confirm")
            elif state != "NEW":
                return
            time.sleep(0.1)


def test_a_person_makes_the_payments_by_hand(hub: Hub, example: Bank) -> None:
    """The example bank's shops alone refund, and it pays no bulks; the two cases of an expiry take half a minute."""
    left_out = ("payer-timeout", "payer-late", "payer-refund", "payer-bulk")
    command = [sys.executable, "manage.py", "certify", example.name, "--payee", "255712009001", "--patience", "6"]
    command += [part for case in left_out for part in ("--leave-out", case)] + ["--reports", str(hub.folder)]
    environ = hub.stack.env | {"SIGNATURES": "ignored"}
    tester, lines = ByHand(example), []
    with subprocess.Popen(command, cwd=PROJECT, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            tester.obey(line)
    found = hub.report(example.name)
    assert faults(found) == {}, "".join(lines)
    assert sorted(tester.done) == [
        ("payee-request", "Request"),
        ("payer-duplicate", "Give the order of"),
        ("payer-duplicate", "Pay"),
        ("payer-rejection", "Pay"),
        ("payer-transfer", "Pay"),
        ("payer-unknown", "Pay"),
    ]
    passed = {name for name, verdict in verdicts(found).items() if verdict == "PASSED"}
    assert {case for case, _ in tester.done} <= passed


def test_a_run_whose_process_is_killed_ends_as_interrupted(hub: Hub) -> None:
    dfsp = hub.add("killedbank")
    command = [sys.executable, "manage.py", "certify", "killedbank", "--payee", CUSTOMER, "--outbound", dfsp.url]
    process = subprocess.Popen(command, cwd=PROJECT, env=hub.stack.env, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not dfsp.conditions:  # until the certifier has asked for terms
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    status, output = hub.certify("killedbank", "--payee", CUSTOMER, "--outbound", dfsp.url)
    assert status == 0, output
    listed = hub.stack.manage(
        "shell", "-c", "from portal.models import Certification as C;"
        "print([c.state for c in C.objects.filter(participant__name='killedbank').order_by('pk')])",
    )  # fmt: skip
    assert "['INTERRUPTED', 'PASSED']" in listed
