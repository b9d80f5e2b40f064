"""The SQL of dbt models, changed; and whether the build or the gates of what is made of it hold the result.

A mutation changes one model of a copy of the project, with its macros expanded, and builds a day of every table that is made of
the model from the published rows of the clean year, as any run does. The model is asked first, on a database of that day: SQL
that does not run is drawn anew, since its author would see it, and SQL that gives the same rows is an equivalent mutant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

from sluice.core.errors import StackError
from sluice.core.partitions import days_between
from sluice.core.settings import ROOT, settings
from sluice.declare.spec import Pipeline
from sluice.transform import database, project, runner
from sluice_lab.mutation import material, run, year
from sluice_lab.mutation.draft import NotApplicableError
from sluice_lab.mutation.mutators import choose
from sluice_lab.mutation.mutators.registry import Mutator
from sluice_lab.mutation.mutators.sql import SQL_MUTATORS
from sluice_lab.mutation.query import Query
from sluice_lab.mutation.run import FIRST_MUTATED, Case, Stage

# Run days that mutations are built for, drawn by the seed: each needs a clean build of its own.
DAYS = 6
_TRIES = 500
_UNTOUCHED = Mutator("clean", "clean", ("transform",), "", True, lambda _: "")


@dataclass(frozen=True)
class Clean:
    """A derived table built for one run day by the models as they are: the database, and the SQL by model."""

    table: str
    path: Path
    sql: Mapping[str, str]

    def types(self, model: str) -> dict[str, str]:
        """The columns of a model with their types."""
        with database.connect(self.path) as con:
            return {name: kind for name, kind, *_ in con.execute(f'describe "{model}"').fetchall()}

    def values(self, model: str, column: str) -> list[Any]:
        with database.connect(self.path) as con:
            return [one for (one,) in con.sql(f'select "{column}" from "{model}" order by 1').fetchall()]  # noqa: S608 - dbt's own names

    def differs(self, model: str, sql: str) -> bool:
        """Whether SQL gives other rows than the model.

        Raises:
            NotApplicableError: it does not run, or gives other columns.
        """
        import duckdb

        both = (f'({sql}) except all from "{model}"', f'(from "{model}") except all ({sql})')
        with database.connect(self.path) as con:
            try:
                return any(con.sql(f"select 1 from ({one}) limit 1").fetchall() for one in both)  # noqa: S608 - of our own making
            except duckdb.Error as error:
                raise NotApplicableError from error


_KEPT: dict[tuple[Path, str], tuple[Clean, ...]] = {}


def prepare(say: Callable[[str], None]) -> None:
    """Make the clean year in this home, unless it is there."""
    year.ensure(say)


def mutate(
    flights: Pipeline, seed: int, number: int, *, window: tuple[str, str] = (FIRST_MUTATED, year.LAST)
) -> Case:
    """Draw, do and judge mutation `number` of the run with this seed.

    Args:
        window: first and last run day to draw from.
    """
    chosen = choose(SQL_MUTATORS, seed, number)
    rng = Random(f"{seed}/transform/{number}")  # noqa: S311 - reproducible on purpose
    day = rng.choice(_days(seed, window))
    for _ in range(_TRIES):
        query, made = draw(flights, day, rng)
        try:
            did = chosen.apply(query)
            differs = made.differs(query.model, query.sql())
        except NotApplicableError:
            continue
        return _judged(flights, day, query, chosen, did, number, differs=differs)
    raise AssertionError(f"{chosen.name} applies to no model of {', '.join(flights.derived)}")


def clean(
    flights: Pipeline, seed: int, number: int, *, window: tuple[str, str] = (FIRST_MUTATED, year.LAST)
) -> Case:
    """Judge clean day `number` of the run with this seed, with one model written anew by what writes the changed ones."""
    days = days_between(*window)
    Random(f"{seed}/clean").shuffle(days)  # noqa: S311 - reproducible on purpose
    day = days[number % len(days)]
    query, _ = draw(flights, day, Random(f"{seed}/clean/{number}"))  # noqa: S311 - reproducible on purpose
    return _judged(flights, day, query, _UNTOUCHED, "", number, differs=True)


def _days(seed: int, window: tuple[str, str]) -> list[str]:
    days = days_between(*window)
    return Random(f"{seed}/days").sample(days, min(DAYS, len(days)))  # noqa: S311 - reproducible on purpose


def draw(flights: Pipeline, day: str, rng: Random) -> tuple[Query, Clean]:
    """One of the models that a table is made of, as any other."""
    built = {model: made for made in _built(flights, day) for model in made.sql}
    model = rng.choice(sorted(built))
    made = built[model]
    return Query.of(
        model, made.sql[model], made.types(model), lambda name: made.values(model, name), rng
    ), made


def _built(flights: Pipeline, day: str) -> tuple[Clean, ...]:
    """Every derived table, built for a run day by the models as they are; each day once a process."""
    if (key := (settings().home, day)) not in _KEPT:
        _KEPT[key] = tuple(_build(flights, table, flights.data_day(table, day)) for table in flights.derived)
    return _KEPT[key]


def _build(flights: Pipeline, table: str, day: str) -> Clean:
    settings().work.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix=f"clean-{table}-", dir=settings().work))
    runner.build(flights, table, day, day, workdir=folder)
    compiled = (folder / "target" / "compiled").rglob("*.sql")
    sql = {path.stem: path.read_text(encoding="utf-8") for path in compiled}
    return Clean(table, folder / database.FILE, {name: sql[name] for name in _models(flights, table)})


def _models(flights: Pipeline, table: str) -> dict[str, Any]:
    """The models that a table is made of, by name."""
    parsed = project.manifest(flights)
    named = {node.name: node for node in parsed.nodes.values() if node.resource_type == "model"}
    waiting, found = [flights.derived[table].model], {}
    while waiting:
        node = named[waiting.pop()]
        found[node.name] = node
        waiting += [parsed.nodes[key].name for key in node.depends_on_nodes if key in parsed.nodes]
    return found


def _judged(
    flights: Pipeline, day: str, query: Query, chosen: Mutator, did: str, number: int, *, differs: bool
) -> Case:
    """Build and judge every table that is made of the model."""
    nodes = {table: _models(flights, table) for table in flights.derived}
    tables = [table for table, models in nodes.items() if query.model in models]

    def case(stage: Stage, outcome: str, share: float | None, rules: Sequence[str] = ()) -> Case:
        told = outcome == "WARN"
        return Case(
            number, query.model, day, chosen.name, chosen.kind, did, stage, outcome, share, tuple(rules), told
        )

    if not differs:
        return case("harmless", "the same rows", 0.0)
    with year.undisturbed(), _changed(flights, nodes[tables[0]][query.model], query):
        stage, outcome, share, rules = run.derived_tables(_uncompared(flights), tables, day)
        if stage == "missed" and (share >= material.MATERIAL_SHARE or chosen is _UNTOUCHED):
            stage, compared, _, compared_rules = run.derived_tables(flights, tables, day)
            if stage != "missed":
                return case("change of code", compared, share, compared_rules)
    if stage == "transform":
        return case(stage, outcome, None, rules)
    if stage == "missed" and share < material.MATERIAL_SHARE:
        stage = "harmless"
    return case(stage, outcome or "PASS", share, rules)


def _uncompared(flights: Pipeline) -> Pipeline:
    """The pipeline whose gates do not compare a change of the models with the models before: the other rules alone."""
    derived = {
        name: one.model_copy(update={"max_changed_by_code": 1.0}) for name, one in flights.derived.items()
    }
    return flights.model_copy(update={"derived": derived})


@contextmanager
def _changed(flights: Pipeline, node: Any, query: Query) -> Iterator[None]:
    """Other SQL in the place of one model's, in the copy of the project that this process has.

    Raises:
        StackError: it is no copy, but the repository's own.
    """
    if settings().dbt_project.resolve() == ROOT / "dbt_project":
        raise StackError(
            "The dbt project of the repository is not changed by a mutation run.",
            where=str(settings().dbt_project),
            todo="set SLUICE_DBT_PROJECT to a copy of it, as `sluice mutate` does",
        )
    # What it reads is named as dbt names it again, which puts other rows there in a unit test; also where it is no longer read.
    names = dict(_reads(project.manifest(flights), node))
    sql = reduce(lambda text, relation: text.replace(relation, names[relation]), names, query.sql())
    file = settings().dbt_project / node.original_file_path
    before = file.read_text(encoding="utf-8")
    try:
        file.write_text(f"-- depends_on: {' '.join(names.values())}\n{sql}\n", encoding="utf-8")
        yield
    finally:
        file.write_text(before, encoding="utf-8")


def _reads(parsed: Any, node: Any) -> Iterator[tuple[str, str]]:
    """What a model reads: the relation in the database, and what dbt makes that of."""
    for key in node.depends_on_nodes:
        if key in parsed.nodes:
            yield parsed.nodes[key].relation_name, f"{{{{ ref('{parsed.nodes[key].name}') }}}}"
        else:
            one = parsed.sources[key]
            yield one.relation_name, f"{{{{ source('{one.source_name}', '{one.name}') }}}}"
