"""A feed's clock goes forward only, whoever moves it."""

from __future__ import annotations

import multiprocessing
import random
from datetime import date, timedelta

from sluice.declare import pipeline_clock, spec

FIRST = date(2013, 1, 1)
PROCESSES, ROUNDS = 4, 100


def test_clock_that_several_processes_move_at_once_is_never_set_back(home):
    """Nobody writes a day that he found to be the newest when another one has written a newer one meanwhile."""
    flights = spec.load("flights")
    fork = multiprocessing.get_context("fork")
    barrier, seen = fork.Barrier(PROCESSES), fork.SimpleQueue()

    def move(number: int) -> None:
        chance, went_back = random.Random(number), 0
        for at in range(ROUNDS):
            barrier.wait()
            mine = FIRST + timedelta(days=at * PROCESSES + chance.randrange(PROCESSES))
            pipeline_clock.advance(flights, mine)
            went_back += pipeline_clock.today(flights) < mine
        seen.put(went_back)

    workers = [fork.Process(target=move, args=(number,)) for number in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    assert [seen.get() for _ in workers] == [0] * PROCESSES
