"""The web process's entry, for any WSGI server."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")
django.setup(set_prefix=False)

from hub import lean, production  # noqa: E402 (settings must be there first)
from hub.api.turnstile import Turnstile  # noqa: E402
from hub.page_limits import PageLimits  # noqa: E402

production.refuse_if_faulty()
application = Turnstile(PageLimits(lean.LeanHandler()))
lean.trim()
