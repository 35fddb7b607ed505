"""Real processes, run by the scheduler: once a slot, never beside themselves, cut off cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trueup.errors import InputError, StoreError
from trueup.monitoring.monitor.exposition import MonitorCollector
from trueup.monitoring.monitor.jobs import Job, Kind
from trueup.monitoring.monitor.scheduler import Scheduler
from trueup.monitoring.monitor.slots import slot_of
from trueup.monitoring.monitor.state import JobState, StateFolder

NOON = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Heard:
    """What the scheduler told."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str | None]] = []
        self.problems: list[str] = []
        self.begun = threading.Event()

    def started(self, job: Job) -> None:
        self.begun.set()

    def finished(self, job: Job, state: JobState) -> None:
        self.runs.append((job.name, state.outcome))

    def problem(self, what: str) -> None:
        self.problems.append(what)


def python(arguments: object) -> tuple[str, ...]:
    """A job's arguments are a script: no start of trueup for each."""
    return (sys.executable, "-S", "-c", *arguments)  # type: ignore[misc]


def job(name: str, script: str, *, kind: Kind = "parity", timeout: timedelta = HOUR, every: timedelta = HOUR) -> Job:
    return Job(name, kind, every, timeout, lambda due, metrics: [script, str(metrics), due.isoformat()])


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


Make = Callable[..., Scheduler]


@pytest.fixture
def make(folder: StateFolder) -> Iterator[Make]:
    def made(*jobs: Job, heard: Heard | None = None, now: datetime = NOON, at_once: int = 2) -> Scheduler:
        return Scheduler(
            lambda: jobs,
            folder,
            heard or Heard(),
            at_once=at_once,
            stop_seconds=0,
            clock=lambda: now,
            command_of=python,
        )

    return made


LEAVES = """
import sys
open(sys.argv[1], "w").write("# HELP x_y A.\\n# TYPE x_y gauge\\nx_y{due=\\"" + sys.argv[2] + "\\"} 7\\n")
"""


def test_what_is_due_is_run_once_and_remembered(folder: StateFolder, make: Make) -> None:
    heard = Heard()
    jobs = [
        job("good", LEAVES),
        job("bad", "raise SystemExit(1)"),
        job("ugly", "raise SystemExit(2)"),
        job("dead", "import os; os.abort()"),
    ]
    make(*jobs, heard=heard).run(once=True)
    expected = {"good": "passed", "bad": "failed", "ugly": "could_not_run", "dead": "could_not_run"}
    assert dict(heard.runs) == expected
    for name, outcome in expected.items():
        state = folder.read(name)
        assert (state.slot, state.outcome, state.runs[outcome]) == (slot_of(NOON, HOUR), outcome, 1)
        assert (state.success_at is not None) == (outcome in ("passed", "failed"))
    again = Heard()
    make(*jobs, heard=again).run(once=True)  # a restart within the hour
    assert again.runs == []
    later = Heard()
    make(*jobs, heard=later, now=NOON + 4 * HOUR).run(once=True)
    assert sorted(name for name, _ in later.runs) == sorted(expected)
    assert folder.read("good").skipped == 3
    assert folder.read("good").runs["passed"] == 2


def test_a_check_that_could_not_compare_one_thing_of_many_has_run(folder: StateFolder, make: Make) -> None:
    make(job("partly", f"{LEAVES}\nraise SystemExit(2)"), job("not at all", "raise SystemExit(2)")).run(once=True)
    assert [folder.read(name).outcome for name in ("partly", "not at all")] == ["could_not_run"] * 2
    assert folder.read("partly").success_at == NOON
    assert folder.read("not at all").success_at is None


def test_a_run_is_told_what_instant_it_is_for_and_its_words_are_kept(folder: StateFolder, make: Make) -> None:
    make(job("says", "import sys; print('due', sys.argv[2]); print('oh', file=sys.stderr)")).run(once=True)
    said = folder.log_file("says").read_text()
    assert said.startswith("$ trueup ")
    assert "due 2026-01-01T12:00:00+00:00" in said
    assert "oh" in said


def test_a_run_that_takes_too_long_is_stopped_with_what_it_started_and_counts(
    folder: StateFolder, make: Make, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    make(job("long", script, timeout=timedelta(seconds=1))).run(once=True)
    state = folder.read("long")
    assert (state.outcome, state.exit_code, state.success_at) == ("timed_out", None, None)
    status = Path(f"/proc/{pids.read_text()}/status")
    assert not status.exists() or "zombie" in status.read_text()


def test_a_stop_cuts_off_what_runs_and_it_stays_due(folder: StateFolder, make: Make) -> None:
    heard = Heard()
    scheduler = make(job("long", "import time; time.sleep(600)"), heard=heard)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    assert heard.begun.wait(60)
    assert scheduler.running == {"long"}
    scheduler.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert heard.runs == []
    assert folder.read("long") == JobState()
    make(job("long", "pass"), heard=heard).run(once=True)
    assert heard.runs == [("long", "passed")]


def test_nobody_runs_a_job_beside_itself_even_when_its_monitor_was_killed(folder: StateFolder, make: Make) -> None:
    """The lock is the child's too: a monitor that dies leaves its job running, and locked."""
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from trueup.monitoring.monitor.child import Child\n"
        "from trueup.monitoring.monitor.state import StateFolder\n"
        f"folder = StateFolder(Path({str(folder.path)!r}))\n"
        "with folder.locked('long') as lock:\n"
        "    sleep = (sys.executable, '-S', '-c', 'import time; time.sleep(600)')\n"
        "    child = Child(sleep, 'x', folder.log_file('l'), lock)\n"
        "    print(child.process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    orphan = int(killed.stdout)
    heard = Heard()
    try:
        ran = make(job("long", "pass"), heard=heard).run(once=True)
        assert [each.busy for each in ran] == [True]
        assert heard.runs == []
    finally:
        os.kill(orphan, signal.SIGKILL)
    while True:  # the kernel lets go of the lock when the orphan is gone
        (one,) = make(job("long", "pass"), heard=heard).run(once=True)
        if not one.busy:
            break
    assert heard.runs == [("long", "passed")]


def test_two_monitors_on_one_state_share_the_work_and_double_none(
    folder: StateFolder, make: Make, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    script = (
        "import os\n"
        f"file = os.open({str(journal)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "os.write(file, b'in\\n')\n"
        "for _ in range(200_000): pass\n"
        "os.write(file, b'out\\n')\n"
    )
    schedulers = [make(job("one", script)) for _ in range(4)]
    threads = [threading.Thread(target=scheduler.run, kwargs={"once": True}) for scheduler in schedulers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.read_text() == "in\nout\n"
    assert folder.read("one").runs["passed"] == 1


def test_as_many_run_side_by_side_as_may(make: Make, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    script = (
        "import os, time\n"
        f"file = os.open({str(journal)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "os.write(file, b'+')\n"
        "for _ in range(300_000): pass\n"
        "os.write(file, b'-')\n"
    )
    make(*(job(f"job {number}", script) for number in range(6)), at_once=2).run(once=True)
    at_work = most = 0
    for sign in journal.read_text():
        at_work += 1 if sign == "+" else -1
        most = max(most, at_work)
    assert (at_work, most <= 2, len(journal.read_text())) == (0, True, 12)


def test_two_materializations_never_run_side_by_side(make: Make, tmp_path: Path) -> None:
    """Feast's registry is a file that each of them reads and writes whole."""
    journal = tmp_path / "journal"
    script = (
        "import os\n"
        f"file = os.open({str(journal)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "os.write(file, b'+')\n"
        "for _ in range(300_000): pass\n"
        "os.write(file, b'-')\n"
    )
    jobs = [job(f"materialize-{number}", script, kind="materialize") for number in range(2)]
    make(*jobs).run(once=True)
    assert journal.read_text() == "+-+-"


def test_definitions_that_cannot_be_read_leave_the_jobs_as_they_were(folder: StateFolder) -> None:
    plans: list[tuple[Job, ...] | StoreError] = [(job("a", "pass"),), StoreError("the registry is away.")]
    heard = Heard()

    def plan() -> tuple[Job, ...]:
        found = plans[0] if len(plans) == 1 else plans.pop(0)
        if isinstance(found, StoreError):
            scheduler.stop()
            raise found
        return found

    scheduler = Scheduler(plan, folder, heard, at_once=1, stop_seconds=60, clock=lambda: NOON, command_of=python)
    scheduler.run()
    assert [each.name for each in scheduler.jobs] == ["a"]
    assert heard.problems == ["the jobs stay as they were: the registry is away."]


def test_the_metrics_are_of_the_state_alone_and_merge_what_jobs_left(folder: StateFolder, make: Make) -> None:
    one, two = job("one", LEAVES), job("two", LEAVES, kind="drift")
    broken = job("broken", "import sys; open(sys.argv[1], 'w').write('x_y{')")
    jobs = (one, two, broken, job("later", "raise SystemExit(9)"))
    make(*jobs).run(once=True)
    families = {each.name: each for each in MonitorCollector(folder, lambda: jobs, frozenset).collect()}
    (left,) = families["x_y"].samples  # the same series of two jobs is one
    assert left.labels == {"due": "2026-01-01T12:00:00+00:00"}
    runs = {(each.labels["task"], each.labels["outcome"]): each.value for each in families["trueup_job_runs"].samples}
    assert (runs["one", "passed"], runs["later", "could_not_run"], runs["later", "passed"]) == (1, 1, 0)
    readable = {each.labels["task"]: each.value for each in families["trueup_job_metrics_readable"].samples}
    assert readable == {"one": 1, "two": 1, "broken": 0, "later": 1}
    times = {each.labels["task"]: each.value for each in families["trueup_job_last_success_timestamp_seconds"].samples}
    assert times == dict.fromkeys(("one", "two", "broken"), NOON.timestamp())


def test_a_full_disk_stops_no_other_job_and_is_said(folder: StateFolder) -> None:
    """The log of one cannot be opened, as a folder is in its place."""
    folder.log_file("one").mkdir()
    heard = Heard()

    class Enough(Heard):
        def problem(self, what: str) -> None:
            heard.problem(what)
            if heard.runs:
                scheduler.stop()

        def finished(self, job: Job, state: JobState) -> None:
            heard.finished(job, state)
            if heard.problems:
                scheduler.stop()

    jobs = (job("one", "pass"), job("two", "pass"))
    scheduler = Scheduler(
        lambda: jobs, folder, Enough(), at_once=1, stop_seconds=60, clock=lambda: NOON, command_of=python
    )
    scheduler.run()
    assert heard.runs == [("two", "passed")]
    (problem,) = heard.problems
    assert problem.startswith("one: it cannot be started: ")
    assert problem.endswith("one.log: is a directory.")
    assert folder.read("one") == JobState()


def test_a_state_that_is_none_of_ours_is_an_error_that_says_which_file(folder: StateFolder, make: Make) -> None:
    (folder.path / "one.json").write_text("{")
    with pytest.raises(StoreError, match=r"one\.json is not a job's state.*Remove it"):
        make(job("one", "pass")).run(once=True)
    (folder.path / "one.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="of format 99"):
        make(job("one", "pass")).run(once=True)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a directory"):
        StateFolder(tmp_path / "file" / "state")


def test_a_jobs_name_leads_nowhere_else(folder: StateFolder) -> None:
    assert folder.metrics_file("quality-../../etc/passwd").parent == folder.path
