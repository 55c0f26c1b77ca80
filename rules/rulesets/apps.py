from django.apps import AppConfig


class RuleSetsConfig(AppConfig):
    name = "rules.rulesets"
    label = "rules_rulesets"
