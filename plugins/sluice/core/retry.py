"""Try again what may succeed the next time, and wait for what takes its time.

The rule kept here: every repetition ends, by a number of attempts or by a time, and ends with the error of the last attempt
or with one that says what did not happen. A task's own retry is Airflow's; these are within one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NoReturn, TypeVar, cast

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
)

T = TypeVar("T")


def attempts(
    most: int, *errors: type[Exception], only: Callable[[BaseException], bool] | None = None
) -> Retrying:
    """Return what calls a function up to `most` times, at once again, as long as it raises one of `errors`.

    Call it with the function and its arguments, or loop over it: `for attempt in attempts(3, OSError): with attempt: ...`.

    Args:
        only: of these errors, the ones after which it is tried again; all by default.

    Raises, when it is called: the last error.
    """
    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, errors) and (only is None or only(error))),
        stop=stop_after_attempt(most),
        reraise=True,
    )


def until(
    answer: Callable[[], T | Literal[False] | None],
    *,
    seconds: float,
    otherwise: Callable[[], Exception],
    pause: float = 0.3,
) -> T:
    """Ask until the answer is neither None nor False, and return it.

    Args:
        otherwise: the error to raise where there is none after `seconds`.
        pause: seconds from one question to the next.
    """

    def give_up(_state: RetryCallState) -> NoReturn:
        raise otherwise()

    asking = Retrying(
        retry=retry_if_result(lambda found: found is None or found is False),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(pause),
        retry_error_callback=give_up,
    )
    return cast(T, asking(answer))
