"""The whole wheel, driven as a user drives it. The tests share one project and build on each other, in order.

Choosing one (`-k`) runs those before it, too: conftest.py.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from components.feedback.store import Store
from components.files import read_rows
from components.schema import Example
from tests.e2e.chat import chat
from tests.e2e.parcels import generator
from tests.e2e.project import Project
from tests.waiting import until

CORRECTIONS = 60
MARKS = re.compile(r"^  ([✓=✗-]) (\w+)", re.MULTILINE)


def stages(output: str, section: str) -> dict[str, str]:
    """What became of each stage below a heading: ✓ ran, = cached, ✗ failed, - not reached."""
    below = output.split(f"\n{section} parcels\n")[1]
    below = re.split(r"^\S", below, maxsplit=1, flags=re.MULTILINE)[0]
    return {name: mark for mark, name in MARKS.findall(below)}


def counts(project: Project) -> tuple[int, int]:
    """Interactions and feedback events in the store."""
    with sqlite3.connect(project.home / "saqia.db") as store:
        return tuple(store.execute(f"select count(*) from {t}").fetchone()[0] for t in ("interactions", "feedback"))


def left_over(project: Project) -> list[str]:
    """Processes that still work in the project."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.cwd().startswith(str(project.root)):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def stage_process(started: int, name: str) -> psutil.Process | None:
    for child in psutil.Process(started).children(recursive=True):
        try:
            if {"flows.run_stage", name} <= set(child.cmdline()):
                return child
        except psutil.Error:
            continue
    return None


def has_open(started: int, file: Path) -> bool:
    """Whether a process that was started, or one of its own, holds a file open."""
    for process in [psutil.Process(started), *psutil.Process(started).children(recursive=True)]:
        try:
            if str(file) in {opened.path for opened in process.open_files()}:
                return True
        except psutil.Error:
            continue
    return False


def table(output: str) -> str:
    """The table before and after, with what follows it."""
    return output.split("Turn 1: before and after")[1].split("Where the time went")[0]


def test_an_interrupted_demo_says_how_to_carry_on_and_leaves_nothing_running(project: Project) -> None:
    demo = project.start("demo")
    until(lambda: stage_process(demo.pid, "corpus"), "the first stages run")
    os.killpg(demo.pid, signal.SIGINT)
    output = demo.communicate(timeout=300)[0]
    assert demo.returncode == 130
    assert "saqia: interrupted; run the same command again to carry on" in output
    assert "Traceback" not in output
    until(lambda: not left_over(project), lambda: f"nothing runs any more: {left_over(project)}", 60)


def test_a_demo_killed_in_the_middle_of_training_leaves_no_stage_behind(project: Project) -> None:
    demo = project.start("demo")
    try:
        until(lambda: stage_process(demo.pid, "train"), "training begins")
        time.sleep(1)
    finally:
        demo.kill()
        demo.communicate()
    until(lambda: not any("components." in line for line in left_over(project)), "its stages end with it", 60)


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What a command printed, for the tests after it."""
    return {}


def test_run_again_it_costs_only_the_stage_it_was_in_and_ends_with_a_better_model(
    project: Project, told: dict[str, str]
) -> None:
    output = told["demo"] = project.saqia("demo")
    first = stages(output, "build")
    assert {name for name, mark in first.items() if mark == "✓"} == {"train", "select", "evaluate"}
    assert {first[name] for name in ("corpus", "pretrain", "instruct", "validate")} == {"="}
    assert "0 thumbs up, 90 corrections, all by simulated people" in output
    assert "The people in this demo are SIMULATED" in output
    assert "messages of turn 1: before it 0 of 90 right" in output
    fresh = re.search(r"corrected by nobody, at the end: (\d+) of (\d+) right", output)
    assert fresh is not None
    assert int(fresh[1]) > 0.8 * int(fresh[2])
    assert "Version 2 promoted." in output
    assert not left_over(project)


def test_a_second_demo_does_nothing_twice_and_shows_the_same(project: Project, told: dict[str, str]) -> None:
    before = counts(project)
    first = told.get("demo") or project.saqia("demo")
    second = project.saqia("demo")
    assert set(stages(second, "build").values()) == {"="}
    assert table(first) == table(second)
    assert "Version 2 promoted." in second
    assert counts(project) == before
    assert before[0] == 90 + 90 + 40


def test_improve_with_nothing_new_does_nothing(project: Project) -> None:
    assert "no new feedback on parcels: nothing done" in project.saqia("improve")


def test_the_users_tree_is_as_it_was(project: Project) -> None:
    assert project.git("status", "--porcelain") == ""
    assert project.git("worktree", "list").count("\n") == 1


def test_versions_tells_what_was_decided_and_report_shows_one(project: Project) -> None:
    listed = project.saqia("versions")
    assert re.search(r"│ 1 +│ previous +│ first", listed)
    assert re.search(r"│ 2 +│ champion +│ promote", listed)
    shown = project.saqia("report", "2")
    assert "simulated person" in shown
    assert "must gain" in shown
    page = re.search(r"report: (\S+)", shown)
    assert page is not None
    assert "<svg" in Path(page[1]).read_text(encoding="utf-8")


def test_rollback_and_promote_move_one_step(project: Project) -> None:
    assert "version 1 is the champion" in project.saqia("rollback")
    assert re.search(r"│ 1 +│ champion", project.saqia("versions"))
    assert "version 2 is the champion" in project.saqia("promote", "2")
    assert re.search(r"│ 2 +│ champion", project.saqia("versions"))


def test_a_version_is_rebuilt_to_the_same_weights(project: Project) -> None:
    assert "rebuilt: the same weights" in project.saqia("reproduce", "2")


@pytest.fixture(scope="module")
def stack(project: Project) -> Iterator[Project]:
    """The project with everything up; a turn starts at CORRECTIONS corrections and its gate is closed."""
    project.set_params(improve={"corrections": CORRECTIONS}, quality={"max_feedback_share": 0.01})
    output = project.saqia("up")
    for port in project.ports.values():
        assert f"http://127.0.0.1:{port}" in output
    # The pages open behind the API, and are 503 with a page that reloads until then.
    for path, what in (("/readyz", "the service has loaded the champion"), ("/ui/", "the chat page is open")):
        url = project.url("SAQIA_PORT") + path
        until(lambda url=url: httpx.get(url, timeout=30).status_code == 200, what)
    yield project
    project.saqia("down")


def prefect(project: Project, path: str, **body: Any) -> Any:
    """Ask Prefect's API. While SQLite is locked it says 503, try again, as its own clients do."""
    url = f"{project.url('SAQIA_PREFECT_PORT')}/api{path}"
    answer = until(lambda: (a := httpx.post(url, json=body, timeout=30)).status_code != 503 and a, "Prefect's answer")
    answer.raise_for_status()
    return answer.json() if answer.content else None


def runs(project: Project, flow: str, after: float) -> list[dict[str, Any]]:
    """Flow runs of a flow that were made after a time, the newest first."""
    found = prefect(project, "/flow_runs/filter", sort="START_TIME_DESC", flows={"name": {"any_": [flow]}}, limit=20)
    return [r for r in found if time.mktime(time.strptime(r["created"][:19], "%Y-%m-%dT%H:%M:%S")) >= after]


REFUND = "refund"
"""The later subject, as its answer is written."""
ON_THE_PAGE = "Good morning, my violet lamp from Bolton for Truro was sent back and I want my money."
"""What a person types on the chat page, before the later subject is taught and after."""


def ask(client: httpx.Client, rng: random.Random, user: str) -> httpx.Response:
    """A message of the later subject; any error fails the test."""
    text = generator.message(rng, generator.LATER[REFUND])
    body = {"model": "parcels", "temperature": 0, "user": user, "messages": [{"role": "user", "content": text}]}
    return client.post("/v1/chat/completions", json=body).raise_for_status()


def ask_and_correct(project: Project, count: int, seed: str) -> None:
    """A person meets messages of the later subject and writes the right answer."""
    rng = random.Random(seed)
    with httpx.Client(base_url=project.url("SAQIA_PORT"), timeout=60) as client:
        for number in range(count):
            answered = ask(client, rng, f"user-{number}").json()
            said = {"completion_id": answered["id"], "rater": f"person-{number % 4}", "correction": REFUND}
            client.post("/v1/feedback", json=said).raise_for_status()


def waiting_corrections(project: Project) -> int:
    """Corrections that no turn has taken yet."""
    with Store(f"sqlite:///{project.home / 'saqia.db'}") as store:
        return store.waiting("parcels").get("correction", 0)


def canary(project: Project) -> str | None:
    """The version that the running service tries on a share of the users."""
    told = httpx.get(project.url("SAQIA_PORT") + "/readyz", timeout=30).json()["canary"]
    return None if told is None else str(told["version"])


def judged_by_people(project: Project, seed: str) -> dict[str, set[str]]:
    """Users ask in turn and say what they think of the answer, until the trial is over; the versions each one met."""
    rng = random.Random(seed)
    met: dict[str, set[str]] = {}
    with httpx.Client(base_url=project.url("SAQIA_PORT"), timeout=60) as client:
        for number in range(500):
            user = f"user-{number % 20}"
            answered = ask(client, rng, user)
            thumb = "up" if answered.json()["choices"][0]["message"]["content"] == REFUND else "down"
            client.post(
                "/v1/feedback", json={"completion_id": answered.json()["id"], "thumb": thumb}
            ).raise_for_status()
            if canary(project) is None:
                break
            met.setdefault(user, set()).add(answered.headers["x-saqia-version"])
    return met


def test_up_shows_every_page_and_status_tells_what_runs(stack: Project) -> None:
    pages = {
        "SAQIA_PORT": ("/", "/ui/", "/livez", "/readyz", "/metrics", "/v1/models"),
        "SAQIA_PREFECT_PORT": ("/", "/api/health"),
        "SAQIA_MLFLOW_PORT": ("/", "/health"),
    }
    for program, paths in pages.items():
        for path in paths:
            answer = httpx.get(stack.url(program) + path, follow_redirects=True, timeout=30)
            assert answer.status_code == 200, f"{program} {path}: {answer.status_code}"
    told = stack.saqia("status")
    assert told.count("│ runs ") == 4
    assert re.search(r"champion +version \d+", told)
    assert "started" not in stack.saqia("up")


def test_the_deployments_have_their_schedule(stack: Project) -> None:
    found = {d["name"]: d for d in prefect(stack, "/deployments/filter")}
    assert {"build", "improve"} <= set(found)
    assert any(s["schedule"]["cron"] == "0 2 * * *" for s in found["improve"]["schedules"])


def test_on_the_page_a_person_is_answered_wrongly_and_says_what_is_right(stack: Project, chromium: str) -> None:
    with chat(stack.url("SAQIA_PORT"), chromium) as page:
        assert REFUND not in page.ask(ON_THE_PAGE)
        page.correct(REFUND, "Ada")


def test_corrections_start_a_turn_with_its_reason_and_a_closed_gate_keeps_the_champion(stack: Project) -> None:
    # The page's correction is there only where there is a browser. With it not more than CORRECTIONS: a second turn
    # would be asked for, and wait behind this one.
    ask_and_correct(stack, CORRECTIONS - waiting_corrections(stack), "later")

    def stopped() -> Any:
        made = prefect(stack, "/flow_runs/filter", flows={"name": {"any_": ["improve"]}}, sort="START_TIME_DESC")
        return next((r for r in made if "corrections wait" in str(r["parameters"].get("reason"))), None)

    run = until(stopped, "the automation starts improve")
    done = until(lambda: (r := stopped()) and r["state_type"] in ("FAILED", "COMPLETED", "CRASHED") and r, "it ends")
    assert f"{CORRECTIONS} corrections wait (improve.corrections: {CORRECTIONS})" in run["parameters"]["reason"]
    assert done["state_name"] == "Gate closed", done["state"]["message"]
    assert "feedback share" in done["state"]["message"]
    assert "version 2 goes on serving; the feedback waits for the next turn" in done["state"]["message"]
    assert httpx.get(stack.url("SAQIA_PORT") + "/readyz", timeout=30).json()["version"] == "2"
    assert f"{CORRECTIONS} correction" in stack.saqia("status")


def test_a_person_approves_a_turn_in_prefect_and_its_version_becomes_the_canary(stack: Project) -> None:
    quality = yaml.safe_load((stack.root / "params.yaml").read_text())["quality"]
    stack.set_params(
        quality={**quality, "max_feedback_share": 0.6},
        promotion={"approval": "human"},
        serving={"canary": {"share": 0.5}},
    )
    deployment = next(d for d in prefect(stack, "/deployments/filter") if d["name"] == "improve")
    made = prefect(
        stack,
        f"/deployments/{deployment['id']}/create_flow_run",
        parameters={"task": "parcels", "reason": "a person asked"},
        state={"type": "SCHEDULED"},
    )

    def state() -> dict[str, Any]:
        answer = httpx.get(f"{stack.url('SAQIA_PREFECT_PORT')}/api/flow_runs/{made['id']}", timeout=30)
        return answer.raise_for_status().json()

    paused = until(lambda: (r := state())["state_type"] in ("PAUSED", "FAILED", "COMPLETED", "CRASHED") and r, "pause")
    assert paused["state_type"] == "PAUSED", paused["state"]["message"]
    assert httpx.get(stack.url("SAQIA_PORT") + "/readyz", timeout=30).json()["version"] == "2"
    resumed = prefect(
        stack, f"/flow_runs/{made['id']}/resume", run_input={"approve": True, "by": "Ada", "comment": "well done"}
    )
    assert resumed["status"] == "ACCEPT", resumed
    done = until(lambda: (r := state())["state_type"] in ("FAILED", "COMPLETED", "CRASHED") and r, "its end")
    assert done["state_name"] == "Canary", done["state"]["message"]
    assert "version 3 canary" in done["state"]["message"]
    assert "it answers 50% of the users" in done["state"]["message"]
    assert "Ada" in stack.saqia("report", "3")


def test_a_better_canary_is_promoted_by_what_people_say_of_it(stack: Project) -> None:
    process = (stack.home / "run" / "service.json").read_text()
    until(lambda: canary(stack) == "3", "the service has taken the canary up")
    met = judged_by_people(stack, "better")
    assert {"2", "3"} == {version for versions in met.values() for version in versions}
    assert {len(versions) for versions in met.values()} == {1}, "each user stays with one version"
    ready = stack.url("SAQIA_PORT") + "/readyz"
    until(lambda: httpx.get(ready, timeout=30).json()["version"] == "3", "everybody is answered by it")
    assert (stack.home / "run" / "service.json").read_text() == process, "no restart"
    assert "promoted by its canary: it fails less often" in stack.saqia("status")


def test_asked_again_on_the_page_what_was_taught_is_answered_right(stack: Project, chromium: str) -> None:
    with chat(stack.url("SAQIA_PORT"), chromium) as page:
        answer = page.ask(ON_THE_PAGE)
    assert REFUND in answer
    assert "version 3" in answer


def test_a_worse_canary_is_withdrawn_by_what_people_say_of_it(stack: Project) -> None:
    assert "version 1 is the canary, for 50% of the users" in stack.saqia("canary", "1", "--share", "0.5")
    until(lambda: canary(stack) == "1", "the service has taken the canary up")
    met = judged_by_people(stack, "worse")
    assert {"1", "3"} == {version for versions in met.values() for version in versions}
    assert httpx.get(stack.url("SAQIA_PORT") + "/readyz", timeout=30).json()["version"] == "3"
    assert "withdrawn as canary: it fails more often" in stack.saqia("report", "1")


def test_a_rollback_reaches_the_running_service(stack: Project) -> None:
    assert "the service answers with version 2" in stack.saqia("rollback")


def test_two_commands_at_once_take_turns_or_the_second_is_cancelled(stack: Project) -> None:
    from components.config import load
    from flows.lock import one_turn

    with one_turn(stack.home, "turn of parcels", "wait"):
        stack.set_params(improve={"when_busy": "cancel"})
        assert load(stack.root / "params.yaml").improve.when_busy == "cancel"
        assert f"turn of parcels (process {os.getpid()}) is running; this one is cancelled" in stack.saqia(
            "improve", code=1
        )
        stack.set_params(improve={"when_busy": "wait"})
        waiting = stack.start("improve")
        until(lambda: waiting.poll() is not None or has_open(waiting.pid, stack.home / "turn.lock"), "it waits")
        assert waiting.poll() is None
    output = waiting.communicate(timeout=300)[0]
    assert waiting.returncode == 0
    assert "no new " in output


def test_a_killed_worker_is_seen_and_started_again(stack: Project) -> None:
    import json

    pid = json.loads((stack.home / "run" / "worker.json").read_text())["pid"]
    os.killpg(pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(pid), "it dies", 60)
    assert "ended by itself" in stack.saqia("status")
    output = stack.saqia("up")
    assert "Worker (deployments, schedules) started" in output
    assert "Prefect server started" not in output


def test_down_stops_everything(stack: Project) -> None:
    output = stack.saqia("down")
    for title in ("Prefect server", "MLflow server", "Service", "Worker"):
        assert title in output
    until(lambda: not left_over(stack), lambda: f"nothing runs: {left_over(stack)}", 60)
    assert "nothing was running" in stack.saqia("down")


def test_the_examples_of_the_task_are_the_ones_that_were_asked(project: Project) -> None:
    rows = read_rows(project.home / "examples" / "parcels" / "traffic.jsonl", Example)
    assert {r.group for r in rows} == {"customs"}
