from django.apps import AppConfig


class MarkersConfig(AppConfig):
    name = "rules.markers"
    label = "rules_markers"
