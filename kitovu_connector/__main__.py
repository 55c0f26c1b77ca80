"""python -m kitovu_connector [--config FILE.toml] [--dfsp NAME ...]: runs one DFSP's connector until SIGTERM."""

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path

from kitovu_connector import logs
from kitovu_connector.backend import HttpBackend
from kitovu_connector.config import Config, ConfigError, StartError, load
from kitovu_connector.reference_api.backend import ReferenceBackend
from kitovu_connector.service import Connector


def main() -> int:
    """Runs the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="kitovu-connector", description=__doc__)
    parser.add_argument("--config", type=Path, help="a TOML file; the names are those of the flags, with underscores")
    for setting in fields(Config):
        if setting.name != "jws_keys":
            parser.add_argument("--" + setting.name.replace("_", "-"))
    flags = vars(parser.parse_args())
    try:
        config = load(flags.pop("config"), os.environ, flags)
        if not config.backend_url:
            raise ConfigError("backend_url must be given: the base URL of the core")
        config.check_callers_are_proven()
        logs.configure(config.log_level)
        asyncio.run(_serve(config))
    except (ConfigError, StartError) as error:
        for line in str(error).splitlines():
            print(f"The connector cannot start: {line}", file=sys.stderr)
        return 2
    return 0


async def _serve(config: Config) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    kind = ReferenceBackend if config.backend_api == "reference" else HttpBackend
    core = kind(config.backend_url, timeout_s=config.request_s, connections=config.connections)
    async with core as backend, Connector(config, backend):
        await stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
