"""`decide` against a small independent model: random requests and answers, of right and wrong senders, at any time."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.agreement_outcomes import Forwarded, NoRoom, NotObeyed, Outcome, Refused, Repeated, Scene
from hub.participants.participant_checks import Party
from quotes.commands_and_facts import AskTerms, Facts, GiveTerms, Side, Standing, State, Stored
from quotes.decide import decide
from tests.agreements import ask_terms, give_terms
from tests.examples import examples

START = datetime(2026, 1, 1, tzinfo=UTC)
IDS = {"green": 1, "blue": 2, "red": 3, "gone": 4}  # gone is not active
PARTIES = {name: Party(IDS[name], name, name != "red", True, ["TZS"]) for name in ("green", "blue", "red")}


@dataclass
class Row:
    payer: str
    payee: str
    request: str
    state: str = "PENDING"
    response: str | None = None


@dataclass
class Model:
    """What the scheme's rules say about quotes: no groups, no SQL, no messages but their names."""

    rows: dict[str, Row] = field(default_factory=dict)
    crowded: bool = False

    def ask(self, quote_id: str, payer: str, payee: str, content: str, currency: str) -> str:
        if payee == "gone":
            return "callback 3201"
        if payer == "gone":
            return "callback 3000"
        if payer == payee:
            return "callback 3100"
        if payer == "red":  # which may not send
            return "callback 4300"
        if currency != "TZS":
            return "callback 3201"
        if self.crowded and (payer, payee) == ("green", "blue"):
            return "no room"
        row = self.rows.get(quote_id)
        if row is None:
            self.rows[quote_id] = Row(payer, payee, content)
            return f"POST to {payee}"
        if (row.payer, row.request) != (payer, content):
            return "callback 3106"
        if row.state == "PENDING":
            return f"again POST to {row.payee}"
        return f"again PUT to {row.payer}"

    def give(self, quote_id: str, sender: str, content: str, is_error: bool) -> str:
        row = self.rows.get(quote_id)
        if row is None or sender not in (row.payer, row.payee) or (not is_error and sender != row.payee):
            return "at once 3205"
        if row.response == content:
            return "known"
        if row.state == "EXPIRED":
            return "at once 3302"
        withdraws = is_error and sender == row.payer and row.state == "ACCEPTED"
        if row.state != "PENDING" and not withdraws:
            return "callback 3106"
        row.state, row.response = "REJECTED" if is_error else "ACCEPTED", content
        return f"PUT to {row.payee if sender == row.payer else row.payer}"

    def expire(self, quote_id: str) -> None:
        row = self.rows.get(quote_id)
        if row is not None and row.state == "PENDING":
            row.state = "EXPIRED"


class Store:
    """What the tables hold, changed only by what `decide` says."""

    def __init__(self) -> None:
        self.stored: dict[str, Stored] = {}
        self.digests: dict[str, tuple[bytes, bytes | None]] = {}

    def facts(self) -> Facts:
        standing = {
            key: Standing(each.state, each.payer, each.payee, *self.digests[key]) for key, each in self.stored.items()
        }
        return Facts(standing, dict(self.stored))

    def save(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Forwarded):
            return
        command, names = outcome.command, {number: name for name, number in IDS.items()}
        if isinstance(command, AskTerms):
            payee = Side(outcome.message.destination_id, names[outcome.message.destination_id])
            self.stored[command.key] = Stored(
                command.agreement_id,
                "quotes",
                None,  # type: ignore[arg-type]  (only for texts that were erased)
                "PENDING",
                Side(command.requester.id, command.requester.name),
                payee,
                None,
                command.message.body,
                command.message.headers,
                None,
                None,
            )
            self.digests[command.key] = (command.message.digest, None)
        else:
            self._change(command.key, command.state.value, command.message.body, command.message.headers)
            self.digests[command.key] = (self.digests[command.key][0], command.message.digest)

    def expire(self, key: str) -> None:
        if key in self.stored and self.stored[key].state == "PENDING":
            self._change(key, "EXPIRED", None, None)

    def _change(self, key: str, state: str, response: bytes | None, headers: dict[str, str] | None) -> None:
        old = self.stored[key]
        self.stored[key] = Stored(
            old.pk,
            old.resource,
            old.not_found,
            state,
            old.payer,
            old.payee,
            old.expires_at,
            old.request,
            old.request_headers,
            response,
            headers,
        )


def word_for(outcome: Outcome) -> str:
    names = {number: name for name, number in IDS.items()}
    match outcome:
        case Forwarded(_, message):
            return f"{message.method} to {names[message.destination_id]}"
        case Repeated(None):
            return "known"
        case Repeated(message):
            assert message is not None
            return f"again {message.method} to {names[message.destination_id]}"
        case Refused(message):
            code = message.body.decode().partition('"errorCode":"')[2][:4]
            assert message.path.endswith("/error")
            return f"callback {code}"
        case NotObeyed(error, _):
            return f"at once {error.code}"
        case NoRoom():
            return "no room"
    raise AssertionError(outcome)


quote_ids = st.sampled_from(["Q1", "Q2", "Q3"])
names = st.sampled_from(sorted(IDS))
contents = st.sampled_from(["a", "b"])
steps = st.one_of(
    st.tuples(st.just("ask"), quote_ids, names, names, contents, st.sampled_from(["TZS", "TZS", "KES"])),
    st.tuples(st.just("give"), quote_ids, names, contents, st.booleans()),
    st.tuples(st.just("expire"), quote_ids),
)


@settings(deadline=None, max_examples=examples(300))
@given(st.lists(st.lists(steps, max_size=4, unique_by=lambda step: step[1]), max_size=12), st.booleans())
def test_whatever_comes_in_whatever_groups_the_decisions_are_those_of_the_rules(
    groups: list[list[tuple]], crowded: bool
) -> None:
    model, store = Model(crowded=crowded), Store()
    scene = Scene(START, "Hub", PARTIES, {("green", "blue")} if crowded else set())
    for group in groups:
        commands: list[AskTerms | GiveTerms] = []
        expected: list[str] = []
        for step in group:
            match step:
                case ("ask", quote_id, payer, payee, content, currency):
                    expected.append(model.ask(quote_id, payer, payee, content, currency))
                    commands.append(ask_terms(IDS, payer, payee, quote_id=quote_id, content=content, currency=currency))
                case ("give", quote_id, sender, content, is_error):
                    expected.append(model.give(quote_id, sender, f"{content} {is_error}", is_error))
                    state = State.REJECTED if is_error else State.ACCEPTED
                    commands.append(give_terms(IDS, quote_id, sender, content=f"{content} {is_error}", state=state))
                case ("expire", quote_id):
                    model.expire(quote_id)
                    store.expire(f"quotes/{quote_id}")
        outcomes = decide(commands, scene, store.facts())
        assert [word_for(outcome) for outcome in outcomes] == expected
        for outcome in outcomes:
            store.save(outcome)
    assert {key: (row.state) for key, row in model.rows.items()} == {
        key.removeprefix("quotes/"): each.state for key, each in store.stored.items()
    }
