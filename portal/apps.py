from django.apps import AppConfig
from django.contrib.admin import apps as admin


class OurAdminConfig(admin.AdminConfig):
    default = False
    default_site = "portal.admin_site.Site"


class PortalConfig(AppConfig):
    default = True
    name = "portal"
    verbose_name = "Operators' portal"

    def ready(self) -> None:
        from hub import metrics
        from ledger import invariants
        from portal import access_rule_check  # noqa: F401 (registers them)
        from portal.alarms import queries as alarms
        from portal.balance_checkpoint_invariants import INVARIANTS
        from portal.changes import KINDS, try_out

        metrics.READERS.append(alarms.show)
        invariants.register(INVARIANTS)
        try_out.register(KINDS.values())
