"""The `sluice` command. Each subcommand is a thin shell around a function that has its own tests."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import click

from sluice.cli import develop, home, inspect, model, new, operate
from sluice.cli.output import Group, echo
from sluice.core import clock
from sluice.core.errors import SluiceError
from sluice_ml.errors import MlError


def _loaded(entry: EntryPoint) -> click.Command:
    """A command of another package; where that cannot be imported, one of its name that says so."""
    try:
        return entry.load()
    except Exception as error:  # noqa: BLE001 - whatever its code raises; it is shown
        cause = f"{type(error).__name__}: {error}"

    def refuse(rest: tuple[str, ...]) -> None:
        raise SluiceError(
            f"The command {entry.name} cannot be loaded: {cause}.",
            where=f"entry point {entry.value} of {entry.dist.name if entry.dist else 'an installed package'}",
            todo="install that package anew (`make install` for Sluice's own), or uninstall it",
        )

    return click.Command(
        entry.name,
        callback=refuse,
        params=[click.Argument(["rest"], nargs=-1)],
        context_settings={"ignore_unknown_options": True},
        short_help=f"Cannot be loaded: {cause}.",
    )


GROUPS: dict[str, list[click.Command]] = {
    "Operate": [
        operate.land,
        operate.land_split,
        operate.run,
        operate.replay,
        operate.release,
        operate.skip,
        model.model,
        operate.maintain,
        home.home,
        home.migrate,
        operate.up,
        operate.down,
    ],
    "Inspect": [
        inspect.today_command,
        inspect.status_command,
        inspect.held_command,
        inspect.trace,
        inspect.why_command,
        inspect.watch_command,
        inspect.catalogue_command,
        inspect.show_ledger,
    ],
    "Develop": [
        new.new,
        develop.check,
        develop.backtest_command,
        develop.diff,
        develop.suite,
        develop.profile,
        develop.docs,
        develop.airflow,
        develop.find_value,
    ],
    # Of other installed packages: each entry point is a click command.
    "Try out": [_loaded(each) for each in entry_points(group="sluice.commands")],
}


class _Main(Group):
    """Lists its commands by what they are for, and shows an error of ours as one plain message, without a traceback."""

    def invoke(self, ctx: click.Context):
        try:
            if notice := clock.notice():
                echo(notice, err=True)
            return super().invoke(ctx)
        except (SluiceError, MlError) as error:
            raise click.ClickException(str(error)) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in GROUPS.items():
            self.format_section(formatter, title, commands)


@click.group(cls=_Main)
@click.version_option(package_name="sluice")
def main() -> None:
    """Every row, model and prediction is published with evidence, or held with a reason and a way back."""


for _commands in GROUPS.values():
    for _command in _commands:
        main.add_command(_command)
