"""What can be known to be wrong without running anything: settings, specs, suites, the dbt project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sluice.core.errors import SluiceError, SpecInvalidError
from sluice.core.settings import settings, unknown_variables, variables
from sluice.declare import spec
from sluice.declare.card import missing_card_fields
from sluice.status import machines


def check_all(pipeline: str | None = None) -> Iterator[tuple[str, SluiceError | None]]:
    """Yield every checked thing, of one pipeline or of all, with its error, or None where it is sound."""
    yield "settings", _error_of(_check_settings)
    names = [pipeline] if pipeline else spec.pipeline_names()
    if not names:
        yield "pipelines", SpecInvalidError("No pipeline is declared.", todo="add one to dags/pipelines")
    for name in names:
        checked = list(check_pipeline(name))
        yield from checked
        if len(checked) > 1 and spec.load(name).derived:
            yield f"dbt unit tests of {name}", _error_of(partial(_check_unit_tests, name))
        if len(checked) > 1:
            yield f"custom checks of {name}", _error_of(partial(_check_custom_checks, name))
            yield f"unused declarations of {name}", _error_of(partial(_check_unused, name))
            yield f"columns without a rule of {name}", _error_of(partial(_check_columns, name))


def check_pipeline(name: str) -> Iterator[tuple[str, SluiceError | None]]:
    """As `check_all`, of what one pipeline declares and cannot run without."""
    error = _error_of(partial(spec.load, name))
    yield f"pipeline {name}", error
    if error is None:
        yield f"schedule of {name}", _error_of(partial(_check_schedule, name))
        yield f"landing zone of {name}", _error_of(partial(_check_landing, name))
        yield f"suites of {name}", _error_of(partial(_check_suites, name))
        declared = spec.load(name)
        if declared.derived:
            yield f"dbt models of {name}", _error_of(partial(_check_models, name))
        if declared.has_model:
            yield f"model of {name}", _error_of(partial(_check_model, name))


def gaps(pipeline: str | None = None) -> dict[str, int]:
    """Pipeline -> how many values of its YAML are `"?"`, as `sluice new` writes what only a person knows; of one, or of all that have any."""
    texts = {
        name: (settings().pipelines / f"{name}.yml").read_text(encoding="utf-8").splitlines()
        for name in ([pipeline] if pipeline else spec.pipeline_names())
    }
    counts = {
        name: sum(line.count('"?"') for line in text if not line.startswith("#"))
        for name, text in texts.items()
    }
    return {name: count for name, count in counts.items() if count}


def unstated(pipeline: str | None = None) -> dict[str, list[str]]:
    """Pipeline -> keys of what only a person can say of its model and nobody has; of one, or of all that lack any."""
    declared = [each for each in spec.load_all() if pipeline in (None, each.pipeline)]
    return {each.pipeline: missing for each in declared if (missing := missing_card_fields(each))}


def approved_alone(pipeline: str | None = None) -> list[str]:
    """Pipelines with a critical model that whoever started its training may approve; of one, or of all."""
    declared = [each for each in spec.load_all() if pipeline in (None, each.pipeline)]
    return [
        each.pipeline
        for each in declared
        if each.has_model and each.is_critical and each.releases.self_approval == "allow"
    ]


def require_sound(name: str) -> None:
    """Raise for whatever `check_pipeline` finds, all of it in one error.

    Raises:
        SpecInvalidError: names every problem.
    """
    found = [f"{what}: {error}" for what, error in check_pipeline(name) if error]
    if found:
        raise SpecInvalidError(
            f"The declaration of pipeline {name!r} cannot be used as it is. {' '.join(found)}",
            where=f"dags/pipelines/{name}.yml and what belongs to it",
            todo="correct it and run `sluice check`",
        )


def _check_settings() -> None:
    settings().home  # noqa: B018 - made sure of
    unknown = unknown_variables()
    if unknown:
        raise SpecInvalidError(
            f"No setting reads {', '.join(unknown)}.",
            where="the environment",
            allowed=", ".join(variables()),
            todo="correct the name or remove the variable",
        )
    machines.require_shared()


def _check_schedule(name: str) -> None:
    from sluice import schedule

    schedule.check(spec.load(name))


def _check_landing(name: str) -> None:
    from sluice.lake.landing import Landing

    declared = spec.load(name)
    Landing(declared.landing_url)
    machines.require_shared_landing(declared)


def _check_model(name: str) -> None:
    from sluice.models.config import check_model

    check_model(spec.load(name))


def _check_custom_checks(name: str) -> None:
    from sluice.models import custom_checks

    custom_checks.check(spec.load(name))


def _check_suites(name: str) -> None:
    from sluice.gates import suites

    suites.check(spec.load(name))


def _check_models(name: str) -> None:
    from sluice import transform

    transform.check(spec.load(name))


def _check_unit_tests(name: str) -> None:
    from sluice.transform import project

    project.require_unit_tests(spec.load(name))


def _check_unused(name: str) -> None:
    from sluice.status import unused

    unused.check(spec.load(name))


def _check_columns(name: str) -> None:
    from sluice.status import unjudged_columns

    unjudged_columns.check(spec.load(name))


def _error_of(checked: Callable[[], object]) -> SluiceError | None:
    try:
        checked()
    except SluiceError as error:
        return error
    except Exception as error:  # noqa: BLE001 - what breaks its check cannot be used either
        return SpecInvalidError(f"It cannot be checked: {type(error).__name__}: {error}.")
    return None
