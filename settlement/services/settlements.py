"""Creates settlements, moves the accounts of a settlement from state to state, and aborts settlements. Every call of
these functions is one database transaction.

Each function locks the settlement, then the settlement's windows in the order of ids, and then the accounts in the
order of ids. A function acquires all these locks before the locks that the ledger acquires itself. The function locks
the audit trail last, by a call of `hub.audit.trail.record`.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from django.db import transaction

from fspiop.errors import ErrorCode, FspiopError
from hub.audit import record
from ledger import settlement_holds, settlement_postings
from ledger.models import Account, Entry, SettlementWindow
from ledger.settlement_holds import Owed
from ledger.settlement_postings import Balance, Posting
from settlement import queries
from settlement.decide import Answer, Standing, Wish, decide
from settlement.models import (
    ContentTotal,
    Inclusion,
    Settlement,
    SettlementAccount,
    SettlementEvent,
    SettlementModel,
    WindowContent,
)
from settlement.netting import Total, obligations
from settlement.services.windows import total_up
from settlement.states import MAY_ABORT, STEPS, State, WindowState, settlement_state, window_state

_POSTING_STEPS = frozenset({State.PS_TRANSFERS_RESERVED, State.PS_TRANSFERS_COMMITTED})
_MOST = 2**63 - 1
NO_REFERENCES: Mapping[int, str] = MappingProxyType({})


def create(*, model_name: str, window_ids: Sequence[int], reason: str, actor: str) -> Settlement:
    """Creates a settlement of these windows under this settlement model.

    Raises FspiopError 3100 if a window has no content for the model.
    """
    if len(set(window_ids)) != len(window_ids) or not window_ids:
        raise _refused("settlementWindows: must name at least one window, and each window only once")
    # Usually, the hub has computed the totals immediately after the window closed. But a process can have died between
    # the two steps.
    for window in SettlementWindow.objects.filter(pk__in=window_ids, totalled_at=None).exclude(state="OPEN"):
        total_up(window.pk)
    return _create(model_name, sorted(window_ids), reason, actor)


@transaction.atomic(durable=True)
def _create(model_name: str, window_ids: Sequence[int], reason: str, actor: str) -> Settlement:
    model = SettlementModel.objects.filter(name=model_name).first()
    if model is None:
        raise _refused("Settlement model not found")
    if not model.is_active:
        raise _refused("Settlement model is not active")
    if model.delay == SettlementModel.Delay.IMMEDIATE:
        raise _refused("Settlement model settles each transfer at once; nothing is left for a settlement")
    windows = _lock_windows(window_ids)
    if missing := [number for number in window_ids if number not in {window.pk for window in windows}]:
        raise _refused(f"Settlement window {missing[0]} not found")
    contents = list(
        queries.contents_for(model)
        .filter(window__in=windows, state__in=[WindowState.CLOSED, WindowState.ABORTED])
        .order_by("id")
    )
    if idle := sorted(set(window_ids) - {content.window_id for content in contents}):
        raise _refused(f"Inapplicable settlement windows, nothing to settle by this model: {idle}")
    totals = ContentTotal.objects.filter(content__in=contents).values_list(
        "account_id", "content__currency", "debits", "credits"
    )
    owed = obligations(Total(row[0], row[1], int(row[2]), int(row[3])) for row in totals)
    if any(abs(obligation.net) > _MOST for obligation in owed):
        raise _refused("a net amount is too large for one entry; settle fewer windows together")
    settlement = Settlement.objects.create(model=model, reason=reason)
    Inclusion.objects.bulk_create(Inclusion(settlement=settlement, content=content) for content in contents)
    accounts = SettlementAccount.objects.bulk_create(
        SettlementAccount(
            settlement=settlement,
            account_id=obligation.account_id,
            net=obligation.net,
            transfer_id=str(uuid.uuid4()),
            reason=reason,
        )
        for obligation in owed
    )
    _move_contents(contents, WindowState.PENDING_SETTLEMENT, windows)
    _remember(settlement, accounts, actor)
    _remember_whole(settlement, actor)
    record(
        "settlement_created",
        subject=f"settlement {settlement.pk}",
        actor=actor,
        after={"model": model.name, "windows": list(window_ids), "reason": reason},
    )
    return settlement


@transaction.atomic
def move(settlement_id: int, wishes: Sequence[Wish], *, actor: str) -> list[Answer]:
    """Changes each account to the requested state, if this is the next state of the account.

    When all accounts of the settlement have reached a state, the settlement enters this state too.
    """
    settlement = _lock(settlement_id)
    ends = any(wish.state == State.SETTLED for wish in wishes)
    contents, windows = lock_contents(settlement) if ends else ([], [])
    accounts = {account.account_id: account for account in _accounts_of(settlement)}
    asked = [accounts[wish.account_id] for wish in wishes if wish.account_id in accounts]
    posts = any(wish.state in _POSTING_STEPS for wish in wishes)
    hub, balances = _lock_accounts(asked) if posts else ({}, {})
    is_checked = settlement.model.require_liquidity_check and settlement.model.auto_position_reset
    standings = {
        number: Standing(
            participant_id=account.account.participant_id,
            state=State(account.state),
            net=int(account.net),
            balance=balances.get(number) if is_checked else None,
        )
        for number, account in accounts.items()
    }
    answers = decide(wishes, State(settlement.state), standings)
    # Below this line, the function changes the state of every account whose change was accepted.
    if settlement.model.auto_position_reset:
        steps = [answer.wish for answer in answers if answer.is_step]
        settlement_postings.post(
            [posting for wish in steps for posting in _postings(wish.state, accounts[wish.account_id], hub)]
        )
        # The reset of a position must not use cover that the participant still owes to the bank.
        reset = [accounts[wish.account_id] for wish in steps if wish.state == State.PS_TRANSFERS_COMMITTED]
        owed = [Owed(sender.account_id, int(sender.net)) for sender in reset if _gives_up(sender)]
        settlement_holds.place(settlement.pk, settlement.created_at, owed)
    taken = [answer.wish for answer in answers if answer.refusal is None]
    changed = []
    for wish in taken:
        account = accounts[wish.account_id]
        account.state, account.reason = wish.state.value, wish.reason or account.reason
        account.external_reference = wish.external_reference or account.external_reference
        changed.append(account)
    SettlementAccount.objects.bulk_update(changed, ["state", "reason", "external_reference"])
    _remember(settlement, changed, actor)
    reason = next((wish.reason for wish in reversed(taken) if wish.reason), settlement.reason)
    if _follow(settlement, accounts.values(), actor, reason) == State.SETTLED:
        _move_contents(contents, WindowState.SETTLED, windows)
    if taken:
        after = [{"account": wish.account_id, "state": wish.state.value, "reason": wish.reason} for wish in taken]
        record("settlement_moved", subject=f"settlement {settlement.pk}", actor=actor, after=after)
    return answers


@transaction.atomic
def advance(
    settlement_id: int, *, to: State, reason: str, actor: str, references: Mapping[int, str] = NO_REFERENCES
) -> list[Answer]:
    """Moves all accounts of the settlement step by step, until the accounts reach this state. If a step is refused,
    does no further step, and returns the reasons for the refusal.

    `references` has the settlement bank's reference for each account of the settlement. The hub stores these references
    in the last step.
    """
    _lock_for_steps(_lock(settlement_id), to)
    for step in STEPS[: STEPS.index(to) + 1]:
        rows = SettlementAccount.objects.filter(settlement_id=settlement_id).order_by("account_id")
        wishes = [
            Wish(participant, account, step, reason, references.get(number, "") if step == State.SETTLED else "")
            for number, participant, account, state in rows.values_list(
                "pk", "account__participant_id", "account_id", "state"
            )
            if STEPS.index(step) > _step_of(state)
        ]
        answers = move(settlement_id, wishes, actor=actor) if wishes else []
        if refused := [answer for answer in answers if answer.refusal]:
            return refused
    return []


def _lock_for_steps(settlement: Settlement, to: State) -> None:
    """Acquires the locks of all steps to this state. The first step locks the audit trail until the end of the database
    transaction. Without these early locks, another database transaction could hold a lock of a later step and wait for
    the audit trail."""
    if to == State.SETTLED:
        lock_contents(settlement)
    posting = max((STEPS.index(step) for step in _POSTING_STEPS if STEPS.index(step) <= STEPS.index(to)), default=-1)
    if behind := [account for account in _accounts_of(settlement) if _step_of(account.state) < posting]:
        _lock_accounts(behind)


def plan(settlement: Settlement) -> dict[State, list[Posting]]:
    """Returns the postings of each step of a settlement. The result also contains the postings of steps that are
    already done.

    The caller must have loaded the settlement's accounts. The function does not change any row.
    """
    if not settlement.model.auto_position_reset:
        return {step: [] for step in STEPS}
    accounts = list(settlement.accounts.all())
    hub = _hub_accounts({account.account.currency for account in accounts})
    return {step: [posting for account in accounts for posting in _postings(step, account, hub)] for step in STEPS}


def _hub_accounts(currencies: Collection[str]) -> dict[str, int]:
    return {
        account.currency: account.pk
        for account in Account.objects.filter(
            participant__is_hub=True,
            type=Account.Type.HUB_MULTILATERAL_SETTLEMENT,
            currency__in=currencies,
        )
    }


def _step_of(state: str) -> int:
    return STEPS.index(State(state)) if state in STEPS else -1


@transaction.atomic
def abort(settlement_id: int, *, reason: str, actor: str) -> Settlement:
    """Aborts a settlement with all its accounts, and reverses the settlement's postings. After the abort, another
    settlement can include the same windows."""
    settlement = _lock(settlement_id)
    contents, windows = lock_contents(settlement)
    if settlement.state == State.ABORTED:
        settlement.reason = reason
        settlement.save(update_fields=["reason"])
        _remember_whole(settlement, actor)
        return settlement
    accounts = list(_accounts_of(settlement))
    # While the settlement is RESERVED, some of its accounts can already be in the next state.
    if not {State(settlement.state), *(State(account.state) for account in accounts)} <= MAY_ABORT:
        raise _refused("State change not allowed")
    reserved = [account for account in accounts if account.state == State.PS_TRANSFERS_RESERVED]
    if settlement.model.auto_position_reset and reserved:
        hub, _ = _lock_accounts(reserved)
        settlement_postings.post(
            [_from_hub(Entry.Kind.NET_ABORT, account, hub) for account in reserved if account.net < 0],
        )
    for account in accounts:
        account.state, account.reason = State.ABORTED.value, reason
    SettlementAccount.objects.bulk_update(accounts, ["state", "reason"])
    _remember(settlement, accounts, actor)
    settlement.state, settlement.reason = State.ABORTED.value, reason
    settlement.changed_at = datetime.now(UTC)
    settlement.save(update_fields=["state", "reason", "changed_at"])
    _remember_whole(settlement, actor)
    _move_contents(contents, WindowState.ABORTED, windows)
    settlement.inclusions.update(is_released=True)
    record("settlement_aborted", subject=f"settlement {settlement.pk}", actor=actor, after={"reason": reason})
    return settlement


def _refused(why: str) -> FspiopError:
    return FspiopError(ErrorCode.VALIDATION_ERROR, why)


def _lock(settlement_id: int) -> Settlement:
    found = (
        Settlement.objects.select_for_update(no_key=True, of=("self",))
        .select_related("model")
        .filter(pk=settlement_id)
        .first()
    )
    if found is None:
        raise _refused("Settlement not found")
    return found


def _lock_windows(window_ids: Collection[int]) -> list[SettlementWindow]:
    return list(SettlementWindow.objects.select_for_update(no_key=True).filter(pk__in=window_ids).order_by("id"))


def lock_contents(settlement: Settlement) -> tuple[list[WindowContent], list[SettlementWindow]]:
    """Locks the windows of a settlement. The caller has already locked the settlement. Returns the settlement's
    contents, and the windows."""
    contents = list(settlement.contents.all())
    return contents, _lock_windows({content.window_id for content in contents})


def _accounts_of(settlement: Settlement) -> Iterable[SettlementAccount]:
    return settlement.accounts.select_related("account").order_by("account_id")


def _lock_accounts(accounts: Sequence[SettlementAccount]) -> tuple[dict[str, int], dict[int, Balance]]:
    """Locks these accounts together with the hub's own accounts.

    Returns the hub's account in each currency, and the balances of all locked accounts.
    """
    by_id = {account.account_id: account.account.currency for account in accounts}
    hub = _hub_accounts(set(by_id.values()))
    return hub, settlement_postings.lock([*by_id, *hub.values(), *_covers_of(accounts)])


def _gives_up(account: SettlementAccount) -> bool:
    """Returns whether this account is a net sender's position."""
    return account.net > 0 and account.account.type == Account.Type.POSITION


def _covers_of(accounts: Iterable[SettlementAccount]) -> list[int]:
    """Returns the SETTLEMENT accounts of the net senders among these accounts."""
    senders = [account.account.participant_id for account in accounts if _gives_up(account)]
    currencies = {account.account.currency for account in accounts}
    covers = Account.objects.filter(participant__in=senders, currency__in=currencies, type=Account.Type.SETTLEMENT)
    return list(covers.values_list("pk", flat=True))


def _postings(step: State, account: SettlementAccount, hub: Mapping[str, int]) -> list[Posting]:
    """Returns the postings of one step of a settlement.

    The positions of net receivers are reset before the positions of net senders. So the hub's settlement account never
    becomes negative.
    """
    if step == State.PS_TRANSFERS_RESERVED and account.net < 0:
        return [_to_hub(Entry.Kind.NET_RECIPIENT, account, hub)]
    if step == State.PS_TRANSFERS_COMMITTED and account.net > 0:
        return [_from_hub(Entry.Kind.NET_SENDER, account, hub)]
    return []


def _to_hub(kind: str, account: SettlementAccount, hub: Mapping[str, int]) -> Posting:
    currency = account.account.currency
    return Posting(kind, account.transfer_id, account.account_id, hub[currency], currency, abs(int(account.net)))


def _from_hub(kind: str, account: SettlementAccount, hub: Mapping[str, int]) -> Posting:
    currency = account.account.currency
    return Posting(kind, account.transfer_id, hub[currency], account.account_id, currency, abs(int(account.net)))


def _follow(settlement: Settlement, accounts: Iterable[SettlementAccount], actor: str, reason: str) -> State | None:
    """Changes the state of the settlement if the new states of the accounts require this. The settlement's history
    shows the reason of this step.

    Returns the new state, or None if the state does not change.
    """
    state = settlement_state(State(settlement.state), [State(account.state) for account in accounts])
    if state == settlement.state:
        return None
    settlement.state, settlement.changed_at = state.value, datetime.now(UTC)
    settlement.save(update_fields=["state", "changed_at"])
    _remember_whole(settlement, actor, reason=reason)
    return state


def _move_contents(
    contents: Collection[WindowContent], state: WindowState, windows: Iterable[SettlementWindow]
) -> None:
    """First sets the states of all contents of the locked windows. Then sets the states of these windows.

    A window's state follows from the states of its contents.
    """
    now = datetime.now(UTC)
    WindowContent.objects.filter(pk__in=[content.pk for content in contents]).update(state=state, changed_at=now)
    for window in windows:
        window.state = window_state(window.contents.filter(is_gross=False).values_list("state", flat=True))
        window.changed_at = now
        window.save(update_fields=["state", "changed_at"])


def _remember(settlement: Settlement, accounts: Iterable[SettlementAccount], actor: str) -> None:
    SettlementEvent.objects.bulk_create(
        SettlementEvent(
            settlement=settlement,
            account=account,
            state=account.state,
            reason=account.reason,
            external_reference=account.external_reference,
            actor=actor,
        )
        for account in accounts
    )


def _remember_whole(settlement: Settlement, actor: str, *, reason: str = "") -> None:
    SettlementEvent.objects.create(
        settlement=settlement, state=settlement.state, reason=reason or settlement.reason, actor=actor
    )
