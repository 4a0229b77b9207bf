"""`saqia demo` (`make run`): the whole wheel, two turns, every part the real one.

Build a model and serve it. Then, twice: send messages of kinds it has never seen, collect
corrections over HTTP, turn the wheel, swap the better model into the running service, ask again.
Only the people are simulated. Interrupted at any point, the next call carries on; once done, a call
finds everything in the cache and shows the same result again.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from components import config
from components.config import Places
from components.stage import StageError
from components.task import Task
from components.task import load as load_task
from flows import environment, preload, stack
from flows.borrowed import borrow, give_back
from flows.by_hand import getting_ready
from flows.lock import hold
from flows.terminal import Terminal, time_line, verdict_table

if TYPE_CHECKING:
    from components.schema import Example
    from flows.people import Diary

SIMULATED = "The people in this demo are SIMULATED: the generator's truth corrects the answers."
TURNS = 2
"""The second one makes it a wheel: what the first one fixed must stay fixed."""
FRESH = 100
"""Messages of the new kinds that nobody corrected, asked after the last turn."""


class Servers:
    """The servers that the demo needs: those that run are used, the others end with the demo."""

    def __init__(self, root: Path, places: Places) -> None:
        self.root = root
        self.places = self._choose_ports(places)
        environment.enter(self.places)
        self._borrowed: list[str] = []
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._service: threading.Thread | None = None

    def _choose_ports(self, places: Places) -> Places:
        chosen: dict[str, int] = {}
        for name, key in (("prefect", "prefect_port"), ("service", "port")):
            port = getattr(places, key)
            free = stack.running(places, name) is not None or not stack.listening(port)
            chosen[key] = port if free else stack.free_port(0, chosen.values())
        return places.model_copy(update=chosen)

    def start(self, name: str) -> None:
        """Start one of the stack's programs and wait until it answers."""
        with self._lock:
            self._borrowed.append(name)
        borrow(self.root, self.places, name)

    def service_soon(self) -> None:
        """Begin to start the service beside other work."""
        if self._service is None:
            self._service = threading.Thread(target=self._start_service, daemon=True)
            self._service.start()

    def _start_service(self) -> None:
        try:
            self.start("service")
        except BaseException as error:
            self._error = error

    def service_now(self, version: str) -> None:
        """Wait until the service answers with this version.

        Raises:
            StageError: it could not be started, or refuses the version.
        """
        from components import registry
        from flows.service import wait_until_served

        self.service_soon()
        assert self._service is not None
        self._service.join()
        if self._error is not None:
            raise self._error
        wait_until_served(registry.get(load_task(config.load().task).name, version), self.places)

    def stop(self) -> None:
        """Stop what this demo started."""
        if self._service is not None:
            self._service.join(timeout=1)
        for name in reversed(self._borrowed):
            give_back(self.places, name)


def run(root: Path, places: Places) -> None:
    """Run the demo.

    Raises:
        StageError: some part of it could not do its work; one line says which and why.
    """
    began = time.time()
    console = Console(highlight=False)
    task = load_task(config.load().task)
    if not task.simulated_people:
        raise StageError(
            f"the demo simulates people from a generator's truth, and task {task.name} has none; "
            "set `task: intake` in params.yaml, or use `saqia run` and `saqia up`"
        )
    console.print(f"[bold]{task.title}[/]\n[yellow]{SIMULATED}[/]\n")
    from flows.people import Diary

    diary = Diary(places.home / "demo" / f"{task.name}.jsonl")
    servers = Servers(root, places)
    terminal = Terminal(console)
    with ExitStack() as ended:
        # two would send every message twice
        ended.enter_context(hold(places.home / "demo" / "lock", "another demo", "cancel"))
        ended.callback(servers.stop)
        if not (places.home / "locks" / task.name).exists():  # nothing was built here yet: every stage will run
            preload.start()
        with (
            terminal.running("The first model"),
            terminal.step("start the Prefect server"),
            # the service has imported its libraries, on the processor that the first stages leave, when it is needed
            getting_ready(task.name, then=servers.service_soon),
        ):
            servers.start("prefect")
        _wheel(terminal, servers, task, diary)
    show_result(console, servers.places, task, diary)
    console.print(time_line(terminal.results))
    console.print(f"\nAll of it took {time.time() - began:.0f} s. See every page:  .venv/bin/saqia up\n")


def _wheel(terminal: Terminal, servers: Servers, task: Task, diary: Diary) -> None:
    from flows import people
    from flows.by_hand import follow

    places = servers.places
    _must(follow(terminal, "build", task.name, "saqia demo"))
    for number, examples in enumerate(people.parts(people.traffic(places, task, "traffic"), TURNS), 1):
        _correct(terminal, servers, task, diary, number, examples)
        _must(follow(terminal, "improve", task.name, "saqia demo: the simulated people's corrections"))
        _ask_again(terminal, servers, task, diary, {f"after-{number}": examples})
    fresh = people.traffic(places, task, "new")[:FRESH]
    _ask_again(terminal, servers, task, diary, {"fresh": fresh})


def _correct(
    terminal: Terminal, servers: Servers, task: Task, diary: Diary, number: int, examples: list[Example]
) -> None:
    """Send a turn's messages to the champion; simulated people correct its answers."""
    from components import registry
    from flows import people

    round, places = f"before-{number}", servers.places
    if len(diary.asked(round)) == len(examples):
        return
    champion = registry.champion(task.name)
    assert champion is not None
    with terminal.running(f"New traffic, turn {number}"):
        with terminal.step(f"wait for the service on {environment.service_url(places)}"):
            servers.service_now(champion.version)
        with terminal.step(f"send {len(examples)} messages of new kinds"):
            tell = partial(terminal.line, "traffic")
            rows = people.ask(places, task, examples, round, champion.version, diary, tell)
        with terminal.step("simulated people correct the answers"):
            thumbs, corrections = people.correct(places, examples, rows, partial(terminal.line, "simulated people"))
        terminal.console.print(f"    {thumbs} thumbs up, {corrections} corrections, all by simulated people")


def _ask_again(
    terminal: Terminal, servers: Servers, task: Task, diary: Diary, rounds: dict[str, list[Example]]
) -> None:
    """Send messages to the version that serves now, or that is the canary."""
    from components import registry
    from flows import people

    champion, canary = registry.champion(task.name), registry.canary(task.name)
    assert champion is not None
    version = canary or champion
    asked_as = f"{task.name}@canary" if canary else None  # the task's own name would reach a share of it only
    missing = {r: rows for r, rows in rounds.items() if len(diary.asked(r)) < len(rows)}
    if not missing:
        return
    who = f"version {version.version}" + (", the canary" if canary else "")
    with terminal.running("The same messages again" if "fresh" not in rounds else "Fresh messages"):
        with terminal.step(f"the running service answers with {who}"):
            servers.service_now(champion.version)
        for round, rows in missing.items():
            with terminal.step(f"send {len(rows)} messages"):
                tell = partial(terminal.line, "traffic")
                people.ask(servers.places, task, rows, round, version.version, diary, tell, asked_as)


def _must(state: object) -> None:
    """Stop the demo where a flow did not get through, with the flow's own words."""
    from prefect.client.schemas import State

    assert isinstance(state, State)
    if not state.is_completed():
        raise StageError(state.message or str(state.name))


def show_result(console: Console, places: Places, task: Task, diary: Diary) -> None:
    """Every version on every set, the verdicts in words, and where to read on."""
    from components import registry
    from components.feedback.store import Store
    from flows import service
    from flows.overview import report_page

    with Store(places.database_url) as store:
        turns = [t for t in store.turns(task.name) if t.state == "closed" and t.version]
    if not turns:
        raise StageError(f"no turn of {task.name} has ended yet")
    made = [(turn, registry.get(task.name, str(turn.version))) for turn in turns]
    titles = {s.name: s.title for s in task.sets} | {
        "target": "new feedback, locked",
        "replay": "old messages (replay)",
        "regression": "fixed cases",
        "preferences": "held-out preference pairs",
    }
    for turn, version in made:
        console.print()
        console.print(verdict_table(version.verdict, titles, f"Turn {turn.number}: before and after"))
        colour = {"promoted": "green", "canary": "yellow"}.get(str(turn.decision), "red")
        console.print(f"[bold {colour}]Version {version.version} {turn.decision}.[/]")
        for reason in version.verdict.reasons:
            console.print(f"  {reason}", markup=False)
        if turn.decision == "canary":
            console.print(f"  {version.history[-1]}", markup=False)
        page = report_page(service.reports_folder(places, task.name) / f"version-{version.version}")
        if page:
            console.print(f"Report: {page}", soft_wrap=True)
    console.print("\nOver HTTP:")
    for number in (n for n in range(1, TURNS + 1) if diary.asked(f"before-{n}")):
        before, after = _right(diary, f"before-{number}"), _right(diary, f"after-{number}")
        console.print(f"  messages of turn {number}: before it {before}, after it {after}")
    console.print(f"  fresh messages of all new kinds, corrected by nobody, at the end: {_right(diary, 'fresh')}")
    console.print(f"[yellow]{SIMULATED}[/]")


def _right(diary: Diary, round: str) -> str:
    rows = diary.asked(round).values()
    return f"{sum(row.right for row in rows)} of {len(rows)} right"
