"""core/breaker.py: when it opens, what closes it, and whose word counts."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from coo_middleware.core.breaker import Breaker

THRESHOLD = 3


def test_opens_after_so_many_faults_in_a_row() -> None:
    """The third fault in a row opens it, and says so once."""
    breaker = Breaker(THRESHOLD)

    assert [False, False, True, False] == [breaker.fail(0) for _ in range(4)]
    assert breaker.is_open


def test_good_answer_ends_the_row() -> None:
    """Faults with a good answer between them are not in a row."""
    breaker = Breaker(THRESHOLD)
    for _ in range(10):
        breaker.fail(0)
        breaker.fail(0)
        breaker.succeed(0)

    assert not breaker.is_open


def test_trip_and_reset_tell_transitions_only() -> None:
    """Who opens or closes it learns whether anything changed, so that a transition is reported once."""
    breaker = Breaker(THRESHOLD)

    assert [False, True, False] == [breaker.reset(), breaker.trip(), breaker.trip()]
    assert [True, False] == [breaker.reset(), breaker.reset()]


def test_reset_starts_a_new_row() -> None:
    """After an outage it takes as many faults as ever to open it again."""
    breaker = Breaker(THRESHOLD)
    breaker.fail(0)
    breaker.fail(0)
    breaker.trip()
    breaker.reset()

    assert [False, False, True] == [breaker.fail(breaker.epoch) for _ in range(3)]


def test_late_good_answer_closes_nothing() -> None:
    """A call that began before it opened and went well proves nothing about now."""
    breaker = Breaker(THRESHOLD)
    begun = breaker.epoch
    breaker.trip()
    breaker.succeed(begun)

    assert breaker.is_open


def test_late_faults_open_nothing() -> None:
    """Calls that began before an outage and fail after it do not bring it back."""
    breaker = Breaker(THRESHOLD)
    begun = breaker.epoch
    breaker.trip()
    breaker.reset()

    assert [False] * 10 == [breaker.fail(begun) for _ in range(10)]
    assert not breaker.is_open


class BreakerMachine(RuleBasedStateMachine):
    """Calls that overlap transitions in every way, against a model that keeps what happened since the last one."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(THRESHOLD)
        self.is_open = False
        self.transitions = 0
        self.outcomes: list[bool] = []

    def turn(self, *, is_open: bool) -> bool:
        """Whether the model's state changes."""
        if is_open == self.is_open:
            return False
        self.is_open, self.outcomes = is_open, []
        self.transitions += 1
        return True

    @rule(target=calls)
    def begin(self) -> tuple[int, int]:
        return self.breaker.epoch, self.transitions

    @rule(call=calls, went_well=st.booleans())
    def finish(self, call: tuple[int, int], went_well: bool) -> None:
        epoch, transitions = call
        opened = False
        if transitions == self.transitions:
            self.outcomes.append(went_well)
            # Nothing counts down to a fault on an open breaker: it is open already.
            opened = self.outcomes[-THRESHOLD:] == [False] * THRESHOLD and self.turn(is_open=True)
        if went_well:
            self.breaker.succeed(epoch)
        else:
            assert opened == self.breaker.fail(epoch)

    @rule()
    def trip(self) -> None:
        assert self.turn(is_open=True) == self.breaker.trip()

    @rule()
    def reset(self) -> None:
        assert self.turn(is_open=False) == self.breaker.reset()

    @invariant()
    def states_agree(self) -> None:
        assert self.is_open == self.breaker.is_open


TestBreakerAgreesWithAModel = BreakerMachine.TestCase
