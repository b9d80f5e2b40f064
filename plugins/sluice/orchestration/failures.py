"""How a task fails for a reason that is known: its log opens with what is wrong, where, the evidence and the next step.

Airflow prints a traceback for every exception, except for `SystemExit`. A task whose error explains itself therefore
logs the explanation, keeps the traceback in a folded group below it, and leaves by a `SystemExit` that carries the error.
Whoever is told of it, the retry policy and the mail, asks for `cause_of`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowFailException

from sluice.core import clock
from sluice.core.errors import NotPublishedError, SluiceError
from sluice.core.links import evidence_url
from sluice_ml.errors import MlError

log = logging.getLogger(__name__)

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class TaskFailure(SystemExit):
    """Ends a task that has explained why it failed; `error` is the reason."""

    def __init__(self, error: Exception) -> None:
        super().__init__(1)
        self.error = error


class _RetryPolicy(ExceptionRetryPolicy):
    """Judges the reason of a failure."""

    def evaluate(self, exception: BaseException, *args: Any, **kwargs: Any) -> Any:
        return super().evaluate(cause_of(exception), *args, **kwargs)


# A cause outside the data may pass by itself; bad data stays bad however often it is read.
RETRY_POLICY = _RetryPolicy(
    rules=[
        RetryRule(exception="sluice.core.errors.RetryableError", action=RetryAction.RETRY),
        RetryRule(
            exception=[
                "sluice.core.errors.SluiceError",
                "sluice_ml.errors.MlError",
                "airflow.sdk.exceptions.AirflowFailException",
            ],
            action=RetryAction.FAIL,
            reason="final by its kind",
        ),
    ]
)


def cause_of(exception: Any) -> Any:
    """The reason of a failure: what a `TaskFailure` carries, or the exception itself."""
    return exception.error if isinstance(exception, TaskFailure) else exception


def explain_failure(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Decorate what a task runs: an error that explains itself opens the task's log instead of a traceback.

    Raises:
        TaskFailure: in the place of such an error. Other exceptions are faults of the code, and pass as they are.
    """

    @wraps(function)
    def explained(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            if notice := clock.notice():
                log.warning("%s", notice)
            return function(*args, **kwargs)
        except (SluiceError, MlError, AirflowFailException) as error:
            log.error("%s", explanation(error))
            if not isinstance(
                error, NotPublishedError
            ):  # which is a verdict, and came about nowhere in the code
                log.info("::group::Traceback")
                log.info("%s", type(error).__name__, exc_info=error)
                log.info("::endgroup::")
            raise TaskFailure(error) from None

    explained.explains_failure = True  # type: ignore[attr-defined] # for the policy that every task does
    return explained


def explanation(error: Exception) -> str:
    """What is wrong, where, what would be right, the evidence and the next step, as far as the error knows."""
    verdict = error.verdict if isinstance(error, NotPublishedError) else None
    if verdict is None:
        said = [getattr(error, "what", "") or str(error)]
    else:
        name = f"{verdict.pipeline}.{verdict.table} {verdict.days}"
        said = [
            f"{verdict.outcome}: {name} was not published.",
            *([f"Probable cause: {verdict.cause.sentence}"] if verdict.cause else []),
            *(f"- {reason}" for reason in verdict.reasons),
        ]
    facts = {
        "Where": getattr(error, "where", ""),
        "Allowed": getattr(error, "allowed", ""),
        "Evidence": evidence_url(report) if (report := getattr(error, "report", "")) else "",
        "Next": getattr(error, "todo", ""),
    }
    return "\n".join([*said, *(f"{label}: {text}" for label, text in facts.items() if text)])
