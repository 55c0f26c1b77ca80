from django.apps import AppConfig


class DirectoryConfig(AppConfig):
    name = "directory"

    def ready(self) -> None:
        from directory import party_lookups
        from directory.lookup_commands import AnswerParty, AskParty
        from hub import agreement_engine

        agreement_engine.register(party_lookups.run, AskParty, AnswerParty)
