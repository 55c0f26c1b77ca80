from django.apps import AppConfig


class SweepsConfig(AppConfig):
    name = "hub.sweeps"
    label = "sweeps"

    def ready(self) -> None:
        from hub import metrics
        from hub.sweeps import queries

        metrics.READERS.append(queries.show)
