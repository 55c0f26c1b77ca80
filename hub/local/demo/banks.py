"""The demo's two banks and their connectors, as separate processes in addition to the hub's."""

import json
import secrets
import sys
from dataclasses import dataclass

from hub.local import net
from hub.local.stack import Stack

NAMES = ("greenbank", "bluewallet")


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a bank and its connector."""

    bank: int
    inbound: int
    outbound: int


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
    def callback_url(self) -> str:
        """The URL at which the hub calls the bank's connector."""
        return f"http://{net.HOST}:{self.ports.inbound}"


def start(stack: Stack) -> list[Bank]:
    """Starts the banks' processes that do not run yet. A bank has its earlier ports and books at each start."""
    known = stack.state.read("banks.json")
    banks = []
    for name in NAMES:
        ports = known.get(name) or [net.free_port() for _ in range(3)]
        known[name] = ports
        banks.append(Bank(name, Ports(*ports)))
    stack.state.write("banks.json", known)
    for bank in banks:
        _start(stack, bank)
    stack.wait_ready()
    return banks


def _start(stack: Stack, bank: Bank) -> None:
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
    # The hub's port may have changed since the last start. On one machine, only the hub calls the connectors.
    flags = ["--hub-url", stack.base_url, "--inbound-is-private", "true"]
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
        ],
        health_url=f"{bank.url}/health",
    )
