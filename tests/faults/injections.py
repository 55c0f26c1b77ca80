"""The faults that one machine can have. Each function does harm and takes it back; its time of healing is noted."""

import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg

from bench.bad import full_queue
from hub.local import proc
from hub.local.errors import LocalError
from hub.local.stack import Stack
from tests.faults.checkers import OURS
from tests.faults.dfsps import Scheme
from tests.faults.history import Misbehaviour
from tests.faults.outsiders import MUTE, NAMES, Rogue
from tests.faults.windows import close_window

_LEFT = 20_000  # messages
_CALM_S = 60.0
_CALM_CHECKS, _CALM_STEP_S = 8, 0.5
_WAITED_S = 1.5  # a hub that is well has told everybody by then


@dataclass
class Site:
    """What can be harmed."""

    stack: Stack
    scheme: Scheme
    rng: random.Random
    tell: Callable[[str], None] = lambda text: None

    def kill(self, name: str, number: int, *, group: bool = False) -> None:
        with suppress(LocalError):  # it is being started again just now
            self.stack.kill(name, number, group=group)

    def a_child(self, name: str) -> int | None:
        """One of a process's children, such as a granian worker of web."""
        parent = self.stack.pid(name)
        children = [pid for pid in proc.group_members(parent) if pid != parent] if parent else []
        return self.rng.choice(children) if children else None

    def connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self.stack.env["DATABASE_URL"], autocommit=True, connect_timeout=3)

    @property
    def rogue(self) -> Rogue:
        assert self.scheme.rogue is not None
        return self.scheme.rogue

    @contextmanager
    def misbehaving(self, name: str, *who: str) -> Iterator[None]:
        """A time in which the payments of all others must go on as ever. What was done before must be over first."""
        if not proc.wait_for(self._stays_calm, _CALM_S, step=0.2):
            self.scheme.history.strange.append(f"before {name}: the hub had not told everybody within {_CALM_S:.0f} s")
        since = time.time()
        yield
        self.scheme.history.misbehaviours.append(Misbehaviour(name, frozenset(who), since, time.time()))

    def _stays_calm(self) -> bool:
        """Calm for a time: couriers that were stopped gently go on for a moment, and are missing only then."""
        for _ in range(_CALM_CHECKS):
            if not self._is_calm():
                return False
            time.sleep(_CALM_STEP_S)
        return True

    def _is_calm(self) -> bool:
        with suppress(psycopg.OperationalError), self.connect() as connection:
            row = connection.execute(
                f"SELECT count(*) FROM outbox_message WHERE state = 'PENDING' AND {OURS}"
                " AND created_at < clock_timestamp() - make_interval(secs => %s)",
                [_WAITED_S],
            ).fetchone()
            return row is not None and row[0] == 0
        return False

    def postgres_pids(self) -> list[int]:
        parent = self.stack.pid("postgres")
        if parent is None:
            return []
        return [parent, *(pid for pid in proc.pids() if _parent(pid) == parent)]


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def kill_a_web_worker(site: Site) -> None:
    """F01"""
    if pid := site.a_child("web"):
        proc.send(pid, signal.SIGKILL)


def kill_all_of_web(site: Site) -> None:
    """F02"""
    site.kill("web", signal.SIGKILL, group=True)


def stop_web_gently(site: Site) -> None:
    """F03"""
    site.kill("web", signal.SIGTERM)


def kill_a_courier(site: Site) -> None:
    """F04, a child"""
    if pid := site.a_child("worker"):
        proc.send(pid, signal.SIGKILL)


def kill_all_couriers(site: Site) -> None:
    """F04, the whole group"""
    site.kill("worker", signal.SIGKILL, group=True)


def stop_couriers_gently(site: Site) -> None:
    """F05"""
    site.kill("worker", signal.SIGTERM)


def kill_beat(site: Site) -> None:
    """F06"""
    site.kill("beat", signal.SIGKILL)


def let_beat_sleep(site: Site) -> None:
    """F06: it wakes and acts on old knowledge."""
    site.kill("beat", signal.SIGSTOP)
    time.sleep(12)
    site.kill("beat", signal.SIGCONT)


def kill_valkey(site: Site) -> None:
    """F07"""
    site.kill("valkey", signal.SIGKILL)


def empty_valkey(site: Site) -> None:
    """F08"""
    import redis

    with suppress(redis.RedisError):
        redis.Redis.from_url(site.stack.env["REDIS_URL"], socket_timeout=2).flushall()


def silence_valkey(site: Site) -> None:
    """F18"""
    site.kill("valkey", signal.SIGSTOP)
    time.sleep(5)
    site.kill("valkey", signal.SIGCONT)


def kill_a_backend(site: Site) -> None:
    """F09: PostgreSQL restarts itself, as shared memory may be spoilt."""
    backends = site.postgres_pids()[1:]
    if backends:
        proc.send(site.rng.choice(backends), signal.SIGKILL)


def kill_postgres(site: Site) -> None:
    """F10"""
    site.kill("postgres", signal.SIGKILL)


def stop_postgres_at_once_repeatedly(site: Site) -> None:
    """F11"""
    for _ in range(3):
        site.kill("postgres", signal.SIGQUIT)
        with suppress(LocalError):
            site.stack.wait_ready(["postgres"], 30)
        time.sleep(1)


def silence_postgres(site: Site) -> None:
    """F16: connections stay open and nothing answers."""
    pids = site.postgres_pids()
    for pid in pids:
        proc.send(pid, signal.SIGSTOP)
    time.sleep(8)
    for pid in pids:
        proc.send(pid, signal.SIGCONT)


def a_dfsp_misbehaves(site: Site) -> None:
    """F17, F19, F20, F21"""
    dfsp = site.rng.choice(list(site.scheme.dfsps.values()))
    with site.misbehaving("a DFSP misbehaves", dfsp.name):
        dfsp.temper = site.rng.choice(["500", "429", "302", "hangs", "drips", "closes"])
        time.sleep(6)
    dfsp.temper = ""


def clients_that_never_finish(site: Site) -> None:
    """F22: half a request each, and then silence."""
    held = []
    for _ in range(200):
        with suppress(OSError):
            client = socket.create_connection(("127.0.0.1", site.stack.port), timeout=2)
            client.sendall(b"POST /transfers HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n")
            held.append(client)
    time.sleep(4)
    for client in held:
        client.close()


def take_all_connections(site: Site) -> None:
    """F26"""
    held = []
    with suppress(psycopg.OperationalError):
        for _ in range(300):
            held.append(site.connect())
    time.sleep(4)
    for connection in held:
        connection.close()


def hold_a_hot_account(site: Site) -> None:
    """F27"""
    with suppress(psycopg.Error), site.connect() as connection, connection.transaction():
        connection.execute("SELECT FROM ledger_account WHERE type = 'POSITION' ORDER BY id LIMIT 1 FOR UPDATE")
        time.sleep(5)


def lock_in_the_wrong_order(site: Site) -> None:
    """F28"""
    until = time.monotonic() + 4
    with suppress(psycopg.OperationalError), site.connect() as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM ledger_account WHERE type = 'POSITION' ORDER BY 1")]
        while time.monotonic() < until:
            with suppress(psycopg.errors.DeadlockDetected), connection.transaction():
                for account_id in reversed(ids):
                    connection.execute("SELECT FROM ledger_account WHERE id = %s FOR UPDATE", [account_id])
                    time.sleep(0.02)


def kill_web_while_a_window_closes(site: Site) -> None:
    """F30"""
    with suppress(OSError):
        close_window(site.stack.base_url, timeout_s=0.02)
    site.kill("web", signal.SIGKILL, group=True)


def a_message_that_can_not_be_sent(site: Site) -> None:
    """F31"""
    with suppress(psycopg.OperationalError), site.connect() as connection:
        connection.execute(
            """INSERT INTO outbox_message (destination_id, method, path, headers, body, subject, kind, signed_by_hub)
               SELECT id, 'PUT', '/transfers/poison', '{"x-poison": "a\\r\\nb"}', '', 'poison', 'state', false
               FROM participants_participant WHERE NOT is_hub ORDER BY id LIMIT 1"""
        )


def poison_the_queue(site: Site) -> None:
    """F36: thousands of messages to one that does not answer, of one subject and of many; what it polls for, and what a
    long silence has left."""
    rogue, url = site.rogue, site.stack.env["DATABASE_URL"]
    with site.misbehaving("a poisoned queue", *NAMES):
        rogue.temper = "hangs"
        for is_one in (True, False):
            full_queue.fill(url, rogue.name, _LEFT, one_subject=is_one)
        site.scheme.do(rogue.poll(1000, of="b51ec534-ee48-4575-b6a9-ead2955b8069"))
        site.scheme.do(rogue.poll(1000))
        time.sleep(6)
    rogue.temper = ""
    full_queue.empty(url, rogue.name)


def answer_what_was_not_asked(site: Site) -> None:
    """F37"""
    with site.misbehaving("unasked answers", *NAMES):
        until = time.monotonic() + 6
        while time.monotonic() < until:
            site.scheme.do(site.rogue.answer_unasked())


def send_what_can_not_be_sent(site: Site) -> None:
    """F38: questions that cannot be written down again, and answers for which there is no endpoint."""
    with site.misbehaving("unsendable messages", *NAMES):
        for _ in range(3):
            for name in site.scheme.dfsps:
                site.scheme.do(site.rogue.send_odd_bytes(name, 30))
            site.scheme.do(site.rogue.poll(20, by=MUTE))
            time.sleep(4)  # they are tried again, and others' payments come between


def a_dfsp_answers_501(site: Site) -> None:
    """F39: to everything but transfers, which go on for itself as well."""
    dfsp = site.rng.choice(list(site.scheme.dfsps.values()))
    with site.misbehaving("a DFSP answers 501", *NAMES):
        dfsp.temper = "501"
        site.scheme.do(site.rogue.ask_for_transactions(dfsp.name, 8))
        time.sleep(4)
    dfsp.temper = ""


FAULTS: list[Callable[[Site], None]] = [
    kill_a_web_worker,
    kill_all_of_web,
    stop_web_gently,
    kill_a_courier,
    kill_all_couriers,
    stop_couriers_gently,
    kill_beat,
    let_beat_sleep,
    kill_valkey,
    empty_valkey,
    silence_valkey,
    kill_a_backend,
    kill_postgres,
    stop_postgres_at_once_repeatedly,
    silence_postgres,
    a_dfsp_misbehaves,
    clients_that_never_finish,
    take_all_connections,
    hold_a_hot_account,
    lock_in_the_wrong_order,
    kill_web_while_a_window_closes,
    a_message_that_can_not_be_sent,
    poison_the_queue,
    answer_what_was_not_asked,
    send_what_can_not_be_sent,
    a_dfsp_answers_501,
]
