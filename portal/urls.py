"""Every page of the portal, and the right that a visitor needs for each HTTP method of the page."""

from allauth.account import views as account
from allauth.mfa.base import views as second_factor
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.usersessions import views as sessions
from django.urls import URLPattern, path
from django.views.generic import RedirectView

from portal.access import form_page, page
from portal.permissions import Right
from portal.views import (
    account_statements,
    alarms,
    alerts,
    approvals,
    audit,
    bank_statements,
    callbacks,
    certifications,
    clients,
    conversions,
    credentials,
    directory,
    go_live,
    held_transfers,
    history,
    home,
    hub,
    invitation,
    lists_and_markers,
    networks_and_contacts,
    offboarding,
    onboarding,
    overview,
    own_account,
    own_settlement,
    participants,
    payment_attempts,
    payment_search,
    rule_replays,
    rules,
    settlement,
    skipped_rows,
    transfers,
    unsent_notifications,
    users,
)
from settlement.bank_statements.parsing import MOST_OCTETS

_OWN = Right.SEE_OWN_ACCOUNT

# Pages for visitors who are not signed in, or who have not finished signing in. allauth checks the order of the steps.
SIGN_IN_PAGES = frozenset(
    {
        "account_login",
        "account_logout",
        "account_inactive",
        "invitation",
        "mfa_authenticate",
    }
)

urlpatterns: list[URLPattern] = [
    path("sign-in/", account.login, name="account_login"),
    path("sign-in/code/", second_factor.authenticate, name="mfa_authenticate"),
    path("sign-out/", account.logout, name="account_logout"),
    path("sign-in/inactive/", account.account_inactive, name="account_inactive"),
    path("invitation/", invitation.accept, name="invitation"),
    form_page("account/", own_account.index, name="account", right=_OWN),
    form_page("account/password/", account.password_change, name="account_change_password", right=_OWN),
    form_page(
        "account/password/again/", account.reauthenticate, name="account_reauthenticate", right=_OWN, with_password=True
    ),
    form_page("account/code/again/", second_factor.reauthenticate, name="mfa_reauthenticate", right=_OWN),
    page("account/code/", RedirectView.as_view(pattern_name="account"), name="mfa_index", get=_OWN),
    form_page(
        "account/code/set-up/", own_account.activate_totp, name="mfa_activate_totp", right=_OWN, with_password=True
    ),
    # Users must keep a second factor. So the URL of allauth's page for removing a second factor leads to the account
    # page.
    page("account/code/kept/", RedirectView.as_view(pattern_name="account"), name="mfa_deactivate_totp", get=_OWN),
    page("account/recovery-codes/", recovery_codes.view_recovery_codes, name="mfa_view_recovery_codes", get=_OWN),
    form_page(
        "account/recovery-codes/new/",
        recovery_codes.generate_recovery_codes,
        name="mfa_generate_recovery_codes",
        right=_OWN,
    ),
    page(
        "account/recovery-codes/file/",
        recovery_codes.download_recovery_codes,
        name="mfa_download_recovery_codes",
        get=_OWN,
    ),
    form_page("account/sessions/", sessions.list_usersessions, name="usersessions_list", right=_OWN),
    page("", home.index, name="home", get=_OWN),
    page("overview/", overview.index, name="overview", get=Right.SEE_OVERVIEW),
    page("overview/live/", overview.live, name="overview_live", get=Right.SEE_OVERVIEW),
    page("alarms/", alarms.index, name="alarms", get=Right.SEE_ALARMS),
    page("alarms/runbook/<slug:kind>/", alarms.runbook, name="runbook", get=Right.SEE_ALARMS),
    page("alarms/<int:alarm_id>/acknowledge/", alarms.acknowledge, name="acknowledge_alarm", post=Right.WORK_ON_ALARMS),
    page("alarms/<int:alarm_id>/assign/", alarms.assign, name="assign_alarm", post=Right.WORK_ON_ALARMS),
    page("hub/", hub.accounts, name="hub_accounts", get=Right.SEE_HUB),
    form_page("hub/accounts/new/", hub.open_account, name="open_hub_account", right=Right.ASK_PARTICIPANTS),
    page("hub/models/", hub.settlement_models, name="settlement_models", get=Right.SEE_HUB),
    form_page("hub/models/new/", hub.create_model, name="create_settlement_model", right=Right.ASK_SETTLEMENT),
    form_page(
        "hub/models/<int:model_id>/activity/",
        hub.set_model_active,
        name="set_settlement_model_active",
        right=Right.ASK_SETTLEMENT,
    ),
    page("hub/pairs/", hub.currency_pairs, name="currency_pairs", get=Right.SEE_HUB),
    form_page("hub/pairs/new/", hub.offer_pair, name="offer_pair", right=Right.ASK_PARTICIPANTS),
    form_page(
        "hub/pairs/<int:pair_id>/withdraw/", hub.withdraw_pair, name="withdraw_pair", right=Right.ASK_PARTICIPANTS
    ),
    page("hub/certificates/", hub.certificates, name="hub_certificates", get=Right.SEE_HUB),
    page("hub/settings/", hub.settings_in_force, name="settings_in_force", get=Right.SEE_HUB),
    page("skipped/", skipped_rows.index, name="skipped_rows", get=Right.SEE_OVERVIEW),
    page("skipped/<int:row_id>/again/", skipped_rows.try_again, name="try_again", post=Right.TRY_AGAIN),
    page("skipped/of/<str:batch>/again/", skipped_rows.try_all_again, name="try_all_again", post=Right.TRY_AGAIN),
    page("payments/", payment_search.index, name="payments", get=Right.SEE_TRANSFERS),
    page("payments/views/", payment_search.save_view, name="save_view", post=Right.SEE_TRANSFERS),
    page(
        "payments/views/<int:view_id>/remove/", payment_search.remove_view, name="remove_view", post=Right.SEE_TRANSFERS
    ),
    page("payments/quotes/<str:quote_id>/", payment_attempts.show_quote, name="quote", get=Right.SEE_TRANSFERS),
    page(
        "payments/requests/<str:request_id>/",
        payment_attempts.show_request,
        name="request_to_pay",
        get=Right.SEE_TRANSFERS,
    ),
    page("history/", history.index, name="history", get=Right.SEE_TRANSFERS),
    page("history.csv", history.export_csv, name="history_csv", get=Right.SEE_TRANSFERS),
    page("history.xlsx", history.export_xlsx, name="history_xlsx", get=Right.SEE_TRANSFERS),
    page("transfers/", transfers.index, name="transfers", get=Right.SEE_TRANSFERS),
    page("transfers.csv", transfers.export, name="transfers_csv", get=Right.SEE_TRANSFERS),
    page("transfers/<str:transfer_id>/", transfers.show, name="transfer", get=Right.SEE_TRANSFERS),
    page(
        "transfers/<str:transfer_id>/payment.json",
        transfers.export_json,
        name="payment_json",
        get=Right.SEE_TRANSFERS,
    ),
    page("transfers/<str:transfer_id>/payment.pdf", transfers.export_pdf, name="payment_pdf", get=Right.SEE_TRANSFERS),
    page("transfers/<str:transfer_id>/tell/", transfers.tell_again, name="tell_again", post=Right.RESEND_CALLBACKS),
    page("conversions/", conversions.index, name="conversions", get=Right.SEE_TRANSFERS),
    page("conversions/terms/", conversions.terms, name="terms_of_conversions", get=Right.SEE_TRANSFERS),
    page("conversions/<str:conversion_id>/", conversions.show, name="conversion", get=Right.SEE_TRANSFERS),
    page("callbacks/", callbacks.index, name="callbacks", get=Right.SEE_CALLBACKS),
    page("callbacks/<int:message_id>/resend/", callbacks.resend, name="resend", post=Right.RESEND_CALLBACKS),
    page("callbacks/of/<str:name>/resend/", callbacks.resend_all, name="resend_all", post=Right.RESEND_CALLBACKS),
    page("directory/", directory.index, name="directory", get=Right.SEE_DIRECTORY),
    page("directory/shared/", directory.shared, name="shared_aliases", get=Right.ASK_DIRECTORY),
    form_page(
        "directory/aliases/<int:registration_id>/move/", directory.port, name="port_alias", right=Right.ASK_DIRECTORY
    ),
    form_page("directory/oracles/new/", directory.add_oracle, name="add_oracle", right=Right.ASK_DIRECTORY),
    page("directory/oracles/<int:oracle_id>/health/", directory.health, name="oracle_health", get=Right.SEE_DIRECTORY),
    form_page(
        "directory/oracles/<int:oracle_id>/", directory.change_oracle, name="change_oracle", right=Right.ASK_DIRECTORY
    ),
    form_page(
        "directory/oracles/<int:oracle_id>/remove/",
        directory.remove_oracle,
        name="remove_oracle",
        right=Right.ASK_DIRECTORY,
    ),
    page("participants/", participants.index, name="participants", get=Right.SEE_PARTICIPANTS),
    form_page("participants/new/", onboarding.begin, name="begin_onboarding", right=Right.ASK_PARTICIPANTS),
    form_page("participants/new/<slug:step>/", onboarding.step, name="onboard", right=Right.ASK_PARTICIPANTS),
    page("participants/<str:name>/", participants.show, name="participant", get=Right.SEE_PARTICIPANT),
    page(
        "participants/<str:name>/accounts/<int:account_id>/",
        account_statements.show,
        name="account_statement",
        get=Right.SEE_STATEMENTS,
    ),
    page(
        "participants/<str:name>/accounts/<int:account_id>/entries.csv",
        account_statements.export,
        name="account_statement_csv",
        get=Right.SEE_STATEMENTS,
    ),
    form_page(
        "participants/<str:name>/<str:currency>/cap/",
        participants.change_cap,
        name="change_cap",
        right=Right.ASK_LIMITS,
    ),
    form_page(
        "participants/<str:name>/<str:currency>/funds-in/",
        participants.move_funds_in,
        name="funds_in",
        right=Right.ASK_FUNDS,
    ),
    form_page(
        "participants/<str:name>/<str:currency>/funds-out/",
        participants.move_funds_out,
        name="funds_out",
        right=Right.ASK_WITHDRAWALS,
    ),
    form_page(
        "participants/<str:name>/funds-out/<str:transfer_id>/end/",
        participants.end_funds_out,
        name="end_funds_out",
        right=Right.ASK_FUNDS,
    ),
    form_page(
        "participants/<str:name>/endpoint/",
        participants.change_endpoint,
        name="change_endpoint",
        right=Right.ASK_TECHNICAL,
    ),
    form_page(
        "participants/<str:name>/certificates/new/",
        credentials.sign,
        name="sign_certificate",
        right=Right.ASK_TECHNICAL,
    ),
    page(
        "participants/<str:name>/certificates/<int:credential_id>.pem",
        credentials.download,
        name="certificate",
        get=Right.SEE_PARTICIPANT,
    ),
    page("participants/<str:name>/go-live/", go_live.show, name="go_live", get=Right.SEE_PARTICIPANTS),
    page("participants/<str:name>/go-live/lookup/", go_live.look_up, name="trial_lookup", post=Right.TEST_CONNECTIONS),
    form_page(
        "participants/<str:name>/go-live/request/", go_live.ask, name="ask_go_live", right=Right.ASK_PARTICIPANTS
    ),
    page("participants/<str:name>/off-boarding/", offboarding.show, name="leaving", get=Right.SEE_PARTICIPANTS),
    form_page(
        "participants/<str:name>/off-boarding/<slug:change>/",
        offboarding.ask,
        name="ask_leaving",
        right=Right.ASK_PARTICIPANTS,
    ),
    form_page(
        "participants/<str:name>/networks/",
        networks_and_contacts.networks,
        name="change_networks",
        right=Right.ASK_TECHNICAL,
    ),
    form_page(
        "participants/<str:name>/contacts/new/",
        networks_and_contacts.add_contact,
        name="add_contact",
        right=Right.ASK_TECHNICAL,
    ),
    form_page(
        "participants/<str:name>/contacts/<int:contact_id>/remove/",
        networks_and_contacts.remove_contact,
        name="remove_contact",
        right=Right.ASK_TECHNICAL,
    ),
    form_page(
        "participants/<str:name>/currencies/new/",
        onboarding.add_currency,
        name="add_currency",
        right=Right.ASK_PARTICIPANTS,
    ),
    form_page(
        "participants/<str:name>/credentials/new/", credentials.add, name="add_credential", right=Right.ASK_TECHNICAL
    ),
    form_page(
        "participants/<str:name>/credentials/<int:credential_id>/revoke/",
        credentials.revoke,
        name="revoke_credential",
        right=Right.ASK_TECHNICAL,
    ),
    form_page(
        "participants/<str:name>/activity/",
        participants.change_activity,
        name="change_activity",
        right=Right.ASK_PARTICIPANTS,
    ),
    form_page(
        "participants/<str:name>/directions/",
        participants.change_directions,
        name="change_directions",
        right=Right.ASK_PARTICIPANTS,
    ),
    page(
        "participants/<str:name>/connection/",
        participants.test_connection,
        name="test_connection",
        post=Right.TEST_CONNECTIONS,
    ),
    page("settlement/", settlement.index, name="settlement", get=Right.SEE_SETTLEMENT),
    page("settlement/all/", settlement.index_of_settlements, name="settlements", get=Right.SEE_SETTLEMENT),
    page("settlement/windows/<int:window_id>/", settlement.window, name="window", get=Right.SEE_SETTLEMENT),
    page("settlement/windows/<int:window_id>/close/", settlement.close, name="close_window", post=Right.CLOSE_WINDOWS),
    page(
        "settlement/windows/<int:window_id>/settle/",
        settlement.create,
        name="create_settlement",
        post=Right.ASK_SETTLEMENT,
    ),
    page("settlement/<int:settlement_id>/", settlement.show, name="settlement_of", get=Right.SEE_SETTLEMENT),
    form_page(
        "settlement/<int:settlement_id>/advance/",
        settlement.advance,
        name="advance_settlement",
        right=Right.ASK_SETTLEMENT,
    ),
    form_page(
        "settlement/<int:settlement_id>/abort/", settlement.abort, name="abort_settlement", right=Right.ASK_SETTLEMENT
    ),
    form_page(
        "settlement/<int:settlement_id>/pay/", settlement.pay, name="settle_with_payments", right=Right.ASK_SETTLEMENT
    ),
    form_page(
        "settlement/holds/<int:hold_id>/release/",
        settlement.release_hold,
        name="release_hold",
        right=Right.ASK_SETTLEMENT,
    ),
    page(
        "settlement/<int:settlement_id>/obligations.csv",
        bank_statements.obligations,
        name="obligations_csv",
        get=Right.SEE_SETTLEMENT,
    ),
    page(
        "settlement/<int:settlement_id>/statements/",
        bank_statements.take_in,
        name="take_in_statement",
        post=Right.ASK_SETTLEMENT,
        most_of_a_file=MOST_OCTETS,
    ),
    page("settlement/statements/<int:statement_id>/", bank_statements.show, name="statement", get=Right.SEE_SETTLEMENT),
    page(
        "settlement/statements/<int:statement_id>/file/",
        bank_statements.original,
        name="statement_file",
        get=Right.SEE_SETTLEMENT,
    ),
    page("own-settlement/", own_settlement.index, name="own_settlement", get=Right.SEE_OWN_SETTLEMENT),
    page(
        "own-settlement/windows.csv", own_settlement.windows_csv, name="own_windows_csv", get=Right.SEE_OWN_SETTLEMENT
    ),
    page(
        "own-settlement/settlements.csv",
        own_settlement.settlements_csv,
        name="own_settlements_csv",
        get=Right.SEE_OWN_SETTLEMENT,
    ),
    page("rules/", rules.index, name="rules", get=Right.SEE_RULES),
    page("rules/rules.schema.json", rules.json_schema, name="rules_schema", get=Right.SEE_RULES),
    form_page(
        "rules/import/",
        rules.create,
        name="import_rules",
        right=Right.ASK_RULES,
        most_of_a_file=rules.MOST_BYTES,
    ),
    page("rules/roll-back/", rules.roll_back, name="roll_back_rules", post=Right.ASK_RULES),
    form_page("rules/off/", rules.switch_off, name="switch_rules_off", right=Right.ASK_RULES),
    form_page(
        "rules/activations/<int:activation_id>/cancel/", rules.cancel, name="cancel_rules", right=Right.ASK_RULES
    ),
    form_page("rules/exceptions/new/", rules.add_exception, name="add_exception", right=Right.ASK_RULES),
    form_page(
        "rules/exceptions/<int:variance_id>/end/", rules.end_exception, name="end_exception", right=Right.ASK_RULES
    ),
    page("rules/<int:number>/", rules.show, name="rules_version", get=Right.SEE_RULES),
    page("rules/<int:number>/rules.json", rules.export, name="export_rules", get=Right.SEE_RULES),
    form_page("rules/<int:number>/activate/", rules.activate, name="activate_rules", right=Right.ASK_RULES),
    page(
        "rules/<int:number>/replays/",
        rule_replays.of_version,
        name="rule_replays",
        get=Right.SEE_RULES,
        post=Right.ASK_RULES,
    ),
    page("rules/replays/<int:replay_id>/", rule_replays.show, name="rule_replay", get=Right.SEE_RULES),
    page("rules/replays/<int:replay_id>/stop/", rule_replays.stop, name="stop_rule_replay", post=Right.ASK_RULES),
    page("rules/replays/<int:replay_id>/live/", rule_replays.live, name="rule_replay_live", get=Right.SEE_RULES),
    page("certifications/", certifications.index, name="certifications", get=Right.SEE_PARTICIPANTS),
    page(
        "participants/<str:name>/certify/",
        certifications.of_participant,
        name="certify",
        get=Right.SEE_PARTICIPANTS,
        post=Right.CERTIFY,
    ),
    page("certifications/<int:number>/", certifications.show, name="certification", get=Right.SEE_PARTICIPANTS),
    page(
        "certifications/<int:number>/live/", certifications.live, name="certification_live", get=Right.SEE_PARTICIPANTS
    ),
    page(
        "certifications/<int:number>/<slug:case>/outcome/",
        certifications.report_outcome,
        name="report_outcome",
        post=Right.CERTIFY,
    ),
    page(
        "certifications/<int:number>/report.json",
        certifications.download_json,
        name="certification_json",
        get=Right.SEE_PARTICIPANTS,
    ),
    page(
        "certifications/<int:number>/report.pdf",
        certifications.download_pdf,
        name="certification_pdf",
        get=Right.SEE_PARTICIPANTS,
    ),
    page("rules/<int:number>/add/", rules.templates, name="rule_templates", get=Right.ASK_RULES),
    form_page("rules/<int:number>/add/<slug:template>/", rules.add_rule, name="add_rule", right=Right.ASK_RULES),
    page("rules/<int:number>/modes/", rules.change_all_modes, name="change_all_modes", post=Right.ASK_RULES),
    page("rules/<int:number>/<slug:rule>/mode/", rules.change_mode, name="change_rule_mode", post=Right.ASK_RULES),
    page("rules/<int:number>/<slug:rule>/remove/", rules.remove_rule, name="remove_rule", post=Right.ASK_RULES),
    page("held/", held_transfers.index, name="held_transfers", get=Right.SEE_FRAUD_CONTROL),
    form_page(
        "held/<str:transfer_id>/release/", held_transfers.release, name="release_held", right=Right.ASK_FRAUD_CONTROL
    ),
    form_page(
        "held/<str:transfer_id>/refuse/", held_transfers.refuse, name="refuse_held", right=Right.ASK_FRAUD_CONTROL
    ),
    page("alerts/", alerts.index, name="alerts", get=Right.SEE_FRAUD_CONTROL),
    page("alerts/<int:alert_id>/", alerts.show, name="alert", get=Right.SEE_FRAUD_CONTROL),
    page("alerts/<int:alert_id>/assign/", alerts.assign, name="assign_alert", post=Right.WORK_ON_ALERTS),
    page("alerts/<int:alert_id>/notes/", alerts.add_note, name="note_alert", post=Right.WORK_ON_ALERTS),
    page("alerts/<int:alert_id>/close/", alerts.close, name="close_alert", post=Right.WORK_ON_ALERTS),
    form_page("alerts/<int:alert_id>/block/", alerts.block, name="block_from_alert", right=Right.ASK_FRAUD_CONTROL),
    form_page("alerts/<int:alert_id>/mark/", alerts.mark, name="mark_from_alert", right=Right.ASK_FRAUD_CONTROL),
    form_page("alerts/<int:alert_id>/stop/", alerts.stop, name="stop_from_alert", right=Right.ASK_FRAUD_CONTROL),
    form_page(
        "alerts/<int:alert_id>/held/<str:transfer_id>/release/",
        alerts.release,
        name="release_from_alert",
        right=Right.ASK_FRAUD_CONTROL,
    ),
    form_page(
        "alerts/<int:alert_id>/held/<str:transfer_id>/refuse/",
        alerts.refuse,
        name="refuse_from_alert",
        right=Right.ASK_FRAUD_CONTROL,
    ),
    page("lists/", lists_and_markers.index, name="lists", get=Right.SEE_FRAUD_CONTROL),
    form_page("lists/new/", lists_and_markers.create, name="create_list", right=Right.ASK_FRAUD_CONTROL),
    page("lists/of/<slug:name>/", lists_and_markers.show, name="list", get=Right.SEE_FRAUD_CONTROL),
    form_page(
        "lists/of/<slug:name>/import/",
        lists_and_markers.import_file,
        name="import_list",
        right=Right.ASK_FRAUD_CONTROL,
        most_of_a_file=lists_and_markers.MOST_BYTES,
    ),
    form_page(
        "lists/of/<slug:name>/add/", lists_and_markers.add_party, name="add_to_list", right=Right.ASK_FRAUD_CONTROL
    ),
    form_page(
        "lists/of/<slug:name>/<int:entry_id>/remove/",
        lists_and_markers.remove_party,
        name="remove_from_list",
        right=Right.ASK_FRAUD_CONTROL,
    ),
    page("lists/matches/", lists_and_markers.matches, name="name_matches", get=Right.SEE_FRAUD_CONTROL),
    form_page(
        "lists/matches/<int:match_id>/clear/",
        lists_and_markers.clear_match,
        name="clear_match",
        right=Right.ASK_FRAUD_CONTROL,
    ),
    page("markers/", lists_and_markers.markers, name="markers", get=Right.SEE_FRAUD_CONTROL),
    form_page("markers/new/", lists_and_markers.file_marker, name="file_marker", right=Right.ASK_FRAUD_CONTROL),
    form_page(
        "markers/<int:marker_id>/lift/",
        lists_and_markers.lift_marker,
        name="lift_marker",
        right=Right.ASK_FRAUD_CONTROL,
    ),
    form_page(
        "markers/appeals/<int:appeal_id>/reject/",
        lists_and_markers.reject_appeal,
        name="reject_appeal",
        right=Right.ASK_FRAUD_CONTROL,
    ),
    page("kill-switches/", lists_and_markers.kill_switches, name="kill_switches", get=Right.SEE_FRAUD_CONTROL),
    form_page("kill-switches/new/", lists_and_markers.switch_on, name="switch_on", right=Right.ASK_FRAUD_CONTROL),
    form_page(
        "kill-switches/<int:switch_id>/off/",
        lists_and_markers.switch_off,
        name="switch_off",
        right=Right.ASK_FRAUD_CONTROL,
    ),
    page("approvals/", approvals.index, name="approvals", get=Right.SEE_APPROVALS),
    page("approvals/several/", approvals.approve_several, name="approve_several", post=Right.CHECK),
    page("approvals/<int:approval_id>/", approvals.show, name="approval", get=Right.SEE_APPROVALS),
    page("approvals/<int:approval_id>/approve/", approvals.approve, name="approve", post=Right.CHECK),
    page("approvals/<int:approval_id>/refuse/", approvals.refuse, name="refuse", post=Right.CHECK),
    page("approvals/<int:approval_id>/withdraw/", approvals.withdraw, name="withdraw", post=Right.ASK),
    page("users/", users.index, name="users", get=Right.SEE_USERS),
    form_page("users/new/", users.create, name="create_user", right=Right.ASK_ROLES),
    page("users/<str:username>/", users.show, name="user", get=Right.SEE_USERS),
    page("users/<str:username>/invitation/", users.hand_over, name="hand_over", post=Right.INVITE_USERS),
    page("users/<str:username>/confirm/", users.confirm, name="confirm_user", post=Right.CONFIRM_USERS),
    page("users/<str:username>/reject/", users.reject, name="reject_user", post=Right.CONFIRM_USERS),
    form_page("users/<str:username>/email/", users.change_email, name="change_email", right=Right.ASK_ROLES),
    form_page("users/<str:username>/roles/", users.change_roles, name="change_roles", right=Right.ASK_ROLES),
    form_page(
        "users/<str:username>/activity/", users.change_activity, name="change_user_activity", right=Right.ASK_ROLES
    ),
    form_page("users/<str:username>/tables/", users.change_reading, name="change_reading", right=Right.ASK_ROLES),
    form_page(
        "users/<str:username>/second-factor/",
        users.reset_second_factor,
        name="reset_second_factor",
        right=Right.ASK_ROLES,
    ),
    page("notifications/", unsent_notifications.index, name="notifications", get=Right.SEE_NOTIFICATIONS),
    page(
        "notifications/<int:notification_id>/resend/",
        unsent_notifications.resend,
        name="resend_notification",
        post=Right.RESEND_NOTIFICATIONS,
    ),
    page(
        "notifications/<int:notification_id>/put-aside/",
        unsent_notifications.put_aside,
        name="put_aside_notification",
        post=Right.RESEND_NOTIFICATIONS,
    ),
    page("clients/", clients.index, name="clients", get=Right.SEE_USERS),
    form_page("clients/new/", clients.create, name="create_client", right=Right.ASK_ROLES),
    page("clients/<int:client_id>/secret/", clients.give_secret, name="client_secret", post=Right.ASK_ROLES),
    form_page("clients/<int:client_id>/revoke/", clients.revoke, name="revoke_client", right=Right.ASK_ROLES),
    page("audit/", audit.index, name="audit", get=Right.SEE_AUDIT),
    page("audit/entries.csv", audit.export, name="audit_csv", get=Right.SEE_AUDIT),
]
