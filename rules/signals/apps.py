from django.apps import AppConfig


class SignalsConfig(AppConfig):
    name = "rules.signals"
    label = "rules_signals"
