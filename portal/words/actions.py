"""The translatable phrases for the actions in the audit trail, such as `ndc_set`.

The database, the files and the APIs contain the actions' names. The pages show the phrases. When the mouse is on a
phrase, the page shows the action's name.
"""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

PHRASES: dict[str, Promise] = {
    # requests
    "approval_asked": _("Request submitted"),
    "approval_consented": _("Request approved by one of two"),
    "approval_approved": _("Request approved"),
    "approval_refused": _("Request rejected"),
    "approval_withdrawn": _("Request withdrawn"),
    # participants
    "participant_created": _("Participant created"),
    "participant_went_live": _("Participant went live"),
    "participant_enabled": _("Participant resumed"),
    "participant_disabled": _("Participant paused"),
    "participant_closed": _("Participant closed for good"),
    "participant_marked_as_certifier": _("Participant marked as certifier"),
    "directions_set": _("Sending and receiving changed"),
    "leaving_begun": _("Off-boarding begun"),
    "leaving_taken_back": _("Off-boarding cancelled"),
    "endpoint_set": _("Callback URL changed"),
    "networks_set": _("Source addresses changed"),
    "contact_added": _("Contact added"),
    "contact_removed": _("Contact removed"),
    "pair_offered": _("Currency pair offered"),
    "pair_withdrawn": _("Currency pair withdrawn"),
    "certification_requested": _("Certification started"),
    "certification_outcome_reported": _("Outcome of a certification case reported"),
    "trial_lookup": _("Trial lookup made"),
    # certificates, keys and clients
    "authority_created": _("Certificate authority created"),
    "credential_added": _("Certificate, key or client added"),
    "credential_revoked": _("Certificate, key or client revoked"),
    "jws_compat_set": _("Signatures of the reference's libraries changed"),
    "administration_client_added": _("Administration client added"),
    "administration_secret_given": _("Administration client's secret handed over"),
    "administration_client_revoked": _("Administration client revoked"),
    # accounts and funds
    "account_opened": _("Account opened"),
    "account_enabled": _("Account activated"),
    "account_disabled": _("Account deactivated"),
    "accounts_closed": _("Accounts closed for good"),
    "currency_added": _("Currency added"),
    "ndc_set": _("Net debit cap set"),
    "ndc_changed": _("Net debit cap changed"),
    "funds_in": _("Funds in recorded"),
    "funds_out_reserved": _("Funds out reserved"),
    "funds_out_committed": _("Funds out paid"),
    "funds_out_aborted": _("Funds out aborted"),
    "hold_released": _("Amount on hold released"),
    "ledger_account_type_created": _("Account type created"),
    # settlement
    "window_closed": _("Settlement window closed"),
    "settlement_created": _("Settlement created"),
    "settlement_moved": _("Settlement advanced"),
    "settlement_aborted": _("Settlement aborted"),
    "settlement_model_created": _("Settlement model created"),
    "settlement_model_changed": _("Settlement model changed"),
    "statement_taken_in": _("Bank's statement read"),
    # the directory
    "oracle_added": _("Oracle added"),
    "oracle_changed": _("Oracle changed"),
    "oracle_removed": _("Oracle removed"),
    "registration_ported": _("Alias moved to another DFSP"),
    "alias_looked_up": _("Searched for an alias"),
    "shared_aliases_listed": _("Shared aliases listed"),
    # rules and fraud control
    "rules_created": _("Version of the rules created"),
    "rules_activated": _("Rules activated"),
    "rules_cancelled": _("Activation of rules cancelled"),
    "variance_granted": _("Exception from a rule changed"),
    "held_transfer_released": _("Held transfer released"),
    "held_transfer_refused": _("Held transfer refused"),
    "alert_assigned": _("Alert assigned"),
    "alert_closed": _("Alert closed"),
    "list_made": _("List created"),
    "list_changed": _("List changed"),
    "name_match_cleared": _("Match of a name cleared"),
    "marker_filed": _("Marker filed"),
    "marker_lifted": _("Marker lifted"),
    "appeal_rejected": _("Appeal rejected"),
    "kill_switch_on": _("Kill switch switched on"),
    "kill_switch_off": _("Kill switch switched off"),
    # operation
    "alarm_acknowledged": _("Alarm acknowledged"),
    "alarm_assigned": _("Alarm assigned"),
    "callback_resent": _("Callback sent again"),
    "callbacks_resent": _("Callbacks sent again"),
    "state_told_again": _("State of a transfer sent again"),
    "skipped_rows_tried_again": _("Skipped rows tried again"),
    "notification_resent": _("Notification sent again"),
    "notification_put_aside": _("Notification put aside"),
    "texts_erased": _("Customers' data erased"),
    # downloads
    "history_exported": _("History downloaded"),
    "transfers_exported": _("Transfers downloaded"),
    "payment_exported": _("Payment downloaded"),
    "statement_exported": _("Account statement downloaded"),
    # users and sign-ins
    "user_created": _("User created"),
    "user_enabled": _("User activated"),
    "user_disabled": _("User deactivated"),
    "roles_changed": _("Roles changed"),
    "email_changed": _("E-mail address changed"),
    "admin_reading_allowed": _("Reading of database tables allowed"),
    "admin_reading_ended": _("Reading of database tables ended"),
    "invitation_link_shown": _("Link of an invitation shown"),
    "invitation_code_shown": _("Code of an invitation shown"),
    "invitation_code_wrong": _("Wrong code for an invitation"),
    "first_signed_in": _("Signed in for the first time"),
    "sign_in_confirmed": _("First sign-in confirmed"),
    "sign_in_rejected": _("First sign-in rejected"),
    "signed_in": _("Signed in"),
    "signed_out": _("Signed out"),
    "sign_in_failed": _("Sign-in failed"),
    "password_set": _("Password set"),
    "password_changed": _("Password changed"),
    "second_factor_reset": _("Second factor reset"),
    "totp_activated": _("Authenticator app set up"),
    "totp_deactivated": _("Authenticator app removed"),
    "recovery_codes_generated": _("Recovery codes generated"),
}


def phrase_of(action: str) -> str:
    """Returns the phrase for an action. If this module does not know the action, returns the action's name."""
    return str(PHRASES.get(action) or action)


def named(text: str) -> list[str]:
    """Returns the actions whose phrase in the visitor's language contains this text."""
    wanted = text.casefold()
    return [action for action, phrase in PHRASES.items() if wanted in str(phrase).casefold()]
