from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "ledger"

    def ready(self) -> None:
        from hub import metrics
        from hub.participants import queries as participants
        from ledger import limit_alarms, queries, rules_gate
        from ledger.held_transfers import actions as held_transfers
        from ledger.rule_history.replay_command import ReplayCommand
        from rules import originals, paid_before
        from rules.alerts import requested_changes
        from rules.rulesets import command_registry

        metrics.READERS.append(limit_alarms.show)
        originals.come_from(rules_gate.originals)
        paid_before.come_from(rules_gate.paid_before)
        requested_changes.PERFORM.update(held_transfers.PERFORM)
        command_registry.BY_NAME["replay"] = ReplayCommand()
        participants.currencies_come_from(queries.CURRENCIES_OF_A_PARTICIPANT)
