"""Keeps a fixed set of named processes running, and ends them in the reverse order of their start."""

import time
from collections.abc import Callable, Iterable

from hub.local import proc
from hub.local.errors import LocalError
from hub.local.state import State
from hub.local.supervised_process import Child, Program, tail
from hub.local.watchdog import Watchdog


class Supervisor:
    """The supervised processes of one local hub (STATE). The caller must hold the lock on STATE."""

    def __init__(
        self, state: State, lock: int, *, limit: int = 16, tell: Callable[[str], None] = lambda text: None
    ) -> None:
        """`limit` is the largest number of supervised processes."""
        self.state, self.limit, self.tell = state, limit, tell
        self.watchdog = Watchdog(lock)
        self.children: dict[str, Child] = {}

    def add(self, program: Program, *, adopt: int | None = None) -> Child:
        """Starts a program (or takes over the process with this pid) and keeps it running."""
        if program.name in self.children or len(self.children) >= self.limit:
            raise LocalError(
                f"'{program.name}' is not started: "
                + ("that name is in use." if program.name in self.children else f"{self.limit} run already."),
                where=f"supervisor of {self.state.path}",
                do="Give each process a different name, and start no more than the limit.",
            )
        log = self.state.logs / f"{program.name}.log"
        child = Child(program, log, self.watchdog, self.tell, adopt=adopt)
        self.children[program.name] = child
        child.start()
        return child

    def __getitem__(self, name: str) -> Child:
        """Returns the supervised process with this name."""
        try:
            return self.children[name]
        except KeyError:
            raise LocalError(
                f"There is no process '{name}'.", where=self.state.path, do=f"Running are: {', '.join(self.children)}."
            ) from None

    def check(self) -> None:
        """Raises an error if the supervisor no longer restarts one of its processes."""
        for name, child in self.children.items():
            if child.failure:
                raise LocalError(
                    f"{child.failure}\n{tail(child.log)}",
                    where=child.log,
                    do=f"Read the end of the log (above), correct the cause, and start again. {name} is not restarted.",
                )

    def wait_ready(self, names: Iterable[str] | None = None, seconds: float = 60.0) -> None:
        """Waits until the named processes are ready. If no name is given, waits for all supervised processes.

        Raises an error if the time is over, or if the supervisor no longer restarts one of these processes.
        """
        wanted = [self[name] for name in (list(self.children) if names is None else names)]
        end = time.monotonic() + seconds
        while not all(child.is_ready for child in wanted):
            self.check()
            late = [child for child in wanted if not child.is_ready]
            if late and time.monotonic() > end:
                raise LocalError(
                    f"{', '.join(child.program.name for child in late)} were not ready within {seconds:.0f} s.\n"
                    + tail(late[0].log),
                    where=late[0].log,
                    do="Read the end of the log (above). On a slow or busy machine, try again.",
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends all supervised processes in reverse order. After that, ends every other process that has the mark of
        this STATE in its environment."""
        for child in reversed(list(self.children.values())):
            child.stop()
        self.watchdog.close()
        sweep(self.state)

    def hurry(self) -> None:
        """Shortens all time limits while the supervisor stops its processes."""
        for child in self.children.values():
            child.hurry.set()


def sweep(state: State) -> list[int]:
    """Kills processes of an earlier supervisor of this STATE. The processes still run if the watchdog of the earlier
    supervisor was killed too."""
    left = proc.marked(state.mark)
    for pid in left:
        proc.send(pid, 9)
    proc.wait_for(lambda: not any(proc.is_alive(pid) for pid in left), 5)
    return left
