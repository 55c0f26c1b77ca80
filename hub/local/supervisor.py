"""Keeps named processes running, and ends them in the reverse order of their start."""

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
        """`limit` is the largest allowed number of supervised processes."""
        self.state, self.limit, self.tell = state, limit, tell
        self.watchdog = Watchdog(lock)
        self.children: dict[str, Child] = {}

    def add(self, program: Program, *, adopt: int | None = None) -> Child:
        """Starts a program and keeps it running. With `adopt`, takes over the running process with this pid instead of
        starting a new process."""
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
        """Raises an error if there is a process that the supervisor no longer restarts."""
        for name, child in self.children.items():
            if child.failure:
                raise LocalError(
                    f"{child.failure}\n{tail(child.log)}",
                    where=child.log,
                    do=f"Read the end of the log (above), correct the cause, and start again. {name} is not restarted.",
                )

    def wait_ready(self, names: Iterable[str] | None = None, seconds: float = 60.0) -> None:
        """Waits until the named processes are ready. If no name is given, waits for all supervised processes.

        Raises an error after `seconds`, or if there is a process that the supervisor no longer restarts.
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
        """Ends all supervised processes in the reverse order of their start. Then kills all remaining processes whose
        environment contains the mark of this STATE."""
        for child in reversed(list(self.children.values())):
            child.stop()
        self.watchdog.close()
        sweep(self.state)

    def hurry(self) -> None:
        """Makes `stop` send the next signal to each process immediately, without a wait."""
        for child in self.children.values():
            child.hurry.set()


def sweep(state: State) -> list[int]:
    """Kills the processes that an earlier supervisor of this STATE has left running. Such processes remain if both the
    supervisor and its watchdog were killed."""
    left = proc.marked(state.mark)
    for pid in left:
        proc.send(pid, 9)
    proc.wait_for(lambda: not any(proc.is_alive(pid) for pid in left), 5)
    return left
