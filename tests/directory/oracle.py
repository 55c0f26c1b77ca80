"""An oracle as somebody else might run it, over a real socket; and one that misbehaves in every way."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, bytes]


class RunningOracle:
    """Keeps registrations by (type, identifier); `misbehave` answers in its stead where it is set."""

    def __init__(self, port: int = 0) -> None:
        self.known: dict[tuple[str, str], list[dict[str, str]]] = {}
        self.asked: list[tuple[str, str, dict[str, Any] | None]] = []
        self.misbehave: Callable[[str, str], Answer | None] = lambda method, path: None
        oracle = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _take(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(raw) if raw else None
                oracle.asked.append((self.command, self.path, body))
                status, answer = oracle.misbehave(self.command, self.path) or oracle.answer(
                    self.command, self.path, body
                )
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.send_header("Location", oracle.url + "/elsewhere")
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST = do_DELETE = _take

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/oracle"

    def methods(self) -> list[str]:
        return [method for method, _, _ in self.asked]

    def answer(self, method: str, target: str, body: Any) -> Answer:
        parts = urlsplit(target)
        currency = parse_qs(parts.query).get("currency", [""])[0]
        names = [unquote(name) for name in parts.path.removeprefix("/oracle/participants").split("/")[1:]]
        if not names:
            for party in body["partyList"]:
                self._add(party["partyIdType"], party["partyIdentifier"], party)
            return 201, b""
        alias, sub_id = (names[0], names[1]), names[2] if len(names) > 2 else ""
        fits = [
            party
            for party in self.known.get(alias, [])
            if party["partySubIdOrType"] == sub_id and (not currency or party["currency"] in ("", currency))
        ]
        if method == "GET":
            shown = [{name: value for name, value in party.items() if value} for party in fits]
            return 200, json.dumps({"partyList": shown}).encode()
        if method == "POST":
            self._add(*alias, body)
            return 201, b""
        self.known[alias] = [party for party in self.known.get(alias, []) if party not in fits]
        return 204, b""

    def _add(self, alias_type: str, identifier: str, party: dict[str, str]) -> None:
        kept = {name: party.get(name, "") for name in ("fspId", "currency", "partySubIdOrType")}
        self.known.setdefault((alias_type, identifier), []).append(kept)


def hang(method: str, path: str) -> Answer | None:
    time.sleep(5)
    return None
