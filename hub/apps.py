from django.apps import AppConfig


class HubConfig(AppConfig):
    name = "hub"

    def ready(self) -> None:
        from hub import celery, production_checks  # noqa: F401 (the Celery application must exist in every process)
        from hub.api import access_rule_check  # noqa: F401 (registers them)
