"""The commands `positions`, `certificate` and `signing-key`, which call the hub's own API for DFSPs."""

import argparse
import asyncio
import os
from pathlib import Path

from rich.table import Table

from kitovu_connector import key_files, new_connector_files
from kitovu_connector.commands.common import FAILED, AddCommand, Misused, ask_hub, config_file, config_of, out, text_of
from kitovu_connector.hub_api import HubApi, Submission


def add_to(command: AddCommand) -> None:
    """Adds the commands."""
    command("positions", _positions, "show your positions and free limits at the hub")

    certificate = command("certificate", _certificate, "request a client certificate from the hub, or fetch it")
    certificate.add_argument("action", choices=["request", "fetch"])
    certificate.add_argument("--csr", type=Path, default=Path("tls.csr"), help="the signing request (tls.csr)")
    certificate.add_argument("--out", type=Path, default=Path("tls.pem"), help="the file for the certificate")

    key = command("signing-key", _signing_key, "submit your public key for signatures, or fetch all participants' keys")
    key.add_argument("action", choices=["submit", "fetch"])
    key.add_argument("--key", type=Path, help="with submit: the private key that will replace signing_key later")
    key.add_argument("--out", type=Path, default=Path("keys"), help="with fetch: the folder for the keys")


def _positions(asked: argparse.Namespace) -> int:
    async def run(api: HubApi) -> int:
        table = Table("currency", "position", "reserved", "cap", "cover", "free", box=None, pad_edge=False)
        for found in await api.positions():
            row = (found.currency, found.position, found.reserved, found.net_debit_cap, found.cover, found.free)
            table.add_row(*(text or "-" for text in row))
        out.print(table)
        return 0

    return asyncio.run(ask_hub(config_of(asked), run))


def _certificate(asked: argparse.Namespace) -> int:
    config = config_of(asked)

    async def request(api: HubApi) -> int:
        submitted = await api.submit_signing_request(text_of(asked.csr))
        _show_submission(submitted)
        out.print("Read this SHA-256 aloud to the operator. Then: kitovu-connector certificate fetch", markup=False)
        return 0

    async def fetch(api: HubApi) -> int:
        wanted = _key_id_of_request(asked.csr)
        for submission in await api.submissions():
            if submission.key_id == wanted and submission.certificate is not None:
                asked.out.write_text(submission.certificate.pem)
                out.print(f"wrote {asked.out}, valid until {submission.certificate.valid_until}", markup=False)
                return 0
            if submission.key_id == wanted:
                _show_submission(submission)
                return FAILED
        raise Misused(f"{asked.csr} was not submitted: kitovu-connector certificate request")

    return asyncio.run(ask_hub(config, request if asked.action == "request" else fetch))


def _signing_key(asked: argparse.Namespace) -> int:
    config = config_of(asked)

    async def submit(api: HubApi) -> int:
        file = asked.key or config.signing_key
        if not file:
            raise Misused("there is no signing_key: name one with --key")
        key = key_files.private_key("--key", str(file))
        submitted = await api.submit_signing_key(new_connector_files.public_pem(key.public_key()))
        _show_submission(submitted)
        return 0

    async def fetch(api: HubApi) -> int:
        listed = await api.signing_keys()
        assert listed is not None
        configuration = config_file(asked)
        # the folder to which file names are relative
        folder = Path.cwd() if configuration is None else configuration.parent
        asked.out.mkdir(parents=True, exist_ok=True)
        table: dict[str, list[str]] = {}
        for key in listed[0]:
            if key.participant == config.dfsp:
                continue
            file = asked.out / f"{key.participant.replace(' ', '_')}-{key.key_id[:8]}.pem"
            file.write_text(key.key)
            table.setdefault(key.participant, []).append(_path_from(folder, file))
        out.print("[jws_keys]", markup=False)
        for name, files in table.items():
            shown = ", ".join(f'"{file}"' for file in files)
            out.print(f'"{name}" = [{shown}]', markup=False)
        return 0

    return asyncio.run(ask_hub(config, submit if asked.action == "submit" else fetch))


def _path_from(folder: Path, file: Path) -> str:
    return os.path.relpath(file, folder)


def _show_submission(found: Submission) -> None:
    decision = f": {found.decision}" if found.decision else ""
    out.print(f"submission {found.id}: {found.state}, {found.approvals} of 2 approvals{decision}", markup=False)
    out.print(f"SHA-256 of the key: {found.key_id}", markup=False)


def _key_id_of_request(file: Path) -> str:
    try:
        return new_connector_files.key_id_of_request(text_of(file))
    except ValueError as error:
        raise Misused(f"{file} is no signing request: {error}") from None
