"""S31: real conditions, harsher than the test bed

The machine is off for three days while deliveries go on and the mail server is down. When it is back, the tasks that
publish are killed between their commit and its record; then somebody holds the catalog locked; the disk is full for a
day; and a worker whose clock is an hour ahead has published. Runs recover or fail closed, nothing is shown in part, and
what had to be told is told when the mail server is back. Hackett; DEP-04, PRO-10, DAT-23.
"""

from datetime import timedelta

from sluice.core import clock

DAG = "flights_ingest"
SOURCES = ("schedule", "arrivals", "weather")
# A correction: the same content again would be the batch that is there.
ONE_LESS = "select * from rows order by all limit (select count(*) - 1 from rows)"


def rehearse(world):
    from sluice_lab.rehearsal import conditions

    world.stop_mail_server()
    conditions.stop_scheduler(world)
    try:
        _three_days_off(world, conditions)
        _disk_full(world, conditions)
    finally:
        conditions.restart_scheduler(world)
        world.start_mail_server()
    _told_afterwards(world)
    _clock_ahead(world)


def _three_days_off(world, conditions):
    days = [world.day(offset) for offset in range(3)]
    for day in days:
        world.deliver(day)
    # What a schedule would have made due; it is queued until somebody takes it up.
    world.api.set_paused(DAG, paused=False)
    runs = [world.api.trigger(DAG, partition=day)["dag_run_id"] for day in days]

    with conditions.gate("s31") as gate:
        conditions.start_scheduler(world, failpoint=f"publish.committed=wait:{gate}")
        killed = _kill_publishing(world, conditions, gate, runs[0])
        world.expect("a task was killed that had committed", killed, killed)
        with conditions.locked(world.home / "catalog.db"):
            gate.touch()
            conditions.until(lambda: _tried_again(world, runs[0], killed), "no task is tried again")
        world.say("the catalog is released")
        states = [world.api.wait_for_run(DAG, run_id, seconds=600) for run_id in runs]

    world.expect("the three days are caught up", states == ["success"] * 3, states)
    ended = [run["end_date"] for run in world.api.runs(DAG) if run["dag_run_id"] in runs]
    world.expect("in their order", ended == sorted(ended), ended)
    for table in SOURCES:
        _expect_whole(world, table, days)


def _kill_publishing(world, conditions, gate, run_id):
    """Kill what has committed and waits to record it; returns the ids of the tasks."""
    reached = gate.with_name(f"{gate.name}.reached")
    conditions.until(reached.exists, "no task has published")
    waiting = conditions.until(
        lambda: conditions.running(world, DAG, run_id, "publish_"), "no publishing task is seen to run"
    )
    for task in waiting:
        conditions.kill(world, task)
    return [task["task_id"] for task in waiting]


def _tried_again(world, run_id, killed):
    tasks = {task["task_id"]: task for task in world.api.tasks(DAG, run_id)}
    return all(tasks[name]["try_number"] > 1 and tasks[name]["state"] == "running" for name in killed)


def _expect_whole(world, table, days):
    """Every row of every day is there once, and was published once."""
    for day in days:
        partition = world.spec.data_day(table, day)
        received = world.original(table, day).num_rows
        shown = world.rows(table, partition).num_rows if world.published(table, partition) else 0
        world.expect(
            f"{table} of {partition} is there, each row once", shown == received, f"{shown} of {received}"
        )
        told = world.entries("published", subject=table, partition=partition)
        world.expect(f"{table} of {partition} was published once", len(told) == 1, len(told))


def _disk_full(world, conditions):
    day = world.day(3)
    world.deliver(day)
    conditions.restart_scheduler(world, failpoint="stage.file_written=full")
    run = world.run("ingest", day)
    world.expect("on a full disk the day fails", run.state == "failed", run)
    shown = [table for table in SOURCES if world.published(table, world.spec.data_day(table, day))]
    world.expect("and nothing of it is shown", not shown, shown)
    world.expect("nobody could be told", not world.mails(), [mail.subject for mail in world.mails()])
    queued = world.undelivered()
    world.expect("the mails are queued", queued, queued)


def _told_afterwards(world):
    from sluice.notify.faults import undelivered_lines

    queued = world.undelivered()
    lines = undelivered_lines()
    shown = [subject for subject in queued if any(subject in line for line in lines)]
    world.expect("what waits is shown", shown == queued != [], lines)
    world.run("watch")
    sent = [mail.subject for mail in world.mails()]
    world.expect("it is sent when the server is back, in order, once", sent[: len(queued)] == queued, sent)
    world.expect("nothing waits any longer", not world.undelivered())

    run = world.run("ingest", world.day(3))
    world.expect(
        "with room on the disk the day completes", run.state == "success", world.log(run)[-300:] or run
    )
    for table in SOURCES:
        _expect_whole(world, table, [world.day(3)])
    resolved = [mail.subject for mail in world.mails() if "RESOLVED" in mail.subject]
    world.expect("and the fault is told to be over", resolved, [mail.subject for mail in world.mails()])


def _clock_ahead(world):
    """The arrivals of a day, published by a worker whose clock is an hour ahead, and then corrected by one whose is not."""
    from sluice import crossing
    from sluice.core.runs import Run
    from sluice.lake import batches, connection

    day = world.day(3)
    partition = world.spec.data_day("arrivals", day)
    run = Run.of_task("another_host", "clock_ahead", "stage_arrivals")
    staged = crossing.stage(world.spec, "arrivals", [day], run)
    ahead = f"{clock.utc_now() + timedelta(hours=1):%Y%m%dT%H%M%S%f}-abcdef"
    files = {each: batches.file_of(staged.pipeline, staged.table, ahead, each) for each in staged.partitions}
    contents = {each: connection.read(staged.files[each]) for each in staged.partitions}
    batches.write(staged.model_copy(update={"batch_id": ahead, "files": files}), contents)
    crossing.audit(world.spec, "arrivals", ahead, run)
    crossing.publish(world.spec, "arrivals", ahead, run)
    world.say(f"arrivals {partition}: published by a worker whose clock is an hour ahead")

    world.deliver(day, sources=["arrivals"], number=2, edits={"arrivals": ONE_LESS})
    before = world.rows("arrivals", partition).num_rows
    corrected = world.run("ingest", day)

    world.expect(
        "the correction is published at once",
        corrected.state == "success",
        world.log(corrected)[-300:] or corrected,
    )
    seen = world.rows("arrivals", partition).num_rows
    world.expect("readers see the correction", seen == before - 1, seen)
