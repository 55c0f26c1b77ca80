"""Each Celery worker process runs a courier, from the start to the end of the process. `hub.celery` imports this
module."""

from celery import signals

from hub import process_tuning
from hub.outbox.courier import Courier

_courier: Courier | None = None


@signals.worker_process_init.connect
def _start_courier(**_: object) -> None:
    global _courier
    process_tuning.trim()
    _courier = Courier()
    _courier.start()


@signals.worker_process_shutdown.connect
def _stop_courier(**_: object) -> None:
    if _courier is not None:
        _courier.stop(timeout_s=8.0)
