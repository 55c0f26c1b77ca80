"""Measures the cost of a payment between two connectors. Compares two ways for a connector to recognise the hub.

The command is `python -m bench.hub_certificate_vs_signatures`.

A connector that recognises the hub by the hub's certificate accepts every message on the hub's connection. A connector
that can only check the hub's signatures must send more requests. To find the payee's DFSP, a connector that only checks
signatures must send a request to the hub. After the payee DFSP has reported an outcome, the connector must also request
the outcome from the hub.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.certificates import Authority
from bench.hubs import Hub, own_hub
from bench.latency_and_cpu_figures import cpu_by_process, percentile
from bench.messages import CURRENCY
from bench.onboard import Administration
from bench.signing import make_key
from hub.local.temporary_state import temporary_state
from kitovu_connector.backend import IncomingMoney, PartyDetails, Terms, TermsWanted
from kitovu_connector.client import Answer, HubClient
from kitovu_connector.config import Config
from kitovu_connector.connector import Connector
from kitovu_connector.core_errors import Refused
from kitovu_connector.orders_and_payments import Order
from kitovu_connector.payment_order import PartyRef
from kitovu_connector.payment_states import State

PAYER, PAYEE = "bench-payer", "bench-payee"
ALIAS = "255655001001"
KNOWN_BY = {"certificate and signature": True, "signature alone": False}  # true: the certificate suffices
ANSWERS = {"RESERVED": State.COMMITTED, "COMMITTED": State.COMMITTED, "rejects": State.ABORTED}


class Core:
    """A bank with one customer. The bank accepts every payment to the customer, or rejects every payment to the
    customer."""

    rejects = False

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        return PartyDetails("Bench Payee")

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        return Terms(receive_amount=wanted.amount)

    async def reserve(self, incoming: IncomingMoney) -> None:
        if self.rejects:
            raise Refused("5104", "no")

    async def commit(self, incoming: IncomingMoney) -> None:
        pass

    async def release(self, transfer_id: str) -> None:
        pass


@dataclass
class Figures:
    """The figures of one kind of measurement: one way to recognise the hub, together with one kind of answer."""

    seconds: list[float] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)  # requests of the payer's connector to the hub
    cpu_s: float = 0.0  # the CPU time of all the hub's processes

    def row(self) -> list[str]:
        """Returns a table row: median and p95 in milliseconds, and requests and CPU milliseconds per payment."""
        count = len(self.seconds)
        return [
            f"{percentile(self.seconds, 50) * 1000:.0f}",
            f"{percentile(self.seconds, 95) * 1000:.0f}",
            f"{sum(self.asked.values()) / count:.1f}",
            f"{self.cpu_s * 1000 / count:.0f}",
        ]


def main() -> None:
    """Parses the command line and runs the comparison."""
    parser = argparse.ArgumentParser(prog="python -m bench.hub_certificate_vs_signatures", description=__doc__)
    parser.add_argument("--payments", type=int, default=100, help="number of successive payments of each kind (100)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all kinds (3)")
    parser.add_argument("--port", type=int, help="port for the hub (a free one)")
    options = parser.parse_args()
    table = Table("the hub is known by", "the payee", "median ms", "p95 ms", "requests of the payer", "hub CPU ms")
    with temporary_state("connectors") as folder:
        found = _measure(folder, options)
    for (known_by, answer), figures in found.items():
        table.add_row(known_by, answer, *figures.row())
    Console(width=120).print(table)


def _measure(folder: Path, options: argparse.Namespace) -> dict[tuple[str, str], Figures]:
    authority = Authority(folder)
    certificate, key = authority.issue("hub")
    authority.issue("localhost", host="localhost")
    shown = {
        "CALLBACK_CA_FILE": authority.file,
        "CALLBACK_CLIENT_CERT_FILE": certificate,
        "CALLBACK_CLIENT_KEY_FILE": key,
    }
    found = {(known_by, answer): Figures() for known_by in KNOWN_BY for answer in ANSWERS}
    with own_hub(str(folder / "hub"), options.port, signed=True, settings=shown) as hub:
        configs = _onboard(hub, folder)
        # The program measures every kind of payment in each round. So other load on the machine affects all kinds
        # equally.
        for number in range(options.rounds):
            for (known_by, answer), figures in found.items():
                chosen = [_as_known(config, folder, is_pinned=KNOWN_BY[known_by]) for config in configs]
                run = _pay_all(hub, chosen, answer, figures, options.payments // options.rounds or 1, f"{number}")
                asyncio.run(run)
    return found


def _onboard(hub: Hub, folder: Path) -> list[Config]:
    from hub.local import net

    administration = Administration(hub.url)
    administration.open_hub_accounts()
    keys = {"Hub": (_public_of(folder / "hub-key.pem", folder / "hub.pub"),)}
    configs = []
    for name in (PAYER, PAYEE):
        config = Config(
            dfsp=name,
            hub_url=hub.url,
            state=folder / name,
            ilp_secret=f"the secret of {name}",
            inbound_host="localhost",
            inbound_port=net.free_port(),
            outbound_port=net.free_port(),
            signing_key=str(folder / f"{name}.pem"),
            inbound_cert=str(folder / "localhost.crt"),
            inbound_key=str(folder / "localhost.key"),
        )
        administration.add_dfsp(name, f"https://localhost:{config.inbound_port}")
        public = make_key(folder / f"{name}.pem")
        administration.add_key(name, public)
        (folder / f"{name}.pub").write_text(public)
        keys[name] = (str(folder / f"{name}.pub"),)
        configs.append(config)
    time.sleep(6)  # waits until every process of the hub has read the keys
    return [replace(config, verify_jws=True, jws_keys=keys) for config in configs]


def _public_of(private: Path, public: Path) -> str:
    from cryptography.hazmat.primitives import serialization

    from fspiop import jws

    key = jws.load_private_key(private.read_bytes()).public_key()
    public.write_bytes(key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return str(public)


def _as_known(config: Config, folder: Path, *, is_pinned: bool) -> Config:
    if not is_pinned:
        return config
    return replace(config, inbound_client_ca=str(folder / "ca.pem"), inbound_client_name="hub")


@contextmanager
def _counted(figures: Figures) -> Iterator[Any]:
    """Counts the requests of the payer's connector to the hub."""
    send = HubClient.send

    async def counted(self: HubClient, method: str, path: str, *arguments: Any, **more: Any) -> Answer:
        if self._config.dfsp == PAYER:
            figures.asked[f"{method} /{path.split('/')[1]}"] += 1
        return await send(self, method, path, *arguments, **more)

    HubClient.send = counted  # type: ignore[method-assign]
    try:
        yield
    finally:
        HubClient.send = send  # type: ignore[method-assign]


async def _pay_all(hub: Hub, configs: list[Config], answer: str, figures: Figures, count: int, turn: str) -> None:
    core = Core()
    core.rejects = answer == "rejects"
    payer, payee = configs
    payee = replace(payee, fulfil_state="COMMITTED" if answer == "COMMITTED" else "RESERVED")
    async with Connector(payer, Core()) as paying, Connector(payee, core) as paid:
        await paid._aliases.register(("MSISDN", ALIAS, None), CURRENCY)
        name = f"{payer.inbound_client_name}{answer}{turn}"
        await _pay(paying, f"{name}-first", answer)  # not measured: this payment opens the connections
        before = sum(cpu_by_process(hub.pids()).values())
        with _counted(figures):
            for number in range(count):
                figures.seconds.append(await _pay(paying, f"{name}-{number}", answer))
        figures.cpu_s += sum(cpu_by_process(hub.pids()).values()) - before


async def _pay(paying: Connector, home_id: str, answer: str) -> float:
    began = time.perf_counter()
    payment = await paying.pay(
        Order(
            home_id=home_id,
            payer=PartyRef(id_type="MSISDN", id_value="255712001001", name="Bench Payer"),
            payee=PartyRef(id_type="MSISDN", id_value=ALIAS),
            amount="1",
            currency=CURRENCY,
        )
    )
    assert payment.state is ANSWERS[answer], payment
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
