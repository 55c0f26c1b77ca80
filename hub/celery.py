"""The Celery application. Celery delivers two kinds of tasks: periodic ticks, and hints that work is waiting.

If Celery loses a task, no work is lost.
"""

import os

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")

app = Celery("kitovu")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.imports = ("hub.outbox.courier_in_celery_worker",)  # a worker does not start without this module


@signals.celeryd_init.connect
@signals.beat_init.connect
def _refuse_faulty_settings(**_: object) -> None:
    from hub import production_checks

    production_checks.refuse_if_faulty()


@signals.worker_process_init.connect
def _start_without_inherited_connections(**_: object) -> None:
    # After the fork, two processes would share each open connection.
    from django.db import connections

    connections.close_all()


@signals.task_prerun.connect
def _drop_a_broken_connection(**_: object) -> None:
    from django.db import close_old_connections

    close_old_connections()
