"""Where pages are: the folders of evidence, and their addresses inside the Airflow UI, for mails, errors and tasks."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from sluice.core.settings import settings

# Where the plugin mounts the pages on Airflow's API server.
PREFIX = "/evidence"
# The UI page that shows them in a frame, inside Airflow's own navigation and behind its login form.
ROUTE = "evidence"
# The folder, in that of a pipeline, that holds the pages of its gates: gates/<table>/<first day>/<batch>.html.
GATES = "gates"
# And the one that holds the pages of monitored days: monitor/<day>/index.html.
MONITOR = "monitor"
# A folder that holds the pages of a day or of a range of days.
DAY = re.compile(r"\d{4}-\d{2}-\d{2}(\.\.\d{4}-\d{2}-\d{2})?")
# Under it are the pages that are computed when they are asked for: no pipeline can have that name.
COMPUTED = "_"


def evidence_url(report: str = "") -> str:
    """URL, inside the Airflow UI, of an evidence page, by its name; of the index, if `report` is empty.

    Airflow's UI opens /plugin/<route>/<path> as its plugin page with <path> in the frame, and sends a reader who is
    not logged in through its login form first.
    """
    base = settings().ui_url.rstrip("/")
    return f"{base}/plugin/{ROUTE}{urlsplit(base).path}{PREFIX}/{quote(report)}"


def page_url(page: str, *about: str) -> str:
    """URL, inside the Airflow UI, of a computed page: `model` of a pipeline; of a pipeline, a table and a day `partition`, and
    the forms `replay` and `release`."""
    return evidence_url("/".join((COMPUTED, page, *about)))
