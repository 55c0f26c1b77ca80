"""Certifications on a hub at work: a correct DFSP passes, and each broken DFSP fails its cases."""

import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterator
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
from tests.certification.dfsp import CUSTOMER, FAULTS, VARIANTS, Loop, TestDfsp
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
            command, cwd=PROJECT, env=self.stack.env, capture_output=True, text=True, timeout=600, check=False
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
    outbound = ("--outbound", dfsp.url, "--sdk-outbound", dfsp.sdk_url)
    status, output = hub.certify("goodbank", "--payee", CUSTOMER, *outbound)
    assert "(False, None)" in hub.change("goodbank", ".values_list('may_send', 'tested_by')")
    found = hub.report("goodbank")
    assert faults(found) == {}
    assert status == 0, output
    passed = {name for name, verdict in verdicts(found).items() if verdict == "PASSED"}
    assert passed == {case.name for case in CASES}
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


def certified(hub: Hub, variants: Collection[str]) -> dict[str, list[str]]:
    """Certifies a DFSP of each variant, all at the same time. Returns the cases that each DFSP failed."""
    dfsps = {variant: hub.add("bank-" + variant.replace("_", "-"), variant) for variant in variants}
    outbound = [part for dfsp in dfsps.values() for part in ("--outbound", dfsp.url)]
    status, output = hub.certify(*(dfsp.name for dfsp in dfsps.values()), "--payee", CUSTOMER, *outbound)
    assert status == 1, output
    found = {variant: verdicts(hub.report(dfsp.name)) for variant, dfsp in dfsps.items()}
    return {
        variant: sorted(name for name, verdict in shown.items() if verdict == "FAILED")
        for variant, shown in found.items()
    }


def test_each_broken_dfsp_fails_exactly_its_case(hub: Hub) -> None:
    assert certified(hub, FAULTS) == {fault: [case] for fault, case in FAULTS.items()}


@pytest.mark.thorough
def test_a_slow_answer_counts_and_each_refusal_needs_its_code(hub: Hub) -> None:
    assert certified(hub, VARIANTS) == VARIANTS


@pytest.mark.thorough
def test_a_dfsp_that_floods_the_certifier_ends_only_its_own_certification(hub: Hub) -> None:
    flooding, honest = hub.add("floodbank", "floods"), hub.add("honestbank")
    names = (flooding.name, honest.name)
    try:
        hub.certify(*names, "--payee", CUSTOMER, "--outbound", flooding.url, "--outbound", honest.url)
    finally:
        flooding.is_flooding = False
    assert faults(hub.report("honestbank")) == {}
    assert hub.report("honestbank")["report"]["result"] == "PASSED"
    found = hub.report("floodbank")["report"]
    assert found["result"] == "FAILED"
    assert "too_many_messages" in {fault["code"] for case in found["cases"] for fault in case["faults"]}


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
    assert left_out == {"signatures", "payee-bad-signature", "payer-bad-signature"}


ORDER = re.compile(r"(Pay|Request|Give the order of|the payment of) ([0-9.]+) XTS (?:to|from) MSISDN/([0-9]+)")


class ByHand(Person):
    """The person at the example bank who does what the command says, in the bank's pages."""

    def __init__(self, bank: Bank) -> None:
        super().__init__(bank, "255712009001")
        self.done: list[tuple[str, str]] = []
        self._latest: dict[str, str] = {}
        self._pages: dict[str, str] = {}  # the page of each payee's payment

    def obey(self, line: str) -> str:
        """Does what the line says. Returns the answer if the line is a question."""
        found = ORDER.search(line)
        if found is None:
            return ""
        what, amount, number = found.groups()
        self.done.append((line.split(": ")[1], what))
        if what == "the payment of":
            return self._state(self._pages[number])
        if what == "Pay":
            self._latest = {"number": number, "amount": amount, "reference": uuid.uuid4().hex}
        form = self._latest if what != "Request" else {"number": number, "amount": amount}
        page = self._pages[number] = self.post("/request" if what == "Request" else "/send", **form)
        end = time.monotonic() + 10
        while page.startswith("/payments/") and time.monotonic() < end:
            state = self.json(f"{page}/state")["state"]
            if state == "OFFERED":
                self.post(f"{page}/confirm")
            elif state != "NEW":
                break
            time.sleep(0.1)
        return ""

    def _state(self, page: str) -> str:
        """Returns the end of the payment. The bank learns the end a moment after the hub."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            state = self.json(f"{page}/state")["state"]
            if state in ("PAID", "FAILED"):
                return str(state).lower()
            time.sleep(0.1)
        return "open"


def by_hand(command: list[str], environ: dict[str, str], obey: Callable[[str], str]) -> str:
    """Runs the command, follows its instructions and answers its questions. Returns its output."""
    lines = []
    arguments = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "manage.py", "certify", *command]
    with subprocess.Popen(command, cwd=PROJECT, env=environ, **arguments) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if answer := obey(line):
                process.stdin.write(f"{answer}\n")
                process.stdin.flush()
    return "".join(lines)


@pytest.mark.thorough
def test_a_person_makes_the_payments_by_hand(hub: Hub, example: Bank) -> None:
    """The example bank's shops alone refund, and it pays no bulks."""
    command = [example.name, "--payee", "255712009001", "--patience", "10", "--answer-time", "5"]
    command += ["--leave-out", "payer-refund", "--leave-out", "payer-bulk", "--reports", str(hub.folder)]
    tester = ByHand(example)
    output = by_hand(command, hub.stack.env | {"SIGNATURES": "ignored"}, tester.obey)
    found = hub.report(example.name)
    assert faults(found) == {}, output
    assert sorted(tester.done) == [
        ("payee-request", "Request"),
        ("payer-duplicate", "Give the order of"),
        ("payer-duplicate", "Pay"),
        ("payer-late", "the payment of"),
        ("payer-rejection", "Pay"),
        ("payer-rejection", "the payment of"),
        ("payer-timeout", "Pay"),
        ("payer-timeout", "the payment of"),
        ("payer-transfer", "Pay"),
        ("payer-transfer", "the payment of"),
        ("payer-unknown", "Pay"),
        ("payer-unknown", "the payment of"),
    ]
    passed = {name for name, verdict in verdicts(found).items() if verdict == "PASSED"}
    assert {case for case, _ in tester.done} <= passed
    late = next(case for case in found["report"]["cases"] if case["name"] == "payer-late")
    assert late["reportedByHand"] == {"state": "ABORTED", "by": "manage.py certify"}


@pytest.mark.thorough
def test_by_hand_each_dfsp_is_judged_by_the_state_that_it_shows_and_pays_a_bulk(hub: Hub) -> None:
    dfsps = {dfsp.name: dfsp for dfsp in (hub.add("handbank"), hub.add("paidbank", "shows_paid"))}
    pays: dict[tuple[str, str], dict[str, Any]] = {}  # the order of each DFSP to each payee
    words = {"COMMITTED": "paid", "ABORTED": "failed"}

    def obey(line: str) -> str:
        name = line.split(": ")[0]
        if bulk := re.search(r"Pay a bulk now. Each item: ([0-9.]+) XTS to MSISDN/([0-9]+)", line):
            hub.loop.do(lambda: dfsps[name].pay_bulk(bulk[2], bulk[1], "XTS"))
        elif order := ORDER.search(line):
            what, amount, number = order.groups()
            if what == "the payment of":
                return words[pays[name, number]["state"]]
            wanted = {"to": {"idType": "MSISDN", "idValue": number}, "amount": amount, "currency": "XTS"}
            pays[name, number] = {"isEnded": False}
            hub.loop.do(lambda: dfsps[name].pay(wanted, pays[name, number]))
        return ""

    left_out = ("payee-request", "payee-refund", *(each.name for each in CASES if each.side == "payer"))
    command = [*dfsps, "--payee", CUSTOMER, "--patience", "30", "--answer-time", "5", "--reports", str(hub.folder)]
    command += [
        part
        for case in left_out
        if case not in ("payer-timeout", "payer-late", "payer-bulk")
        for part in ("--leave-out", case)
    ]
    output = by_hand(command, hub.stack.env, obey)
    assert faults(hub.report("handbank")) == {}, output
    assert verdicts(hub.report("handbank"))["payer-bulk"] == "PASSED"
    assert sorted(faults(hub.report("paidbank"))) == ["payer-late", "payer-timeout"], output


@pytest.mark.thorough
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
