"""The entry point of the web process, for any WSGI server."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")
django.setup(set_prefix=False)

from hub import production_checks, request_overhead  # noqa: E402 (settings must be loaded first)
from hub.api.load_shedding import Turnstile  # noqa: E402
from hub.page_limits import PageLimits  # noqa: E402

production_checks.refuse_if_faulty()
application = Turnstile(PageLimits(request_overhead.LeanHandler()))
request_overhead.trim()
