"""The only reader of the environment.

Every setting has a default that works on one machine with nothing else running. In production set the variables in
the environment of Airflow's components. Secrets are not settings: they are Airflow connections, and a URL that holds a
password is refused (docs/security.md says where it goes instead).
"""

from __future__ import annotations

import os
import re
from functools import cached_property, lru_cache
from pathlib import Path

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sluice.core import identity
from sluice.core.errors import SpecInvalidError

_CHECKOUT = Path(__file__).resolve().parents[3]
# The project, with its pipelines, suites and dbt project: the one that is named, else the checkout that this package lies
# in, else the working directory.
ROOT = Path(
    os.environ.get("SLUICE_PROJECT") or (_CHECKOUT if (_CHECKOUT / "dags" / "pipelines").is_dir() else "")
).resolve()

# A password in a URL: between a colon and the @ before its host, or among its parameters.
_PASSWORD_IN_URL = re.compile(
    r"://[^:/@]*:[^@]*@|[?&;](?:\w*password|\w*secret\w*|\w*token|\w*credential)=", re.IGNORECASE
)
_NO_PLACE = "The address holds a password, and settings are no place for one"
_ADDRESSES = (
    "landing",
    "warehouse",
    "evidence",
    "models",
    "catalog_uri",
    "ledger_uri",
    "mlflow_uri",
    "ui_url",
)


class Settings(BaseSettings):
    """Settings of one installation, read from `SLUICE_*` variables."""

    model_config = SettingsConfigDict(
        env_prefix="SLUICE_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    # Read it as `home`, which makes sure that it can be used.
    home_folder: Path = Field(
        ROOT / "var", validation_alias="SLUICE_HOME", description="Folder that holds all local state."
    )
    pipelines: Path = Field(ROOT / "dags" / "pipelines", description="Folder of the pipeline YAML files.")
    expectations: Path = Field(ROOT / "expectations", description="Folder of the Great Expectations suites.")
    dbt_project: Path = Field(ROOT / "dbt_project", description="The dbt project.")
    landing: str = Field(
        "", description="Overrides every pipeline's `landing`: a folder or s3://bucket/prefix."
    )
    warehouse: str = Field("", description="Iceberg warehouse; default: <home>/lake.")
    evidence: str = Field(
        "", description="Evidence pages: a folder or s3://bucket/prefix; default: <home>/reports."
    )
    models: str = Field(
        "", description="Files of trained models: a folder or s3://bucket/prefix; default: <home>/models."
    )
    catalog_uri: str = Field("", description="Iceberg catalog; default: SQLite under <home>.")
    ledger_uri: str = Field("", description="SQLAlchemy URL of the ledger; default: SQLite under <home>.")
    mlflow_uri: str = Field("", description="MLflow tracking and registry URI; default: SQLite under <home>.")
    ui_url: str = Field(
        "http://127.0.0.1:8080", description="Base URL of the Airflow UI, for links in mails."
    )
    smtp_connection: str = Field(
        "smtp_default", description="Airflow connection that mails are sent through."
    )
    mail_from: str = Field("sluice@localhost", description="Sender, where the connection names none.")
    mail_to: str = Field(
        "operator@localhost",
        description="Who is mailed about a pipeline whose YAML does not say it legibly; commas between addresses.",
    )
    mail_window_minutes: float = Field(
        60, ge=0, description="How long after a mail further partitions of the same fault are only counted."
    )
    api_port: int = Field(8080, description="Port of the local Airflow UI started by `sluice up`.")
    smtp_port: int = Field(8025, description="Port of the local mail sink started by `sluice up`.")
    retry_seconds: float = Field(
        20, gt=0, description="Delay before the first retry of a task; then doubled."
    )
    landing_seconds: float = Field(
        30, gt=0, description="How often a task that waits for a delivery looks at the landing zone."
    )
    s3_seconds: float = Field(
        20, gt=0, description="How long S3 may take to answer one request, before it is asked again."
    )
    lock_seconds: float = Field(
        60, gt=0, description="How long a step waits for another's lock on the catalog or the ledger."
    )
    clock: str = Field(
        "", description="For tests only: file with the instant that it is taken to be; see sluice.core.clock."
    )
    failpoint: str = Field("", description="For tests only: see sluice.core.failpoints.")
    code_version: str = Field(
        "", description="Commit of the code, where git cannot tell it: an image's build argument."
    )
    executor: str = Field(
        "LocalExecutor",
        validation_alias="AIRFLOW__CORE__EXECUTOR",
        description="Airflow's own setting: whether tasks run on several machines.",
    )
    threads: int = Field(2, description="Threads for DuckDB and XGBoost in one task.")
    spark_master: str = Field(
        "", description="Spark master of tables with `engine: spark`: spark://…, yarn, k8s://… or local[2]."
    )
    spark_packages: str = Field(
        "",
        description="Maven coordinates that Spark loads: Iceberg's runtime, and the catalog's JDBC driver.",
    )
    spark_scratch: str = Field(
        "", description="Folder or URL that all executors see, for one build's tables; default: <home>/work."
    )
    spark_conf: dict[str, str] = Field(
        {}, description="Further Spark properties as a JSON object; they win over Sluice's own."
    )

    @field_validator(*_ADDRESSES)
    @classmethod
    def _holds_no_password(cls, value: str) -> str:
        if _PASSWORD_IN_URL.search(value):
            raise ValueError(_NO_PLACE)
        return value

    @field_validator("spark_conf")
    @classmethod
    def _names_no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        if re.search(r"password|secret|token", " ".join(value), re.IGNORECASE):
            raise ValueError(_NO_PLACE)
        return value

    @field_validator("home_folder", "warehouse")
    @classmethod
    def _is_an_address(cls, value: Path | str, info: ValidationInfo) -> Path | str:
        local = str(value).removeprefix("file://")
        if local and "://" not in local:
            identity.check_path(
                Path(local).resolve(),
                "SLUICE_HOME" if info.field_name == "home_folder" else "SLUICE_WAREHOUSE",
            )
        return value

    @cached_property
    def home(self) -> Path:
        """The folder that holds all local state, made on first use.

        Raises:
            SpecInvalidError: its path cannot be used.
            HomeMovedError: it was copied or moved here: see `sluice.core.identity`.
        """
        return identity.claimed(self.home_folder, self.databases_of_home)

    @property
    def databases_of_home(self) -> list[str]:
        """Those of the databases with paths in them that are this home's own, not a server's."""
        elsewhere = {identity.CATALOG: self.catalog_uri or self.warehouse, identity.MLFLOW: self.mlflow_uri}
        return [name for name, address in elsewhere.items() if not address]

    @property
    def warehouse_path(self) -> str:
        return self.warehouse or f"file://{self.home.resolve()}/lake"

    @property
    def catalog_url(self) -> str:
        return self.catalog_uri or f"sqlite:///{self.home.resolve()}/catalog.db"

    @property
    def ledger_url(self) -> str:
        return self.ledger_uri or f"sqlite:///{self.home.resolve()}/ledger.db"

    @property
    def mlflow_url(self) -> str:
        return self.mlflow_uri or f"sqlite:///{self.home.resolve()}/mlflow.db"

    @property
    def evidence_address(self) -> str:
        """Evidence pages: <address>/<pipeline>/<kind>/<partition>/<name>.html, served inside the Airflow UI."""
        return _absolute(self.evidence.rstrip("/") or str(self.home / "reports"))

    @property
    def models_address(self) -> str:
        """Under which MLflow keeps the files of models."""
        address = _absolute(self.models.rstrip("/") or str(self.home / "models"))
        return address if "://" in address else f"file://{address}"

    @property
    def work(self) -> Path:
        """Scratch folders of attempts; never the truth."""
        return self.home / "work"

    @property
    def mail(self) -> Path:
        """Where the local mail sink keeps .eml files."""
        return self.home / "mail"


def _absolute(address: str) -> str:
    """An address as it is, or the whole path of a folder."""
    return address if "://" in address else str(Path(address).resolve())


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once. Tests that change the environment call `settings.cache_clear()`.

    Raises:
        SpecInvalidError: a variable cannot be used as it is set.
    """
    try:
        return Settings()
    except ValidationError as error:
        # The error and its trace would quote the value: it goes no further than this.
        first = error.errors()[0]
    name = str(first["loc"][0])
    if _NO_PLACE in first["msg"]:
        raise SpecInvalidError(
            f"{_NO_PLACE}.",
            where=f"variable SLUICE_{name.upper()}",
            allowed="the address without its password",
            todo="give the password to the library that connects (libpq's PGPASSFILE, MLFLOW_TRACKING_PASSWORD, "
            "boto3's own chain), as docs/security.md says",
        )
    found = str(first["input"])
    raise SpecInvalidError(
        f"{first['msg']}, got {'a value with a password' if _PASSWORD_IN_URL.search(found) else repr(found)}.",
        where=f"variable SLUICE_{name.upper()}",
        todo="correct it in the environment",
    )


def unknown_variables() -> list[str]:
    """Names of `SLUICE_*` variables in the environment that no setting reads: mistyped, or left over."""
    return sorted(name for name in os.environ if name.startswith("SLUICE_") and name not in variables())


def variables() -> list[str]:
    """Names of the variables that settings are read from."""
    return [
        str(field.validation_alias or f"SLUICE_{name.upper()}")
        for name, field in Settings.model_fields.items()
    ]
