"""What Celery's worker processes carry: a courier each. The name makes Celery find it."""

from celery import signals

from hub import lean
from hub.outbox.courier import Courier

_courier: Courier | None = None


@signals.worker_process_init.connect
def _start_courier(**_: object) -> None:
    global _courier
    lean.trim()
    _courier = Courier()
    _courier.start()


@signals.worker_process_shutdown.connect
def _stop_courier(**_: object) -> None:
    if _courier is not None:
        _courier.stop(timeout_s=8.0)
