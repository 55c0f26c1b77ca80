"""The connector's metrics for Prometheus. Whenever Prometheus reads the metrics, the connector computes them from its
database.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from kitovu_connector.client import HubClient
from kitovu_connector.config import Config
from kitovu_connector.payment_and_quote_records import Store


class Metrics:
    """The metrics of one connector. Each connector has its own registry, because one program can run several
    connectors.
    """

    def __init__(self, config: Config, store: Store, hub: HubClient) -> None:
        self._config, self._store, self._hub = config, store, hub

    async def exposition(self) -> tuple[bytes, str]:
        """Returns two values: all metrics as text, and the content type of this text."""
        registry = CollectorRegistry(auto_describe=False)
        counts, waiting = await self._store.counts(), await self._store.waiting_events()
        registry.register(_Figures([*self._of_state(counts, waiting), *self._others()]))
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def _of_state(self, counts: Sequence[tuple[str, str, int]], waiting: int) -> Iterator[Metric]:
        transfers = GaugeMetricFamily(
            "kitovu_connector_transfers",
            "Stored transfers, by direction and state",
            labels=["direction", "state"],
        )
        for direction, state, count in counts:
            transfers.add_metric([direction, state], count)
        yield transfers
        yield GaugeMetricFamily(
            "kitovu_connector_events_waiting", "Events that the core has not yet accepted, from all instances", waiting
        )

    def _others(self) -> Iterator[Metric]:
        """Yields the metrics about the hub and the certificates.

        If the hub does not answer, leaves out the metrics about the hub. Leaves out a certificate whose file cannot be
        read, for example while another program replaces the file.
        """
        measured = self._hub.clock.measured
        if measured is not None:
            text = "Seconds by which the hub's clock is ahead of this machine's clock"
            yield GaugeMetricFamily("kitovu_connector_hub_clock_ahead_seconds", text, measured.ahead_s)
        if self._hub.last_answer_at:
            text = "Time since the hub's last response"
            age = time.monotonic() - self._hub.last_answer_at
            yield GaugeMetricFamily("kitovu_connector_hub_last_answer_age_seconds", text, age)
        ends = GaugeMetricFamily(
            "kitovu_connector_certificate_ends_timestamp_seconds", "When a certificate ends", labels=["setting"]
        )
        for name in ("client_cert", "inbound_cert", "outbound_cert"):
            file = getattr(self._config, name)
            if file:
                with suppress(OSError, ValueError):
                    certificate = x509.load_pem_x509_certificate(Path(file).read_bytes())
                    ends.add_metric([name], certificate.not_valid_after_utc.timestamp())
        yield ends


class _Figures(Collector):
    def __init__(self, figures: Sequence[Metric]) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._figures
