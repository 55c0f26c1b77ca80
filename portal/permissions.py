"""Roles and rights of the portal, and the table that assigns rights to roles.

A role is a Django group with the name of the role. A user can have several roles. A superuser has no additional rights.
If a kind of change needs two people, even a request of an administrator needs a second person.
"""

from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    VIEWER = "viewer", _("Viewer")
    OPERATOR = "operator", _("Operator")
    SETTLEMENT = "settlement", _("Settlement officer")
    RISK = "risk", _("Risk officer")
    ADMINISTRATOR = "administrator", _("Administrator")
    AUDITOR = "auditor", _("Auditor")
    PARTICIPANT_VIEWER = "participant-viewer", _("Participant viewer")
    PARTICIPANT_TREASURER = "participant-treasurer", _("Participant treasurer")
    PARTICIPANT_TECHNICIAN = "participant-technician", _("Participant technician")


# Roles for users of one DFSP. The pages of these users show no data of another DFSP.
PARTICIPANT_ROLES = frozenset({Role.PARTICIPANT_VIEWER, Role.PARTICIPANT_TREASURER, Role.PARTICIPANT_TECHNICIAN})
HUB_ROLES = frozenset(Role) - PARTICIPANT_ROLES
_EVERYONE = frozenset(Role)


class Right(StrEnum):
    SEE_OWN_ACCOUNT = "see own account"
    SEE_OVERVIEW = "see overview"
    SEE_TRANSFERS = "see transfers"
    SEE_PARTICIPANT = "see a participant"
    SEE_PARTICIPANTS = "see all participants"
    SEE_STATEMENTS = "see statements of accounts"
    SEE_CALLBACKS = "see callbacks"
    RESEND_CALLBACKS = "resend callbacks"
    TRY_AGAIN = "try skipped rows again"
    SEE_DIRECTORY = "see directory"
    SEE_SETTLEMENT = "see settlement"
    CLOSE_WINDOWS = "close windows"
    SEE_OWN_SETTLEMENT = "see own settlement"
    SEE_RULES = "see rules and what they decided about payments"
    SEE_FRAUD_CONTROL = "see held transfers, alerts, lists, markers and kill switches"
    WORK_ON_ALERTS = "assign and close alerts, and write notes on alerts"
    SEE_ALARMS = "see alarms"
    WORK_ON_ALARMS = "acknowledge and assign alarms"
    SEE_HUB = "see the hub's accounts, settlement models, currency pairs, certificates and settings"
    SEE_APPROVALS = "see approvals"
    ASK = "request changes that need two people"
    CHECK = "approve or reject requests of others"
    SEE_AUDIT = "see audit trail"
    SEE_USERS = "see users"
    INVITE_USERS = "hand over invitations"
    CONFIRM_USERS = "confirm first sign-ins"
    SEE_NOTIFICATIONS = "see e-mails and webhooks that were not sent"
    RESEND_NOTIFICATIONS = "resend e-mails and webhooks"
    TEST_CONNECTIONS = "test connections"
    CERTIFY = "certify participants"
    # Rights to request and to approve changes that need two people. Nobody can approve their own request. The rights
    # ASK and CHECK give access to the pages of requests and approvals. The rights below are for single kinds of change.
    ASK_LIMITS = "ask for limits"
    CHECK_LIMITS = "check limits"
    ASK_FUNDS = "ask for funds"
    ASK_WITHDRAWALS = "ask for withdrawals"
    CHECK_FUNDS = "check funds"
    ASK_PARTICIPANTS = "ask for participant changes"
    CHECK_PARTICIPANTS = "check participant changes"
    ASK_TECHNICAL = "ask for endpoints, certificates and keys"
    ASK_SETTLEMENT = "ask for settlement"
    CHECK_SETTLEMENT = "check settlement"
    ASK_DIRECTORY = "ask for directory changes"
    CHECK_DIRECTORY = "check directory changes"
    ASK_RULES = "ask for rules and exceptions"
    CHECK_RULES = "check rules and exceptions"
    ASK_FRAUD_CONTROL = "ask for lists, markers, kill switches and decisions about held transfers"
    CHECK_FRAUD_CONTROL = "approve requests for lists, markers, kill switches and decisions about held transfers"
    ASK_ROLES = "ask for roles"
    CHECK_ROLES = "check roles"


RIGHTS: dict[Right, frozenset[Role]] = {
    Right.SEE_OWN_ACCOUNT: _EVERYONE,
    Right.SEE_OVERVIEW: HUB_ROLES,
    Right.SEE_TRANSFERS: _EVERYONE,
    Right.SEE_PARTICIPANT: _EVERYONE,
    Right.SEE_PARTICIPANTS: HUB_ROLES,
    Right.SEE_STATEMENTS: HUB_ROLES | {Role.PARTICIPANT_VIEWER, Role.PARTICIPANT_TREASURER},
    Right.SEE_CALLBACKS: _EVERYONE,
    Right.RESEND_CALLBACKS: frozenset({Role.OPERATOR}),
    Right.TRY_AGAIN: frozenset({Role.OPERATOR}),
    Right.SEE_DIRECTORY: HUB_ROLES,
    Right.SEE_SETTLEMENT: HUB_ROLES,
    Right.CLOSE_WINDOWS: frozenset({Role.SETTLEMENT}),
    Right.SEE_OWN_SETTLEMENT: PARTICIPANT_ROLES,
    Right.SEE_RULES: HUB_ROLES,
    Right.SEE_FRAUD_CONTROL: frozenset({Role.RISK, Role.OPERATOR, Role.ADMINISTRATOR, Role.AUDITOR}),
    Right.WORK_ON_ALERTS: frozenset({Role.RISK}),
    Right.SEE_ALARMS: HUB_ROLES,
    Right.WORK_ON_ALARMS: frozenset({Role.OPERATOR, Role.SETTLEMENT, Role.RISK, Role.ADMINISTRATOR}),
    Right.SEE_HUB: HUB_ROLES,
    Right.SEE_APPROVALS: _EVERYONE,
    Right.ASK: frozenset(
        {
            Role.RISK,
            Role.SETTLEMENT,
            Role.OPERATOR,
            Role.ADMINISTRATOR,
            Role.PARTICIPANT_TREASURER,
            Role.PARTICIPANT_TECHNICIAN,
        }
    ),
    Right.CHECK: frozenset({Role.RISK, Role.SETTLEMENT, Role.OPERATOR, Role.ADMINISTRATOR}),
    Right.SEE_AUDIT: frozenset({Role.AUDITOR, Role.ADMINISTRATOR}),
    Right.SEE_USERS: frozenset({Role.AUDITOR, Role.ADMINISTRATOR}),
    Right.INVITE_USERS: frozenset({Role.ADMINISTRATOR}),
    Right.CONFIRM_USERS: frozenset({Role.ADMINISTRATOR}),
    Right.SEE_NOTIFICATIONS: frozenset({Role.OPERATOR, Role.ADMINISTRATOR, Role.AUDITOR}),
    Right.RESEND_NOTIFICATIONS: frozenset({Role.OPERATOR, Role.ADMINISTRATOR}),
    Right.TEST_CONNECTIONS: frozenset({Role.OPERATOR}),
    Right.CERTIFY: frozenset({Role.OPERATOR}),
    Right.ASK_LIMITS: frozenset({Role.RISK}),
    Right.CHECK_LIMITS: frozenset({Role.RISK}),
    Right.ASK_FUNDS: frozenset({Role.SETTLEMENT}),
    Right.ASK_WITHDRAWALS: frozenset({Role.SETTLEMENT, Role.PARTICIPANT_TREASURER}),
    Right.CHECK_FUNDS: frozenset({Role.SETTLEMENT, Role.RISK}),
    Right.ASK_PARTICIPANTS: frozenset({Role.OPERATOR}),
    Right.CHECK_PARTICIPANTS: frozenset({Role.OPERATOR, Role.RISK}),
    Right.ASK_TECHNICAL: frozenset({Role.OPERATOR, Role.PARTICIPANT_TECHNICIAN}),
    Right.ASK_SETTLEMENT: frozenset({Role.SETTLEMENT}),
    Right.CHECK_SETTLEMENT: frozenset({Role.SETTLEMENT, Role.RISK}),
    Right.ASK_DIRECTORY: frozenset({Role.OPERATOR}),
    Right.CHECK_DIRECTORY: frozenset({Role.OPERATOR, Role.RISK}),
    Right.ASK_RULES: frozenset({Role.RISK}),
    Right.CHECK_RULES: frozenset({Role.RISK}),
    Right.ASK_FRAUD_CONTROL: frozenset({Role.RISK}),
    Right.CHECK_FRAUD_CONTROL: frozenset({Role.RISK}),
    Right.ASK_ROLES: frozenset({Role.ADMINISTRATOR}),
    Right.CHECK_ROLES: frozenset({Role.ADMINISTRATOR}),
}


# Until the first sign-in of an account is confirmed, the account has only these rights: it can only read.
READING = frozenset(right for right in Right if right.name.startswith("SEE_"))


def rights_of(roles: frozenset[Role], *, is_confirmed: bool) -> frozenset[Right]:
    """Returns the rights of all these roles together. An unconfirmed account has only the rights to read."""
    found = frozenset(right for right, holders in RIGHTS.items() if roles & holders)
    return found if is_confirmed else found & READING
