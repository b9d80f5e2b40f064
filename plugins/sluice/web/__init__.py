"""The evidence pages inside the Airflow UI: where they are mounted and how to link to them.

`sluice.web.reports` serves them, `sluice.web.index` finds them; neither imports Airflow, whose login is handed in by
the plugin. Importing this module is cheap.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from sluice.core.settings import settings

# Where the plugin mounts the pages on Airflow's API server.
PREFIX = "/evidence"
# The UI page that shows them in a frame, inside Airflow's own navigation and behind its login form.
ROUTE = "evidence"


def evidence_url(report: str = "") -> str:
    """URL, inside the Airflow UI, of a page under `settings().reports`; of the index, if `report` is empty.

    Airflow's UI opens /plugin/<route>/<path> as its plugin page with <path> in the frame, and sends a reader who is
    not logged in through its login form first.
    """
    base = settings().ui_url.rstrip("/")
    return f"{base}/plugin/{ROUTE}{urlsplit(base).path}{PREFIX}/{quote(report)}"
