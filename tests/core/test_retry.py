import pytest

from sluice.core import retry
from sluice.core.errors import StackError


class Flaky:
    """Fails as often as it is told, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures, self.asked = list(failures), 0

    def __call__(self) -> str:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def test_attempts_after_fewer_failures_returns_the_answer():
    ask = Flaky(OSError("first"), OSError("second"))
    assert retry.attempts(3, OSError)(ask) == "answer"
    assert ask.asked == 3


def test_attempts_after_as_many_failures_raises_the_last():
    ask = Flaky(*(OSError(str(number)) for number in range(3)))
    with pytest.raises(OSError, match=r"^2$"):
        retry.attempts(3, OSError)(ask)
    assert ask.asked == 3


def test_attempts_after_another_error_raises_it_at_once():
    ask = Flaky(KeyError("name"))
    with pytest.raises(KeyError):
        retry.attempts(3, OSError)(ask)
    assert ask.asked == 1


def test_attempts_after_an_error_that_is_excepted_raises_it_at_once():
    ask = Flaky(OSError("again"), OSError("for good"), OSError("never seen"))
    with pytest.raises(OSError, match="for good"):
        retry.attempts(3, OSError, only=lambda error: "again" in str(error))(ask)
    assert ask.asked == 2


def test_attempts_as_a_loop_ends_with_the_last_error():
    ask = Flaky(OSError("1"), OSError("2"))

    def loop():
        for attempt in retry.attempts(2, OSError):
            with attempt:
                ask()

    with pytest.raises(OSError, match=r"^2$"):
        loop()
    assert ask.asked == 2


def test_until_returns_the_first_answer_also_an_empty_one():
    answers = iter([None, False, []])
    assert retry.until(lambda: next(answers), seconds=60, pause=0.001, otherwise=StackError) == []


def test_until_without_an_answer_raises_what_was_not_so():
    with pytest.raises(StackError, match="nobody came"):
        retry.until(lambda: None, seconds=0, pause=0.001, otherwise=lambda: StackError("nobody came"))


def test_until_passes_on_what_the_question_raises():
    with pytest.raises(KeyError):
        retry.until(Flaky(KeyError("name")), seconds=60, otherwise=StackError)
