"""Runs the demo's two banks and their connectors as separate processes, beside the hub's processes."""

import json
import secrets
import sys
from dataclasses import dataclass

from hub.local import net
from hub.local.stack import Stack

NAMES = ("greenbank", "bluewallet")
FXP = "lakefx"
_PORTS = 5
_TERMS_ARE_VALID_S = 600  # the terms stay valid for a long time, because customers read them before they pay


@dataclass(frozen=True, slots=True)
class Ports:
    """The network ports of a bank and of its connector."""

    bank: int
    inbound: int
    outbound: int
    web: int
    reference: int  # the connector's API in the form of Mojaloop's SDK


@dataclass(frozen=True, slots=True)
class Bank:
    """One bank of the demo, with its addresses."""

    name: str
    ports: Ports

    @property
    def url(self) -> str:
        """The URL of the bank's own API: /pay, /register, /books."""
        return f"http://{net.HOST}:{self.ports.bank}"

    @property
    def web_url(self) -> str:
        """The URL of the bank's web site, for people's browsers."""
        return f"http://{net.HOST}:{self.ports.web}"

    @property
    def callback_url(self) -> str:
        """The URL at which the hub calls the bank's connector."""
        return f"http://{net.HOST}:{self.ports.inbound}"


@dataclass(frozen=True, slots=True)
class Fxp:
    """The FXP of the demo: one process with its own connector."""

    name: str
    inbound: int

    @property
    def callback_url(self) -> str:
        """The URL at which the hub calls the FXP's connector."""
        return f"http://{net.HOST}:{self.inbound}"


def start_fxp(stack: Stack) -> Fxp:
    """Starts the FXP if it is not running yet. The FXP has the same ports and books at each start."""
    known = stack.state.read("fxp.json")
    ports = known.get("ports") or [net.free_port(), net.free_port()]
    stack.state.write("fxp.json", {"ports": ports})
    fxp = Fxp(FXP, ports[0])
    home = stack.state.path / fxp.name
    home.mkdir(exist_ok=True)
    secret = home / "ilp-secret"
    if not secret.exists():
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(32))
    command = [sys.executable, "-m", "example_dfsp.fxp", fxp.name, "--state", str(home), "--hub-url", stack.base_url]
    command += ["--inbound-port", str(ports[0]), "--outbound-port", str(ports[1]), "--ilp-secret-file", str(secret)]
    stack.add_process(f"fxp-{fxp.name}", command, health_url=f"http://{net.HOST}:{ports[1]}/health/live")
    stack.wait_ready()
    return fxp


def start(stack: Stack, life: float = 0.0) -> list[Bank]:
    """Starts the banks' processes that are not running yet. A bank has the same ports and books at each start.

    After that, the banks themselves make `life` payments per second.
    """
    known = stack.state.read("banks.json")
    banks = []
    for name in NAMES:
        ports = known.get(name, [])
        known[name] = ports + [net.free_port() for _ in range(len(ports), _PORTS)]
        banks.append(Bank(name, Ports(*known[name])))
    stack.state.write("banks.json", known)
    for bank in banks:
        _start(stack, bank, life / len(NAMES))
    stack.wait_ready()
    return banks


def _start(stack: Stack, bank: Bank, life: float) -> None:
    home = stack.state.path / bank.name
    home.mkdir(exist_ok=True)
    config = home / "connector.toml"
    if not config.exists():
        settings = {
            "dfsp": bank.name,
            "hub_url": stack.base_url,
            "state": "connector",
            "ilp_secret": secrets.token_urlsafe(32),
            "backend_url": bank.url,
            "inbound_port": bank.ports.inbound,
            "outbound_port": bank.ports.outbound,
            "transfer_expiry_s": 12.0,
        }
        config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        config.chmod(0o600)
    outbound = f"http://{net.HOST}:{bank.ports.outbound}"
    python = sys.executable
    # The hub's port has perhaps changed since the last start. On one machine, only the hub calls the connectors.
    flags = ["--hub-url", stack.base_url, "--inbound-is-private", "true", "--quote-expiry-s", str(_TERMS_ARE_VALID_S)]
    flags += ["--reference-api", "true", "--reference-port", str(bank.ports.reference)]
    connector = [python, "-m", "kitovu_connector", "--config", str(config), *flags]
    stack.add_process(f"connector-{bank.name}", connector, health_url=f"{outbound}/health/live")
    stack.add_process(
        f"bank-{bank.name}",
        [
            python,
            "-m",
            "example_dfsp",
            bank.name,
            "--state",
            str(home),
            "--port",
            str(bank.ports.bank),
            "--connector",
            outbound,
            "--web-port",
            str(bank.ports.web),
            "--life",
            str(life),
        ],
        health_url=f"{bank.url}/health",
    )
