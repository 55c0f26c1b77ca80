"""A pytest plugin: each of several test processes has a database of Redis to itself, for clearing the cache empties all
of it. Loaded before Django reads its settings."""

import os
from urllib.parse import urlsplit

_worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
if _worker and "REDIS_URL" in os.environ:
    os.environ["REDIS_URL"] = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{int(_worker) + 1}").geturl()
