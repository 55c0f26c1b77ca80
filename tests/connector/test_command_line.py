"""The command line against a connector that runs and a hub of one conversation."""

import asyncio
import csv
import json
import sqlite3
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509

from fspiop import jws
from fspiop.errors import ErrorCode, FspiopError
from hub.local.net import free_port
from kitovu_connector import command_line, new_connector_files, payment_files
from kitovu_connector.backend import HttpBackend, Unavailable
from kitovu_connector.callers import Callers
from kitovu_connector.config import load
from kitovu_connector.health import Health
from kitovu_connector.payment_states import Payment, State
from kitovu_connector.reconciliation_differences import Result, Side, compare
from tests.connector.hub_stub import PAYEE, Scheme, quote, scheme, told, transfer

INIT = ["init", "--yes", "--dfsp", "green", "--hub-url", "https://hub.example", "--backend-url", "http://core:8080"]


# --- init -------------------------------------------------------------------------------------------------------------


def test_init_writes_a_configuration_that_starts_and_keys_that_the_hub_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main([*INIT, "--folder", str(tmp_path)]) == 0
    written = {path.name: path for path in tmp_path.iterdir()}
    assert set(written) == {"connector.toml", "jws.key", "jws.pub", "tls.key", "tls.csr"}
    for name in ("connector.toml", "jws.key", "tls.key"):
        assert written[name].stat().st_mode & 0o077 == 0
    private = jws.load_private_key(written["jws.key"].read_bytes())
    assert jws.load_public_key(written["jws.pub"].read_bytes()) == private.public_key()
    csr = x509.load_pem_x509_csr(written["tls.csr"].read_bytes())
    assert csr.subject.rfc4514_string() == "CN=green"
    assert csr.is_signature_valid
    values = tomllib.loads(written["connector.toml"].read_text())
    assert len(values["ilp_secret"]) >= 32
    text = written["connector.toml"].read_text()
    assert text.count("\n# ") > 15
    written["connector.toml"].write_text(text.replace('token_client = ""', 'token_client = "green.1"'))
    config = load(written["connector.toml"], {}, {})
    assert (config.dfsp, config.hub_url, config.inbound_port) == ("green", "https://hub.example", 4000)
    before = written["jws.key"].read_text()
    assert command_line.main([*INIT, "--folder", str(tmp_path)]) == 2
    assert written["jws.key"].read_text() == before
    assert values["ilp_secret"] not in capsys.readouterr().out


def test_init_asks_for_what_was_not_given(tmp_path: Path) -> None:
    answers = "green\nhttps://hub.example\nhttp://core:8080\n0.0.0.0\n4000\n4001\nn\nn\nn\n"
    done = subprocess.run(
        [sys.executable, "-m", "kitovu_connector", "init", "--folder", str(tmp_path)],
        input=answers,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Your participant name at the hub" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["connector.toml"]
    assert tomllib.loads((tmp_path / "connector.toml").read_text())["inbound_host"] == "0.0.0.0"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["init", "--yes"], "init needs --dfsp"),
        ([*INIT, "--hub-url", "ftp://hub"], "hub_url must be a URL"),
        (["send", "MSISDN/1", "1,5", "TZS", "--from", "MSISDN/2", "--config", "x"], "amount"),
        (["payments", "--config", "nothing.toml"], "nothing.toml cannot be read"),
        (["payments"], "there is no connector.toml here"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why_and_exits_with_2(
    arguments: list[str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command_line.main(arguments) == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_form_without_a_command_still_serves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        command_line.main(["--dfsp", "green", "--hub-url", "x", "--state", str(tmp_path), "--ilp-secret", "y" * 16])
        == 2
    )
    assert "The connector cannot start: hub_url must be a URL" in capsys.readouterr().err


# --- a connector that runs --------------------------------------------------------------------------------------------


def tell(folder: Path, story: Callable[[Scheme, Callable[..., Awaitable[int]]], Awaitable[None]]) -> None:
    """Runs a story with green's connector, and with the command line as a person runs it."""

    async def whole() -> None:
        async with scheme(folder, "nothing", inbound_is_private=True) as world:
            file = folder / "connector.toml"
            values = {
                "dfsp": "green",
                "hub_url": world.config.hub_url,
                "state": str(folder / "unused"),
                "ilp_secret": "a secret of green's",
                "outbound_port": world.config.outbound_port,
            }
            file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))

            async def command(*arguments: str) -> int:
                return await asyncio.to_thread(command_line.main, [*arguments, "--config", str(file)])

            await story(world, command)

    asyncio.run(whole())


SEND = ["send", f"MSISDN/{PAYEE}", "100.00", "TZS", "--from", "MSISDN/255712001001"]


def test_a_payment_is_sent_listed_and_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def story(world: Scheme, command: Callable[..., Awaitable[int]]) -> None:
        world.state = "COMMITTED"
        listening = asyncio.create_task(command("listen", "--count", "1", "--since", "1m"))
        paying = asyncio.create_task(command(*SEND, "--yes", "--id", "P1"))
        await world.until("POST", "/transfers")
        payment = world.payment()
        await world.hub_says("PUT", f"/transfers/{payment.transfer_id}", world.tells("COMMITTED"))
        assert await paying == 0
        assert await command("payments", "--state", "COMMITTED") == 0
        assert await command("payments", "--state", "ABORTED") == 0
        assert await listening == 0
        assert await command("lookup", f"MSISDN/{PAYEE}") == 0

    tell(tmp_path, story)
    said = capsys.readouterr().out
    assert "COMMITTED 100 TZS to" in said
    assert said.count("P1") == 2  # by send and by one list
    assert "OUT  " in said
    assert "fspId                blue" in said


def test_a_payee_is_shown_before_money_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "n")

    async def story(world: Scheme, command: Callable[..., Awaitable[int]]) -> None:
        assert await command(*SEND) == 1
        assert world.count("POST", "/quotes") == world.count("POST", "/transfers") == 0

    tell(tmp_path, story)
    assert "at blue?" in capsys.readouterr().out


def test_a_received_transfer_is_refunded_once_and_names_what_it_refunds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story(world: Scheme, command: Callable[..., Awaitable[int]]) -> None:
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        (offered,) = world.bodies("PUT", f"/quotes/{asked['quoteId']}")
        sent = transfer(offered)
        number = sent["transferId"]
        assert await world.hub_passes_on("POST", "/transfers", sent) == 202
        assert await command("refund", number, "--yes") == 2  # it has not ended
        assert await command("refund", str(uuid.uuid4()), "--yes") == 1
        await world.until("PUT", f"/transfers/{number}")
        await world.hub_says("PATCH", f"/transfers/{number}", told("COMMITTED"))
        while number not in world.core.credited:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        assert await command("refund", number, "--yes", "--amount", "10") == 2

        for _ in range(2):
            paying = asyncio.create_task(command("refund", number, "--yes", "--reason", "sent twice"))
            await world.until("POST", "/transfers")
            own = world.bodies("POST", "/transfers")[0]["transferId"]
            await world.hub_says("PUT", f"/transfers/{own}", world.tells("COMMITTED"))
            assert await paying == 0
        assert world.count("POST", "/transfers") == 1
        (back,) = world.bodies("POST", "/quotes")
        assert back["transactionType"]["scenario"] == "REFUND"
        assert back["transactionType"]["refundInfo"] == {
            "originalTransactionId": asked["transactionId"],
            "refundReason": "sent twice",
        }
        assert back["payee"]["partyIdInfo"]["partyIdentifier"] == PAYEE
        assert back["payer"]["partyIdInfo"]["partyIdentifier"] == "255712001001"

    tell(tmp_path, story)
    said = capsys.readouterr()
    assert said.out.count("COMMITTED 100 TZS to") == 2
    assert "only a committed transfer can be refunded" in said.err


BULK = """id,to,amount,currency,note
S1,MSISDN/255655001001,100,TZS,salary
S2,MSISDN/255655001002,100.50,TZS,
S3,MSISDN/255655001003,100,TZS,"bonus, too"
"""


def test_a_file_is_paid_line_by_line_and_sent_again_it_pays_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "payroll.csv"
    file.write_text(BULK)

    async def story(world: Scheme, command: Callable[..., Awaitable[int]]) -> None:
        bulk = ["bulk", str(file), "--from", "BUSINESS/employer", "--at-once", "2"]
        paying = asyncio.create_task(command(*bulk))
        ended: set[str] = set()
        while not paying.done():
            for _, _, body in [each for each in world.asked if each[:2] == ("POST", "/transfers")]:
                if body["transferId"] not in ended:
                    ended.add(body["transferId"])
                    state = "ABORTED" if body["amount"]["amount"] == "100.5" else "COMMITTED"
                    payment = await world.connector._store.payment_of_transfer(body["transferId"])
                    assert payment is not None
                    await world.hub_says("PUT", f"/transfers/{body['transferId']}", world.tells(state))
            await asyncio.sleep(0.02)
        assert await paying == 1  # one line was not committed
        assert world.count("POST", "/transfers") == 3
        assert await command(*bulk) == 1
        assert world.count("POST", "/transfers") == 3

    tell(tmp_path, story)
    assert capsys.readouterr().out.count("1 ABORTED, 2 COMMITTED") == 2
    with (tmp_path / "payroll.results.csv").open(newline="") as results:
        rows = {row["id"]: (row["state"], row["errorCode"]) for row in csv.DictReader(results)}
    assert rows == {"S1": ("COMMITTED", ""), "S2": ("ABORTED", "5104"), "S3": ("COMMITTED", "")}


async def commit_all(world: Scheme, until_done: asyncio.Task[int]) -> int:
    """Commits each transfer once, until the command has ended; its exit status."""
    ended: set[str] = set()
    while not until_done.done():
        for body in world.bodies("POST", "/transfers"):
            if body["transferId"] not in ended and world.connector._payer._open:
                ended.add(body["transferId"])
                await world.hub_says("PUT", f"/transfers/{body['transferId']}", world.tells("COMMITTED"))
        await asyncio.sleep(0.02)
    return await until_done


def rows_of(file: Path) -> dict[str, tuple[str, str]]:
    with file.open(newline="") as results:
        return {row["id"]: (row["state"], row["errorCode"]) for row in csv.DictReader(results)}


def failing_once(world: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the connector fail each first request for a payment, after it has stored the payment."""
    payer, failed = world.connector._payer, set[str]()
    wait_for_core = payer.wait_for_core

    async def fail_once(home_id: str, seconds: float) -> Payment | None:
        if home_id not in failed:
            failed.add(home_id)
            raise sqlite3.OperationalError("database or disk is full")
        return await wait_for_core(home_id, seconds)

    monkeypatch.setattr(payer, "wait_for_core", fail_once)


def test_a_line_whose_payment_has_begun_is_never_reported_as_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "payroll.csv"
    file.write_text(BULK + "S4,MSISDN/255655001004,1,tzs,\n")
    monkeypatch.setattr(payment_files, "_PAUSE_S", 0.05)

    async def story(world: Scheme, command: Callable[..., Awaitable[int]]) -> None:
        failing_once(world, monkeypatch)
        bulk = ["bulk", str(file), "--from", "BUSINESS/employer"]
        assert await commit_all(world, asyncio.create_task(command(*bulk))) == 1
        assert world.count("POST", "/transfers") == 3
        paid = ("COMMITTED", "")
        assert rows_of(tmp_path / "payroll.results.csv") == dict.fromkeys(("S1", "S2", "S3"), paid) | {
            "S4": ("REFUSED", "3100")
        }
        file.write_text(BULK.replace("100.50", "999"))
        assert await command(*bulk) == 1
        assert world.count("POST", "/transfers") == 3
        assert rows_of(tmp_path / "payroll.results.csv")["S2"] == ("COMMITTED", "3106")

    tell(tmp_path, story)
    said = capsys.readouterr().out
    assert "3 COMMITTED, 1 REFUSED" in said
    assert "2 COMMITTED, 1 COMMITTED with other content" in said


def test_a_file_stops_if_the_connector_does_not_accept_its_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "payroll.csv").write_text(BULK)
    monkeypatch.setattr(payment_files, "_PATIENCE_S", 0.0)

    async def story(world: Scheme, command: Callable[..., Awaitable[int]]) -> None:
        monkeypatch.setattr(Callers, "_check_certificate", refuse_all)
        assert await command("bulk", str(tmp_path / "payroll.csv"), "--from", "BUSINESS/employer") == 1

    def refuse_all(*_: object) -> None:
        raise FspiopError(ErrorCode.CLIENT_ERROR, "no token", http_status=401)

    tell(tmp_path, story)
    assert "no line is paid twice" in capsys.readouterr().err
    assert rows_of(tmp_path / "payroll.results.csv") == {}


def test_each_error_of_send_shows_the_id_of_the_payment_that_may_have_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story(world: Scheme, command: Callable[..., Awaitable[int]]) -> None:
        failing_once(world, monkeypatch)
        assert await command(*SEND, "--yes") == 1
        await world.until("POST", "/transfers")
        home_id = world.connector._payer._open.copy().popitem()[0]
        assert f"2001 Internal server error. It may have begun all the same: the same command with --id {home_id}" in (
            capsys.readouterr().err
        )
        again = asyncio.create_task(command(*SEND, "--yes", "--id", home_id))
        assert await commit_all(world, again) == 0
        assert world.count("POST", "/transfers") == 1
        other = ["send", f"MSISDN/{PAYEE}", "999", "TZS", "--from", "MSISDN/255712001001", "--yes", "--id", home_id]
        assert await command(*other) == 1
        assert f"The payment with the id {home_id} is COMMITTED" in capsys.readouterr().err
        wrong = ["send", f"MSISDN/{PAYEE}", "1", "tzs", "--from", "MSISDN/255712001001", "--yes", "--id", "P9"]
        assert await command(*wrong) == 1
        assert "No payment has begun (id P9)" in capsys.readouterr().err

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("id,to,amount\n", "the first line must name id, to, amount, currency"),
        (BULK + "S1,MSISDN/1,1,TZS,\n", "line 5: the id S1 occurs twice"),
        (BULK + "S4,255,1,TZS,\n", "line 5: to: 255 must be TYPE/VALUE"),
        (BULK + 'S4,MSISDN/1,"1,5",TZS,\n', "line 5: amount"),
        (BULK + "S4,MSISDN/1,0,TZS,\n", "line 5: amount: must be above 0"),
        (BULK + "S4,MSISDN/1,,TZS,\n", "line 5: amount is empty"),
        (BULK + "S4,MSISDN/1,1,TZS,a,b\n", "line 5: has more values"),
        ("id,to,currency,amount,\nS1,MSISDN/1,TZS,1,500\n", "line 2: has more values"),
        ("id,to,amount,amount,currency\nS1,MSISDN/1,1,500,TZS\n", "the first line names amount twice"),
        (BULK.replace("TZS,salary", 'TZS,"salary'), "line 2: is not CSV"),
        (BULK + 'S4,MSISDN/1,1,TZS,"a\nS5,MSISDN/1,1,TZS,b\n', "line 5: is not CSV"),
        ('id,to,note,amount,currency\nS1,MSISDN/1,"a,1,TZS\nS2,MSISDN/2,b",300,TZS\n', "line 2: has a line break"),
        (BULK + "\n\nS4,MSISDN/1,1,TZS,a\x00b\n", "line 7: has a line break or a control character"),
        ('"id,to,amount,currency\nS1,MSISDN/1,1,TZS\n', "line 1: is not CSV"),
    ],
)
def test_a_file_with_a_faulty_line_pays_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, fault: str
) -> None:
    (tmp_path / "payroll.csv").write_text(text)
    assert command_line.main(["bulk", str(tmp_path / "payroll.csv"), "--from", "BUSINESS/x", "--config", "none"]) == 2
    said = capsys.readouterr().err
    assert fault in said
    assert "Nothing was paid." in said


def test_without_a_connector_a_command_says_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "connector.toml").write_text(
        'dfsp = "green"\nhub_url = "http://127.0.0.1:9"\nstate = "s"\n'
        'ilp_secret = "0123456789abcdef"\noutbound_port = 9\n'
    )
    assert command_line.main(["payments", "--config", str(tmp_path / "connector.toml")]) == 1
    assert "start it with `kitovu-connector serve`" in capsys.readouterr().err
    assert command_line.main([*SEND, "--yes", "--id", "P7", "--config", str(tmp_path / "connector.toml")]) == 1
    assert "with --id P7 is the same payment" in capsys.readouterr().err  # so that nobody pays twice
    monkeypatch.setattr(payment_files, "_PATIENCE_S", 0.0)
    (tmp_path / "payroll.csv").write_text(BULK)
    bulk = ["bulk", str(tmp_path / "payroll.csv"), "--from", "BUSINESS/x"]
    assert command_line.main([*bulk, "--config", str(tmp_path / "connector.toml")]) == 1
    assert "no line is paid twice" in capsys.readouterr().err


def test_lists_are_paged_and_refuse_what_they_do_not_know(tmp_path: Path) -> None:
    async def story(world: Scheme, _: Callable[..., Awaitable[int]]) -> None:
        base = f"http://127.0.0.1:{world.config.outbound_port}"
        for number in range(5):
            await world.pay(f"P{number}")
        while {world.payment(f"P{number}").state for number in range(5)} != {State.ACCEPTED}:
            await asyncio.sleep(0.02)
        async with aiohttp.ClientSession() as core:

            async def ask(path: str) -> tuple[int, Any]:
                async with core.get(base + path) as answer:
                    return answer.status, await answer.json()

            for path, name, key in (
                ("/payments", "payments", "homeTransactionId"),
                ("/transfers", "transfers", "transferId"),
            ):
                found, after = [], ""
                for _ in range(4):
                    _, page = await ask(f"{path}?limit=2{after}")
                    found += [each[key] for each in page[name]]
                    if "next" not in page:
                        break
                    after = f"&after={page['next']}"
                assert len(found) == len(set(found)) == 5
            for query in ("limit=0", "limit=x", "after=AAAA", "since=now", "of=blue", "state=GONE"):
                status, body = await ask(f"/payments?{query}")
                assert (status, body["errorInformation"]["errorCode"]) == (400, "3100")
            status, body = await ask("/parties/NOTHING/1")
            assert status == 400
            async with core.get(base + "/metrics") as answer:
                text = await answer.text()
                assert 'kitovu_connector_transfers{direction="out",state="ACCEPTED"} 5.0' in text
                assert "kitovu_connector_hub_clock_ahead_seconds" in text
                assert "kitovu_connector_events_waiting 0.0" in text

    tell(tmp_path, story)


def test_health_is_200_only_while_a_payment_could_be_made(tmp_path: Path) -> None:
    async def story(world: Scheme, _: Callable[..., Awaitable[int]]) -> None:
        base = f"http://127.0.0.1:{world.config.outbound_port}"
        async with aiohttp.ClientSession() as core:
            async with core.get(base + "/health") as answer:
                assert (answer.status, (await answer.json())["status"]) == (200, "OK")
            world.refuses["GET /dfsp"] = (401, "3000")
            world.connector._health._asked_at = -100.0
            async with core.get(base + "/health") as answer:
                assert (answer.status, (await answer.json())["status"]) == (503, "HUB_NOT_AVAILABLE")
            async with core.get(base + "/health/live") as answer:
                assert answer.status == 200

    tell(tmp_path, story)


def test_health_finds_out_that_the_core_is_back(tmp_path: Path) -> None:
    async def story(world: Scheme, _: Callable[..., Awaitable[int]]) -> None:
        status = 500

        async def parties(_: web.Request) -> web.Response:
            return web.json_response({}, status=status)

        app = web.Application()
        app.router.add_get("/parties/{rest:.*}", parties)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        async with HttpBackend(f"http://127.0.0.1:{port}") as core:
            health = Health(world.config, world.connector._hub, core)
            assert (await health.report()).is_well  # nothing was asked yet
            with pytest.raises(Unavailable):
                await core.find_party("MSISDN", "1", None)
            assert (await health.report()).shown["status"] == "CORE_NOT_AVAILABLE"
            status = 404
            assert not (await health.report()).is_well  # it is not asked at each probe
            health._core_asked_at = -100.0
            assert (await health.report()).is_well
        await runner.cleanup()

    tell(tmp_path, story)


# --- reconciliation ---------------------------------------------------------------------------------------------------


DAY = {"since": "2026-01-02", "until": "2026-01-03"}


def side(state: str, amount: str = "10", at: str = "2026-01-02") -> Side:
    return Side(state, amount, "TZS", at)


@pytest.mark.parametrize(
    ("at_hub", "here", "result"),
    [
        (side("COMMITTED"), side("COMMITTED"), Result.EQUAL),
        (side("ABORTED"), side("ABORTED"), Result.EQUAL),
        (side("ABORTED"), None, Result.EQUAL),
        (None, side("ABORTED"), Result.EQUAL),
        (side("RESERVED"), side("RESERVED"), Result.OPEN),
        (side("COMMITTED"), side("RESERVED"), Result.OPEN),
        (None, side("RESERVED"), Result.OPEN),
        (side("RESERVED"), None, Result.OPEN),
        (side("COMMITTED"), None, Result.NOT_HERE),
        (None, side("COMMITTED"), Result.NOT_AT_HUB),
        (side("COMMITTED"), side("ABORTED"), Result.STATES_DIFFER),
        (side("ABORTED"), side("COMMITTED"), Result.STATES_DIFFER),
        (side("COMMITTED"), side("COMMITTED", "11"), Result.AMOUNTS_DIFFER),
    ],
)
def test_two_books_of_one_transfer(at_hub: Side | None, here: Side | None, result: Result) -> None:
    key = ("1", "OUT")
    (found,) = compare({key: at_hub} if at_hub else {}, {key: here} if here else {}, **DAY)
    assert found.result is result


def test_faults_come_first_and_directions_are_two_transfers() -> None:
    found = compare(
        {("1", "OUT"): side("COMMITTED"), ("1", "IN"): side("COMMITTED"), ("2", "IN"): side("COMMITTED")},
        {("1", "OUT"): side("COMMITTED"), ("1", "IN"): side("COMMITTED")},
        **DAY,
    )
    assert [(each.transfer_id, each.result) for each in found] == [
        ("2", Result.NOT_HERE),
        ("1", Result.EQUAL),
        ("1", Result.EQUAL),
    ]


def test_what_the_hub_received_at_another_time_is_no_fault_of_this_one() -> None:
    early, late = side("COMMITTED", at="2026-01-01"), side("COMMITTED", at="2026-01-03")
    assert compare({("1", "OUT"): early, ("2", "IN"): late}, {}, **DAY) == []
    # It came before midnight, and expires after.
    assert compare({("1", "IN"): early}, {("1", "IN"): side("COMMITTED")}, **DAY) == []
    (found,) = compare({("1", "OUT"): side("COMMITTED")}, {("1", "OUT"): early}, **DAY)
    assert found.result is Result.EQUAL


def test_a_key_of_a_signing_request_has_one_name() -> None:
    key = new_connector_files.new_tls_key()
    first, second = (new_connector_files.signing_request("green", key) for _ in range(2))
    assert new_connector_files.key_id_of_request(first) == new_connector_files.key_id_of_request(second)
