"""When an oracle is left alone, for whom, and what ends that."""

from directory.oracle_pauses import OraclePauses, Outcome

ANSWERED, FAILED, UNREACHED, UNKNOWN = Outcome.ANSWERED, Outcome.FAILED, Outcome.UNREACHED, Outcome.UNKNOWN
GREEN, BLUE, RED, GREY = 1, 2, 3, 4


class Watched:
    """Pauses whose time passes as the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses = OraclePauses(lambda: self.now)

    def asks(self, caller: int, alias: str, outcome: Outcome) -> bool:
        """Asks and sees this outcome; False where the question did not go out."""
        if not self.pauses.may_ask(caller):
            return False
        self.pauses.end(caller, alias, outcome)
        return True

    def may(self, caller: int) -> bool:
        return self.asks(caller, "?", UNKNOWN)

    def fails(self, caller: int, count: int, *, of: str = "") -> None:
        for number in range(count):
            self.asks(caller, f"{of}{number}", FAILED)


def test_five_aliases_close_it_for_their_caller_alone() -> None:
    oracle = Watched()
    oracle.fails(GREEN, 4)
    assert oracle.may(GREEN)
    oracle.fails(GREEN, 5)
    assert not oracle.may(GREEN)
    assert oracle.may(BLUE)
    oracle.now += 1
    assert oracle.may(GREEN)


def test_one_alias_closes_it_for_nobody_however_often_it_fails() -> None:
    oracle = Watched()
    for _ in range(50):
        for caller in (GREEN, BLUE, RED, GREY):
            assert oracle.asks(caller, "poisoned", FAILED)


def test_aliases_that_fail_for_three_callers_close_it_for_all() -> None:
    oracle = Watched()
    oracle.fails(GREEN, 4, of="g")
    oracle.fails(BLUE, 4, of="b")
    assert oracle.may(GREY)
    oracle.asks(RED, "r", FAILED)
    assert not any(oracle.may(caller) for caller in (GREEN, BLUE, RED, GREY))
    oracle.now += 1
    assert oracle.may(GREY)


def test_an_answer_to_anybody_says_that_it_works() -> None:
    oracle = Watched()
    for _ in range(20):
        oracle.fails(GREEN, 2, of="g")
        oracle.fails(BLUE, 2, of="b")
        oracle.fails(RED, 2, of="r")
        oracle.now += 60
        oracle.asks(GREY, "known", ANSWERED)
        assert all(oracle.may(caller) for caller in (GREEN, BLUE, RED, GREY))


def test_what_reaches_no_connection_closes_it_for_all_whoever_asked_for_whatever() -> None:
    oracle = Watched()
    for _ in range(5):
        oracle.asks(GREEN, "same", UNREACHED)
    assert not oracle.may(BLUE)


def test_a_failure_after_a_connection_is_none_to_connect() -> None:
    oracle = Watched()
    for _ in range(10):
        for _ in range(4):
            oracle.asks(GREEN, "same", UNREACHED)
        oracle.asks(GREEN, "same", FAILED)
    assert oracle.may(BLUE)


def test_each_pause_is_longer_than_the_one_before_and_half_a_minute_at_most() -> None:
    oracle = Watched()
    lengths = []
    for _ in range(8):
        while oracle.asks(GREEN, "same", UNREACHED):
            pass
        began = oracle.now
        while not oracle.may(GREEN):
            oracle.now += 0.5
        lengths.append(oracle.now - began)
    assert lengths == [1, 2, 4, 8, 16, 30, 30, 30]


def test_many_that_fail_at_the_same_moment_begin_one_pause() -> None:
    oracle = Watched()
    assert all(oracle.pauses.may_ask(GREEN) for _ in range(40))
    for _ in range(40):
        oracle.pauses.end(GREEN, "same", UNREACHED)
    oracle.now += 1
    assert oracle.may(GREEN)


def test_after_a_pause_each_caller_has_one_question_and_a_hopeless_one_harms_its_caller_alone() -> None:
    oracle = Watched()
    for caller in (GREEN, BLUE, RED):
        oracle.fails(caller, 2, of=str(caller))
    assert not oracle.may(GREEN)
    oracle.now += 1
    assert oracle.pauses.may_ask(GREEN)
    assert not oracle.pauses.may_ask(GREEN)  # its first is under way
    assert oracle.pauses.may_ask(BLUE)
    oracle.pauses.end(GREEN, "hopeless", FAILED)
    oracle.fails(GREEN, 30, of="hopeless")
    assert not oracle.may(GREEN)
    assert oracle.may(RED)
    oracle.pauses.end(BLUE, "known", ANSWERED)
    assert all(oracle.may(caller) for caller in (GREEN, BLUE, RED, GREY))


def test_what_taught_nothing_changes_nothing() -> None:
    oracle = Watched()
    for number in range(50):
        assert oracle.asks(GREEN, str(number), UNKNOWN)


def test_it_keeps_few_aliases_of_a_caller() -> None:
    oracle = Watched()
    for number in range(1000):
        oracle.asks(GREEN, str(number), FAILED)
        oracle.now += 60
    assert len(oracle.pauses._own[GREEN].aliases) <= 100
