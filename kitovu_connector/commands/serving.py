"""The command `serve`, which runs the connector."""

import argparse
import asyncio
import os
import signal
from dataclasses import fields

from kitovu_connector import logs
from kitovu_connector.commands.common import AddCommand, config_file
from kitovu_connector.config import Config, ConfigError, load
from kitovu_connector.configured_core import core_of
from kitovu_connector.connector import Connector

_NOT_FLAGS = frozenset({"jws_keys"})


def add_to(command: AddCommand) -> None:
    """Adds the commands."""
    serve = command("serve", _serve, "run the connector until SIGTERM")
    for setting in fields(Config):
        if setting.name not in _NOT_FLAGS:
            serve.add_argument("--" + setting.name.replace("_", "-"))


def _serve(asked: argparse.Namespace) -> int:
    names = [setting.name for setting in fields(Config) if setting.name not in _NOT_FLAGS]
    flags = {name: getattr(asked, name) for name in names}
    file = asked.config
    if file is None and not {"dfsp", "hub_url"} <= {name for name, value in flags.items() if value is not None}:
        file = config_file(asked)
    config = load(file, os.environ, flags)
    if not config.backend_url:
        raise ConfigError("backend_url must be given: the base URL of the core")
    config.check_callers_are_proven()
    logs.configure(config.log_level)
    asyncio.run(_run(config))
    return 0


async def _run(config: Config) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with core_of(config) as backend, Connector(config, backend):
        await stopped.wait()
