"""What the command line tells about the wheel: status, versions, reports; and moving the aliases by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components import config
from components.config import Places
from components.sentences import say
from components.stage import StageError
from components.task import load as load_task
from components.task import settings as settings_of

DEFAULT_SHARE = 0.1
"""Of the users, for a canary that is tried by hand."""

KINDS = {
    "thumb_up": ("thumb up", "thumbs up"),
    "thumb_down": ("thumb down", "thumbs down"),
    "correction": ("correction", "corrections"),
    "comment": ("comment", "comments"),
}
"""What a kind of feedback is called, one of it and several."""


def task_name(root: Path, task: str | None) -> str:
    """The task asked for, or the one in params.yaml.

    Raises:
        TaskError: there is no such task.
    """
    return load_task(config.load(root / "params.yaml").task if task is None else task, root).name


def show(root: Path, places: Places, task: str | None) -> None:
    """What runs, which version serves, how much feedback waits, how the last turns ended."""
    from flows import evidence, service, stack
    from flows import unserved as unserved_now

    console = Console(highlight=False)
    name = task_name(root, task)
    table = Table(title="Stack", title_justify="left")
    for column in ("program", "state", "process", "page"):
        table.add_column(column)
    for state in stack.states(places):
        what = "[green]runs[/]" if state.healthy else "[yellow]does not answer[/]" if state.running else "stopped"
        if state.stale:
            what = "[yellow]ended by itself[/] (see its log)"
        table.add_row(
            state.program.title,
            what,
            str(state.running.pid) if state.running else "",
            state.program.url if state.running else "",
        )
    for program in stack.programs(places):
        for leftover in stack.left_behind(places, program):
            what = f"[yellow]left by an interrupted command[/], port {', '.join(map(str, leftover.ports)) or 'none'}"
            table.add_row(program.title, what, str(leftover.process.pid), "saqia down ends it")
    for program, owner in stack.strangers(places):
        table.add_row(program.title, f"[yellow]port {program.port} is held by another[/]", escape(owner), "")
    console.print(table)
    from components import registry
    from components.feedback import unserved
    from components.feedback.store import Store

    champion, candidate = registry.champion(name), registry.candidate(name)
    console.print(f"\ntask {name}")
    console.print(f"  champion    {f'version {champion.version}' if champion else 'none yet: saqia build'}")
    if candidate and (champion is None or candidate.version != champion.version):
        console.print(f"  candidate   version {candidate.version}")
    ready = service.readiness(places)
    if ready is not None:
        console.print(f"  service     {ready.get('reason', '')}")
    canary = registry.canary(name)
    if canary is not None and canary.trial is not None:
        so_far = ((ready or {}).get("canary") or {}).get("so_far") or "no service is judging it now"
        console.print(f"  canary      version {canary.version}, {canary.trial.share:.0%} of the users: {so_far}")
    with Store(places.database_url) as store:
        waiting = store.waiting(name)
        counts = ", ".join(f"{n} {KINDS[kind][n != 1]}" for kind, n in waiting.items() if n)
        settings = settings_of(name, root)
        behind = unserved_now.waiting(store, name)
        limit = unserved.starts_at(behind, settings.improve.corrections)
        new = "new since the last turn" if behind else "waiting"
        line = f"  feedback    {counts or 'none'} {new} (a turn starts at {limit} corrections)"
        console.print(line, markup=False, soft_wrap=True)
        if behind:
            console.print(f"              {unserved.in_words(behind)}", markup=False, soft_wrap=True)
        for line in evidence.lines(places, name, settings, champion.version if champion else None, behind):
            console.print(f"  {line}", markup=False, soft_wrap=True)
        since = {v.version: v.history[-1] for v in registry.versions(name) if v.history and "canary" not in v.aliases}
        for turn in store.turns(name)[-5:]:
            ended = f"version {turn.version}, {turn.decision}" if turn.state == "closed" else turn.state
            if turn.decision == "canary" and (became := since.get(str(turn.version))):
                ended += f"; {became}"
            console.print(f"  turn {turn.number:<6} {ended}", markup=False, soft_wrap=True)


def list_versions(root: Path, places: Places, task: str | None) -> None:
    """Every version of a task."""
    from components import registry

    name = task_name(root, task)
    table = Table(title=f"Versions of {name}", title_justify="left")
    for column in ("version", "is", "verdict", "made", "commit", "why"):
        table.add_column(column)
    found = registry.versions(name)
    for version in found:
        table.add_row(
            version.version,
            ", ".join(version.aliases),
            version.verdict.decision,
            f"{version.created_at:%Y-%m-%d %H:%M}",
            (version.lineage.git_commit or "")[:10],
            version.verdict.reasons[0] if version.verdict.reasons else "",
        )
    if not found:
        raise StageError(f"{name} has no version yet: saqia build --task {name}")
    Console(highlight=False).print(table)


def show_report(root: Path, places: Places, task: str | None, version: str) -> None:
    """A version's verdict and figures, and where its report lies."""
    from components import registry
    from flows import service
    from flows.terminal import verdict_table

    name = task_name(root, task)
    found = registry.get(name, version)
    console = Console(highlight=False)
    console.print(f"{name} version {found.version}{' (' + ', '.join(found.aliases) + ')' if found.aliases else ''}")
    for reason in found.verdict.reasons:
        console.print(f"  {reason}", markup=False)
    if found.verdict.simulated_feedback:
        console.print("  The corrections were written by a simulated person (the generator's truth).")
    if found.verdict.comparisons:
        console.print(verdict_table(found.verdict))
    for event in found.history:
        console.print(f"  {event}", markup=False)
    page = report_page(service.reports_folder(places, name) / f"version-{found.version}")
    typer.echo(f"report: {page}" if page else "report: its page is no longer on this machine")


def report_page(folder: Path) -> Path | None:
    """The HTML report in a folder of kept reports."""
    pages = sorted(folder.glob("**/report.html")) or sorted(folder.glob("evaluation/*.html"))
    return pages[0] if pages else None


def move(root: Path, places: Places, action: str, task: str | None, version: str | None) -> None:
    """Promote or roll back by hand, and wait until the running service follows."""
    from components import registry
    from flows.service import wait_until_served

    name = task_name(root, task)
    if action == "promote":
        assert version is not None
        chosen = registry.promote(name, version, by=say("by_person"))
    else:
        chosen = registry.rollback(name, by=say("by_person"))
    typer.echo(f"{name}: version {chosen.version} is the champion")
    typer.echo(wait_until_served(chosen, places))


def try_out(root: Path, places: Places, task: str | None, version: str, share: float | None) -> None:
    """Make a version the canary by hand."""
    from components import registry

    name = task_name(root, task)
    wanted = share or settings_of(name, root).serving.canary.share or DEFAULT_SHARE
    chosen = registry.try_out(name, version, wanted, by=say("by_person"))
    typer.echo(f"{name}: version {chosen.version} is the canary, for {wanted:.0%} of the users")
    typer.echo("a running service takes it up and promotes or withdraws it by what people say: saqia status")


def withdraw(root: Path, places: Places, task: str | None) -> None:
    """End a canary's trial by hand."""
    from components import registry

    name = task_name(root, task)
    canary = registry.canary(name)
    if canary is None:
        raise StageError(f"{name} has no canary: nothing to withdraw")
    registry.refuse(name, canary.version, say("withdrawn_by", by=say("by_person")))
    typer.echo(f"{name}: version {canary.version} is canary no longer; the champion has all the traffic")


def reproduce(root: Path, places: Places, task: str | None, version: str, force: bool) -> None:
    """Rebuild a version from what is recorded with it, and compare the weights' hash."""
    import subprocess

    from components import layout, registry
    from components.models import read_manifest, tensor_hash
    from components.optimization.precision import RECORDED
    from flows import workspace

    name = task_name(root, task)
    found = registry.get(name, version)
    commit = found.lineage.git_commit
    if commit is None:
        raise StageError(
            f"version {found.version} of {name} was made outside git, so its code is not recorded; "
            "its dvc.lock and params.yaml are among its artifacts in MLflow"
        )
    typer.echo(f"{name} version {found.version}: rebuilding from commit {commit[:12]}")
    computed_in = read_manifest(registry.local_version(found)).created_by.get("computed_in", "")
    with workspace.checked_out(root, commit, f"{name}-reproduce-{found.version}", name, places) as made:
        command = [sys.executable, "-m", "dvc", "repro", *(["--force"] if force else [])]
        done = subprocess.run(command, cwd=made.root, env={**made.env, RECORDED: computed_in}, check=False)
        if done.returncode != 0:
            raise StageError(f"version {found.version} of {name} could not be rebuilt: the last line above says why")
        rebuilt = tensor_hash(made.root / layout.adapter(name))
    if rebuilt != found.sha256:
        raise StageError(
            f"rebuilt, but the weights differ: {rebuilt[:16]} instead of {found.sha256[:16]}; "
            "another machine, thread count or library version sums in another order"
        )
    typer.echo(f"rebuilt: the same weights, {rebuilt[:16]}")
