"""Hosts on one machine: network namespaces, joined by a switch, between which the network can fail in silence.

They have no names and are held by open files, so nothing is left of them when the process ends.
"""

import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_NOBODY = "02:00:00:00:00:ff"  # the address of a network card that nobody has
_NET = "10.77.0"
NETWORK = f"{_NET}.0/24"

_libc = ctypes.CDLL(None, use_errno=True)


class NotAllowedError(Exception):
    """This machine does not let us make networks; says what is missing."""


class Host:
    """A network namespace with one address."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.address = name, f"{_NET}.{number}"
        self.namespace = _new_namespace()

    def enter(self) -> None:
        """From now on this thread, and what it starts, is on this host."""
        _set(self.namespace)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """For a while."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            self.enter()
            yield
        finally:
            _set(before)
            os.close(before)

    def drop_to(self, other: "Host") -> None:
        """What is sent to the other host goes nowhere, and nobody is told; what comes from there still comes.

        By a wrong hardware address: it needs no filter in the kernel, and open connections are met as well.
        """
        with self.entered():
            _ip("neigh", "replace", other.address, "lladdr", _NOBODY, "dev", "eth0", "nud", "permanent")

    def heal_to(self, other: "Host") -> None:
        with self.entered():
            _ip("neigh", "del", other.address, "dev", "eth0")


class Network:
    """The switch, which this whole process stands on from now on, and the hosts at it."""

    def __init__(self) -> None:
        if threading.active_count() > 1:
            raise RuntimeError("a network is made before any thread is: they would stay on the old one")
        _unshare()
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "switch", "type", "bridge")
        _ip("link", "set", "switch", "up")
        _ip("addr", "add", f"{_NET}.254/24", "dev", "switch")
        self.hosts: dict[str, Host] = {}

    def add(self, name: str) -> Host:
        """Another host at the switch."""
        host = Host(name, len(self.hosts) + 1)
        there = f"/proc/{os.getpid()}/fd/{host.namespace}"
        port = f"port{len(self.hosts) + 1}"
        _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", there)
        _ip("link", "set", port, "master", "switch", "up")
        with host.entered():
            _ip("addr", "add", f"{host.address}/24", "dev", "eth0")
            _ip("link", "set", "eth0", "up")
            _ip("link", "set", "lo", "up")
        self.hosts[name] = host
        return host


def _new_namespace() -> int:
    made: list[int | OSError] = []

    def make() -> None:
        try:
            _unshare()
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        except (OSError, NotAllowedError) as error:
            made.append(OSError(str(error)))

    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    if isinstance(made[0], OSError):
        raise NotAllowedError(str(made[0]))
    return made[0]


def _unshare() -> None:
    if _libc.unshare(_NEW_NETWORK):
        raise NotAllowedError(f"no network namespace can be made here: {os.strerror(ctypes.get_errno())}")


def _set(namespace: int) -> None:
    if _libc.setns(namespace, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NotAllowedError("the program ip (iproute2) is not there") from None
    if done.returncode:
        raise NotAllowedError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
