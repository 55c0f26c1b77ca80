from django.apps import AppConfig


class ListsConfig(AppConfig):
    name = "rules.lists"
    label = "rules_lists"
