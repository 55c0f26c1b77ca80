from django.apps import AppConfig


class ParticipantsConfig(AppConfig):
    name = "hub.participants"
    label = "participants"
