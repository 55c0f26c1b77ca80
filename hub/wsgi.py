"""The entry point of the web process, for any WSGI server."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")
django.setup(set_prefix=False)

from hub import process_tuning, production_checks  # noqa: E402 (settings must be loaded first)
from hub.api.load_shedding import Turnstile  # noqa: E402
from hub.api.wsgi_handler import LeanHandler  # noqa: E402
from hub.page_concurrency import PageLimits  # noqa: E402
from rules import lists_markers_and_kill_switches  # noqa: E402
from rules.rulesets import active_rules  # noqa: E402

production_checks.refuse_if_faulty()
application = Turnstile(PageLimits(LeanHandler()))
process_tuning.trim()
active_rules.begin_to_load()
lists_markers_and_kill_switches.begin_to_load()
