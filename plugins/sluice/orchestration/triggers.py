"""What tasks wait for in Airflow's triggerer, where a wait costs no worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from sluice.core import clock
from sluice.core.errors import LandingUnreachableError
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.ingest import waiting
from sluice.ledger import skips

log = logging.getLogger(__name__)


class DeliveryTrigger(BaseTrigger):
    """Wait until a source is delivered for a run day, given up by a person, or its time is over; then fire once.

    The landing zone is looked at every `SLUICE_LANDING_SECONDS`, in a thread of its own; one that does not answer is asked again.
    """

    def __init__(self, pipeline: str, source: str, run_days: Sequence[str]) -> None:
        super().__init__()
        self.pipeline, self.source, self.run_days = pipeline, source, list(run_days)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Import path and arguments, as Airflow keeps them."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"pipeline": self.pipeline, "source": self.source, "run_days": self.run_days}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire with whether it was delivered and, where it was not, a sentence."""
        while True:
            event = await asyncio.to_thread(self._look)
            if event is not None:
                yield TriggerEvent(event)
                return
            await asyncio.sleep(settings().landing_seconds)

    def _look(self) -> dict[str, Any] | None:
        pipeline, run_day = spec.load(self.pipeline), self.run_days[0]
        day = pipeline.data_day(self.source, run_day)
        try:
            if waiting.is_delivered(pipeline, self.source, run_day):
                return {"delivered": True}
        except LandingUnreachableError as error:
            log.warning("%s", error)
        if given_up := skips.given_up(pipeline.pipeline).get((self.source, day)):
            return {"delivered": False, "said": skips.sentence(given_up)}
        end = waiting.until(pipeline, self.source, run_day)
        if clock.passed(pipeline_clock.now(pipeline), end):
            said = f"{self.source} of {day} was not delivered by {end:%Y-%m-%d %H:%M %Z}; the day starts again when it is."
            return {"delivered": False, "said": said}
        return None
