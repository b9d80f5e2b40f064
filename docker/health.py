"""Ask the API server whether a component of Airflow is healthy: `python health.py scheduler` ends with 0 or 1.

It runs every few seconds in every container, so it imports the standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from urllib.parse import urljoin
from urllib.request import urlopen


def status(component: str) -> str:
    """What the API server says of a component, or that it does not answer."""
    server = os.environ.get("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://127.0.0.1:8080/")
    try:
        # An address of this installation.
        with urlopen(urljoin(server, "/api/v2/monitor/health"), timeout=5) as answer:  # noqa: S310
            return str(json.load(answer)[component]["status"])
    except OSError as error:
        return f"unknown, the API server does not answer: {error}"


if __name__ == "__main__":
    found = status(sys.argv[1])
    sys.stdout.write(f"{sys.argv[1]}: {found}\n")
    sys.exit(found != "healthy")
