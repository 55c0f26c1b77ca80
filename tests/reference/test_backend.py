"""The connector and a core with the reference client's backend API: what is asked, how often, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from fspiop import ilp
from fspiop.time import http_date
from hub.local import net
from tests.connector.hub_stub import stored
from tests.reference.core import UNKNOWN, no
from tests.reference.test_bulks import bulk
from tests.reference.test_requests_to_pay import asked, payment
from tests.reference.world import BARAKA, KESI, Answer, World, to, transfer, until

pytestmark = pytest.mark.live


def test_the_health_of_the_core_is_shown(world: World) -> None:
    assert world.blue.call("GET", "/health").body == {"status": "OK", "core": "OK"}
    world.blue.core.fails["GET /"] = lambda: web.Response(status=503)
    assert world.blue.call("GET", "/health").body == {"status": "OK", "core": "NO_ANSWER"}


def hub_asks(world: World, path: str) -> int:
    """A GET of green's, as the hub would forward it to blue."""
    resource = path.split("/")[1]
    headers = {
        "Accept": f"application/vnd.interoperability.{resource}+json;version=1",
        "Content-Type": f"application/vnd.interoperability.{resource}+json;version=1.1",
        "Date": http_date(datetime.now(UTC)),
        "FSPIOP-Source": "green",
        "FSPIOP-Destination": "blue",
    }
    url = f"http://127.0.0.1:{world.blue.config.inbound_port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as response:
        return int(response.status)


@pytest.mark.parametrize("sub_id", ["", "/till-1"])
def test_a_dfsp_that_asks_whose_a_customer_is_is_answered_by_the_core(world: World, sub_id: str) -> None:
    for value in (BARAKA, UNKNOWN + "1"):
        path = f"/participants/MSISDN/{value}{sub_id}"
        assert hub_asks(world, path) == 202
        assert until(lambda path=path: ("GET", path, None) in world.blue.core.calls)


REFUSALS = [
    ("POST /quoterequests", 400, "5103", "5103"),
    ("POST /quoterequests", 500, "5200", "5200"),
    ("POST /transfers", 400, "5104", "5104"),
    ("POST /transfers", 500, "2001", "2001"),
    ("GET /parties", 500, "3204", "3204"),
    ("GET /parties", 404, "x", "3204"),
]


@pytest.mark.parametrize(("call", "status", "said", "code"), REFUSALS)
def test_each_refusal_of_the_core_reaches_the_front_end(
    world: World, call: str, status: int, said: str, code: str
) -> None:
    world.blue.core.fails[call] = lambda: no(status, said, "said the core")
    before = world.position("green")
    answer = world.green.call("POST", "/transfers", transfer())
    assert (answer.status, answer.body["statusCode"]) == (500, code), answer
    assert world.position("green") == before
    if call == "POST /transfers" and status == 500:
        # The core may have reserved the money before it failed.
        ends = until(lambda: world.blue.core.bodies("PUT", "/transfers/"))
        assert [body["finalNotification"]["transferState"] for body in ends] == ["ABORTED"]


@pytest.mark.parametrize("has_it", [True, False])
def test_a_core_whose_answer_was_lost_is_asked_before_it_gets_the_transfer_again(world: World, has_it: bool) -> None:
    core = world.blue.core
    lost: list[int] = []

    def lose() -> web.Response:
        if lost:
            core.fails.clear()
        lost.append(1)
        if has_it:
            core.transfers[core.bodies("POST", "/transfers")[-1]["transferId"]] = "RESERVED"
        return web.Response(status=503)

    core.fails["POST /transfers"] = lose
    before = world.position("green")
    answer = world.green.call("POST", "/transfers", transfer())
    assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    assert world.position("green") - before == 100
    path = f"/transfers/{answer.body['transferId']}"
    asked = [(method, where) for method, where, _ in core.calls if "/transfers" in where and method != "PUT"]
    assert asked[:2] == [("POST", "/transfers"), ("GET", path)]
    assert [method for method, _ in asked].count("POST") == (1 if has_it else 3)


def test_a_notification_that_the_core_does_not_take_is_repeated(world: World) -> None:
    world.blue.core.fails["PUT /transfers"] = lambda: no(500, "2001", "not now")
    answer = world.green.call("POST", "/transfers", transfer())
    path = f"/transfers/{answer.body['transferId']}"
    assert until(lambda: len(world.blue.core.bodies("PUT", path)) > 1)
    world.blue.core.fails.clear()
    assert until(lambda: world.blue.core.transfers[path.rpartition("/")[2]] == "COMMITTED")
    (told, *_) = world.blue.core.bodies("PUT", path)
    assert (told["direction"], told["currentState"]) == ("INBOUND", "COMPLETED")
    assert told["quote"]["response"]["payeeFspFeeAmount"] == "1"
    assert told["quote"]["internalRequest"]["from"]["displayName"] == "Asha Juma"
    assert told["prepare"]["body"]["transferId"] == answer.body["transferId"]
    assert told["fulfil"]["body"]["fulfilment"] == answer.body["fulfil"]["body"]["fulfilment"]
    assert told["finalNotification"]["completedTimestamp"]


def test_every_other_notification_is_repeated_too(world: World) -> None:
    """Where a conversion, a request to pay and a bulk of payments stand."""
    for core in (world.fxp.core, world.blue.core, world.green.core):
        for call in ("PATCH /fxTransfers", "PUT /requestToPay", "PUT /bulkTransactions"):
            core.fails[call] = lambda: no(500, "2001", "not now")
    answer = world.green.call("POST", "/transfers", transfer(to=to(KESI)))
    world.green.call("PUT", f"/transfers/{answer.body['transferId']}", {"acceptConversion": True})
    request_id = asked(world)
    world.green.call("POST", "/requestToPayTransfer", payment(request_id))
    world.green.call("PUT", f"/requestToPayTransfer/{request_id}", {"acceptQuote": False})
    world.green.call("POST", "/bulkTransactions", bulk((BARAKA, "10")))
    told = [
        (world.fxp.core, "PATCH", "/fxTransfers/"),
        (world.blue.core, "PUT", "/requestToPay/"),
        (world.green.core, "PUT", "/bulkTransactions/"),
    ]
    counts = []
    for core, method, path in told:
        assert until(lambda core=core, method=method, path=path: len(core.bodies(method, path)) > 1), path
        counts.append(len(core.bodies(method, path)))  # before it succeeds, which ends the repetitions
        core.fails.clear()
    for (core, method, path), count in zip(told, counts, strict=True):
        assert until(lambda core=core, method=method, path=path, n=count: len(core.bodies(method, path)) > n), path


TERMS = [
    ({"transferAmount": None}, "2001"),
    ({"transferAmountCurrency": "KES"}, "2001"),
    ({"payeeReceiveAmount": "98"}, "2001"),
    ({"expiration": "yesterday"}, "2001"),
    ({"payeeFspCommissionAmount": "2", "payeeReceiveAmount": "101"}, None),
    ({"payeeReceiveAmount": None}, None),
    ({"extensionList": [{"key": "k", "value": "v"}]}, None),
]


@pytest.mark.parametrize(("changes", "code"), TERMS)
def test_terms_of_the_core_are_passed_on_or_refused(world: World, changes: dict[str, Any], code: str | None) -> None:
    def give() -> web.Response:
        asked = world.blue.core.bodies("POST", "/quoterequests")[-1]
        found = {
            "quoteId": asked["quoteId"],
            "transactionId": asked["transactionId"],
            "transferAmount": "100",
            "transferAmountCurrency": "TZS",
            "payeeReceiveAmount": "99",
            "payeeFspFeeAmount": "1",
        }
        return web.json_response({name: value for name, value in (found | changes).items() if value is not None})

    world.blue.core.fails["POST /quoterequests"] = give
    answer = world.green.call("POST", "/transfers", transfer())
    if code is not None:
        assert (answer.status, answer.body["statusCode"]) == (500, code), answer
        return
    assert answer.status == 200, answer
    quote = answer.body["quoteResponse"]["body"]
    assert quote["transferAmount"]["amount"] == "100"
    if "extensionList" in changes:
        assert quote["extensionList"] == {"extension": changes["extensionList"]}
    if "payeeFspCommissionAmount" in changes:
        assert quote["payeeFspCommission"]["amount"] == "2"


@pytest.mark.parametrize("fits", [True, False])
def test_a_fulfilment_of_the_core_is_used_if_it_fits(world: World, fits: bool) -> None:
    """Only one fits, which the connector knows too."""
    config = world.blue.config

    def give() -> web.Response:
        packet = stored(world.blue.connector._store).unfinished_incoming()[0].body  # type: ignore[union-attr]
        own = ilp.fulfilment_for(json.loads(packet)["ilpPacket"], config.ilp_key)
        given = own if fits else own[::-1]
        return web.json_response({"homeTransactionId": "h", "transferState": "RESERVED", "fulfilment": given})

    world.blue.core.fails["POST /transfers"] = give
    before = world.position("green")
    answer = world.green.call("POST", "/transfers", transfer())
    if fits:
        assert (answer.status, answer.body["currentState"]) == (200, "COMPLETED"), answer
    else:
        assert (answer.status, answer.body["statusCode"]) == (500, "2001"), answer
    ends = until(lambda: world.blue.core.bodies("PUT", "/transfers/"))  # none is left for the next test
    assert [body["finalNotification"]["transferState"] for body in ends] == ["COMMITTED" if fits else "ABORTED"]
    assert (world.position("green") == before) is not fits


class Process:
    """green's connector as a process of its own, which can be killed."""

    def __init__(self, world: World, folder: Any) -> None:
        self._world = world
        config = world.green.config
        names = ("dfsp", "hub_url", "ilp_secret", "inbound_port", "outbound_port", "reference_port", "answer_s")
        values: dict[str, Any] = {name: getattr(config, name) for name in names}
        values |= {"state": str(config.state), "inbound_is_private": True, "reference_api": True}
        values |= {"backend_api": "reference", "backend_url": f"http://127.0.0.1:{world.green.core.port}"}
        self._file = folder / "green.toml"
        self._file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "kitovu_connector", "--config", str(self._file), "--log-level", "ERROR"]
        self._process = subprocess.Popen(command, env=os.environ)
        url = f"http://127.0.0.1:{self._world.green.config.reference_port}/"
        assert until(lambda: net.answers(url), 30)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)


def test_a_kill_at_any_moment_pays_once(world: World, tmp_path: Any) -> None:
    """Payments in three steps each; the connector is killed again and again, at another moment each time."""
    count = 4
    before = world.position("green"), world.position("blue")
    world.do(world.green.stop())
    process = Process(world, tmp_path)
    process.start()
    try:
        wanted = [transfer(homeTransactionId=str(uuid.uuid4()), amount="7") for _ in range(count)]
        for number, body in enumerate(wanted):
            threading.Thread(target=_may_fail, args=(world, body), daemon=True).start()
            time.sleep(0.02 + 0.1 * number)
            process.kill()
            process.start()
        answers = [world.green.call("POST", "/transfers", body) for body in wanted]
        states = [answer.body.get("currentState") for answer in answers]
        assert states == ["COMPLETED"] * count, answers
    finally:
        process.kill()
        world.do(world.green.start())
    paid = {answer.body["transferId"] for answer in answers}
    assert len(paid) == count
    assert (world.position("green") - before[0], world.position("blue") - before[1]) == (7 * count, -7 * count)
    assert until(lambda: all(world.blue.core.transfers.get(transfer_id) == "COMMITTED" for transfer_id in paid))
    reserved = [body["transferId"] for body in world.blue.core.bodies("POST", "/transfers")]
    assert sorted(reserved) == sorted(paid)


def _may_fail(world: World, body: Any) -> Answer | None:
    try:
        return world.green.call("POST", "/transfers", body)
    except (OSError, ValueError):
        return None  # killed
