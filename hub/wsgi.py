"""The web process's entry, for any WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hub.settings")
application = get_wsgi_application()

from hub import production  # noqa: E402 (settings must be there first)

production.refuse_if_faulty()
