"""One test process may clear its cache while another signs somebody in: they share no database of Redis."""

import os
import subprocess
import sys


def told(worker: str | None) -> str:
    env = {"REDIS_URL": "redis://127.0.0.1:6379/0", "PYTHONPATH": os.pathsep.join(sys.path)}
    if worker:
        env["PYTEST_XDIST_WORKER"] = worker
    asked = "import tests.own_redis, os; print(os.environ['REDIS_URL'])"
    return subprocess.run([sys.executable, "-c", asked], env=env, capture_output=True, text=True, check=True).stdout


def test_each_test_process_has_a_database_of_redis_to_itself() -> None:
    urls = [told(worker).strip() for worker in (None, "gw0", "gw1")]
    assert urls == [f"redis://127.0.0.1:6379/{number}" for number in (0, 1, 2)]


def test_this_process_uses_the_one_it_was_given() -> None:
    from django.conf import settings

    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    assert os.environ["REDIS_URL"] == settings.REDIS_URL
    assert not worker or settings.REDIS_URL.endswith(f"/{int(worker) + 1}")
