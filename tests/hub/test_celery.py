"""What a worker process loads and starts."""

from celery import signals

from hub.celery import app


def test_each_worker_process_starts_a_courier_and_the_clock_that_replaces_beat() -> None:
    app.loader.import_default_modules()
    started = {receiver().__module__ for _, receiver in signals.worker_process_init.receivers}
    assert started >= {"hub.outbox.courier_in_celery_worker", "hub.tasks"}
