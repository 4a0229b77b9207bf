"""Flow `improve`: one turn of the wheel, from new feedback to a better version that serves, or to a refusal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect import flow, pause_flow_run
from prefect.client.schemas import State
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from components import config, registry
from components.feedback import unserved
from components.feedback.refusals import OwnRows, Refusal, own_rows
from components.feedback.store import Store, Turn
from components.registry import Version
from components.schema import Need, Verdict
from components.sentences import say
from components.stage import StageError
from components.task import settings as settings_of
from flows import artifacts, rollout, workspace
from flows import unserved as unserved_now
from flows.entry import called, enter, refusal, run_graph
from flows.lock import Needless
from flows.results import Result
from flows.workspace import Workspace


class Approval(RunInput):
    """A person's word on a candidate (`promotion.approval: human`)."""

    approve: bool = False
    by: str = "a person"
    comment: str = ""


@flow(name="improve", flow_run_name=called("improve {task}: {reason}"), persist_result=False)
def improve(task: str | None = None, reason: str = "started by hand") -> State[Any]:
    """Turn the wheel once for a task; with no new feedback, do nothing.

    `reason` is why the run was started; it stands in the run's name, parameters and log.
    """
    return enter("turn", task, reason, _improve, meanwhile=_held_already)


def _held_already(name: str, places: config.Places, holder: str) -> None:
    """Not waiting for a turn that holds everything that was said: it would leave nothing to do.

    Raises:
        Needless: such a turn is running.
    """
    if not holder.startswith(f"turn of {name} "):
        return
    with Store(places.database_url) as store:
        turn = next((t for t in store.turns(name) if t.state == "open"), None)
        if turn is not None and store.latest_seq(name) <= turn.through:
            raise Needless(f"turn {turn.number} of {name} is running and holds all its feedback: nothing done")


def _improve(root: Path, name: str, places: config.Places) -> State[Any]:
    with Store(places.database_url) as store:
        return _turn(root, name, places, store)


def _turn(root: Path, name: str, places: config.Places, store: Store) -> State[Any]:
    champion = registry.champion(name)
    if champion is None:
        raise StageError(f"{name} has no champion to improve: build it first (saqia build --task {name})")
    turn = _open(store, name, root)
    if isinstance(turn, str):
        return Completed(name="Nothing to do", message=turn)
    made_before = _version_of(store, turn)
    if made_before is not None and "canary" in made_before.aliases:
        return _end(store, turn, made_before, "canary", _tried(made_before))
    if made_before is not None and "champion" in made_before.aliases:
        return _end(store, turn, made_before, "promoted", rollout.roll_out(made_before, places))
    rows = own_rows(root, name)
    made = workspace.prepare(
        root, f"{name}-turn-{turn.number:04d}", name, {"turn": inputs(store, name, champion)}, places
    )
    results = run_graph(made, name)
    if any(r.outcome == "failed" for r in results):
        return _stopped(store, turn, made, champion, results)
    verdict = rollout.verdict_of(made)
    workspace.settle_lock(made)
    commit = workspace.record(made, f"turn-{turn.number:04d}")
    version = rollout.register(made, verdict, commit, {"prefect": str(flow_run.id or "")})
    if commit:
        workspace.keep_ref(made, f"version-{version.version}", commit)
    reports = rollout.report(version, workspace.keep_reports(made, f"version-{version.version}"))
    state = _decide(store, turn, version, verdict, champion, places, made.settings(), rows)
    artifacts.verdict(version, verdict, str(reports), state.message or "")
    workspace.remove_stopped(made)
    workspace.remove(made)
    return state


def inputs(store: Store, name: str, champion: Version) -> dict[str, Any]:
    """The `turn` section of params.yaml for the open turn: its feedback, and what a candidate is compared with."""
    best, snapshots = registry.best_served(champion), store.snapshots(name)
    return {
        "snapshots": [s.model_dump(mode="json", exclude_none=True) for s in snapshots],
        "champion": {"version": champion.version, "sha256": champion.sha256},
        "best": {"version": best.version, "sha256": best.sha256} if best else None,
        "unserved": unserved.count(snapshots, champion.lineage.snapshots),
    }


def _open(store: Store, name: str, root: Path) -> Turn | str:
    """The turn to work on, or why there is none.

    An open one is resumed. A turn begins with new corrections, since they can show a gain; or with whatever would
    change the last refusal: where that is more rows and nothing new was said, the refused turn itself runs again.
    """
    if any(turn.state == "open" for turn in store.turns(name)):
        return store.open_turn(name) or f"no open turn of {name}: nothing done"
    waiting = store.waiting(name)
    behind = unserved_now.waiting(store, name)
    limit = settings_of(name, root).improve.corrections
    refused, needs = unserved_now.fulfilled(store, name, root, waiting["correction"], limit)
    if refused is not None and all(item.turn.id != refused.id for item in behind):
        refused, needs = None, ()
    if waiting["correction"] or (needs and any(waiting.values())):
        turn = store.open_turn(name)
        if turn is not None:
            return turn
    if refused is not None and needs:
        return store.reopen_turn(refused, own_rows(root, name))
    still = f"; {unserved.in_words(behind)}" if behind else ""
    if not any(waiting.values()):
        return f"no new feedback on {name}: nothing done{still}"
    counts = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in waiting.items() if n)
    return f"no new corrections on {name} ({counts} waiting): a turn begins with them, for they can show a gain{still}"


def _version_of(store: Store, turn: Turn) -> Version | None:
    """The version that this turn made before it was interrupted, found by the feedback it was taught from."""
    wanted = tuple(store.snapshots(turn.task))
    for version in reversed(registry.versions(turn.task)):
        if version.lineage.snapshots == wanted:
            return version
    return None


def _stopped(store: Store, turn: Turn, made: Workspace, champion: Version, results: list[Result]) -> State[Any]:
    """The graph did not get through: a refused gate gives the feedback back, anything else can be resumed."""
    workspace.keep_reports(made, f"turn-{turn.number:04d}-stopped")
    gates = {node.name for node in _gates(made)}
    serving = f"version {champion.version} goes on serving"
    said = f"{refusal(results, made)}; {serving}"
    if any(r.name in gates for r in results if r.outcome == "failed"):
        store.abandon_turn(turn)
        return Failed(name="Gate closed", message=f"{said}; the feedback waits for the next turn")
    return Failed(message=f"{said}; run `saqia improve` again to carry on with this turn")


def _gates(made: Workspace) -> list[Any]:
    from flows.pipeline import graph

    return [node for node in graph(made) if node.gate]


def _decide(
    store: Store,
    turn: Turn,
    version: Version,
    verdict: Verdict,
    champion: Version,
    places: config.Places,
    settings: config.Settings,
    rows: OwnRows,
) -> State[Any]:
    """Follow the verdict, with a person's approval where that is asked for.

    Args:
        rows: the task's own, as they lay in the user's tree when the turn began or was resumed.
    """
    reasons = "; ".join(verdict.reasons)

    def refused(why: str, needs: tuple[Need, ...]) -> State[Any]:
        refusal = Refusal(needs=needs, own_rows=rows)
        message = f"{why}; version {champion.version} goes on serving, and the feedback waits"
        return _end(store, turn, version, "refused", f"{message}: {unserved.would_change(needs)}", refusal)

    if verdict.decision == "refuse":
        return refused(reasons, verdict.needs)
    if settings.promotion.approval == "human":
        answer = _ask(version, verdict, settings)
        if not answer.approve:
            why = {"by": answer.by, "said": answer.comment}
            said = say("not_approved_because" if answer.comment else "not_approved", **why)
            rollout.refuse(version, said)
            return refused(said, (Need(kind="none"),))
        by = say("by_verdict_and", name=answer.by)
    else:
        by = say("by_verdict")
    if share := settings.serving.canary.share:
        version = rollout.try_out(version, share, by=by)
        return _end(store, turn, version, "canary", f"{reasons}; {_tried(version)}")
    version = rollout.promote(version, by=by)
    return _end(store, turn, version, "promoted", f"{reasons}; {rollout.roll_out(version, places)}")


def _tried(version: Version) -> str:
    share = version.trial.share if version.trial else 0
    return f"it answers {share:.0%} of the users; the service promotes or withdraws it by what they say (saqia status)"


def _ask(version: Version, verdict: Verdict, settings: config.Settings) -> Approval:
    """Pause until a person answers the form in Prefect's UI; silence for `approval_hours` is a no."""
    description = f"Version {version.version} of {version.task}: {'; '.join(verdict.reasons)}. May it serve?"
    get_run_logger().info("%s Waiting for approval in Prefect's UI", description)
    limit = timedelta(hours=settings.promotion.approval_hours)
    try:
        return pause_flow_run(
            wait_for_input=Approval.with_initial_data(description=description),
            timeout=int(limit.total_seconds()),
            key=f"approve-{version.task}-{version.version}",
        )
    except FlowPauseTimeout:
        return Approval(approve=False, by="nobody", comment=f"no answer within {limit}")


def _end(
    store: Store, turn: Turn, version: Version, decision: str, said: str, refusal: Refusal | None = None
) -> State[Any]:
    store.close_turn(turn, version.version, decision, refusal)
    return Completed(
        name=decision.capitalize(),
        message=f"turn {turn.number} of {version.task}, version {version.version} {decision}: {said}",
    )
