"""dvc.yaml's graph as Prefect tasks: one per stage, in its order, side by side where it allows.

Each stage runs as a process of its own (`flows.run_stage`): its lines go to Prefect's log and
to the terminal, and it ends when the flow ends, however that ends. Stages that DVC knows to be
unchanged are not started at all; they appear as `Cached`.
"""

from __future__ import annotations

import graphlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import partial
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State
from prefect.futures import PrefectFuture, wait
from prefect.logging import get_run_logger
from prefect.states import Completed

from components.config import ImproveSettings
from components.stage import StageError
from flows import elsewhere, preload
from flows.results import Node, Outcome, Result, StageFailed
from flows.workspace import Workspace

GATES = frozenset({"validate"})
"""Stages whose failure is an answer about the data, not an accident."""


def graph(workspace: Workspace) -> list[Node]:
    """dvc.yaml's stages in topological order, each with what it needs and whether it must run.

    Raises:
        StageError: dvc.yaml or dvc.lock cannot be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc.rwlock").setLevel(logging.ERROR)  # a killed turn's lock is no news: it heals itself
    try:
        repo = Repo(str(workspace.root), _wait_for_lock=True)
        _restore(repo)
        edges = repo.index.graph
        needs = {s.name: sorted({n.name for n in edges.successors(s) if n.cmd}) for s in edges if s.cmd}
        described = {s.name: (s.desc or "", s.meta or {}) for s in edges if s.cmd}
        changed = {str(key).rpartition(":")[2] for key in repo.status()}
    except DvcException as error:
        raise StageError(f"dvc.yaml: {' '.join(str(error).split())}") from error
    nodes: list[Node] = []
    must: set[str] = set()
    for name in graphlib.TopologicalSorter(needs).static_order():
        description, meta = described[name]
        if name in changed or must & set(needs[name]):
            must.add(name)
        nodes.append(
            Node(
                name=name,
                description=description,
                needs=tuple(needs[name]),
                pool=meta.get("pool"),
                gate=bool(meta.get("gate", name in GATES)),
                changed=name in must,
            )
        )
    return nodes


def _restore(repo: Any) -> None:
    """Put outputs that the lock names and the cache holds in place, so that their stages need not start."""
    from dvc.exceptions import CheckoutError

    known = [s.addressing for s in repo.index.stages if s.outs and all(o.hash_info for o in s.outs)]
    if not known:
        return
    try:
        repo.checkout(targets=known, force=True, allow_missing=True)
    except CheckoutError:
        return  # something the lock names is no longer in the cache: its stage runs again


def start_and_follow(name: str, root: str, env: dict[str, str], line: Callable[[str], None]) -> Outcome:
    """Run `flows.run_stage` for one stage and pass its lines on as they come.

    Raises:
        StageFailed: with the last line that the stage wrote; retryable if it was killed rather than gave up.
    """
    read, write = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.run_stage", name, "--report-fd", str(write)],
            cwd=root,
            env={**env, **preload.variables(), "PYTHONUNBUFFERED": "1", "SAQIA_STARTED_BY": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write,),
            process_group=0,
            text=True,
            errors="replace",
        )
    finally:
        os.close(write)
    last = ""
    with _running(process), os.fdopen(read) as report:
        assert process.stdout is not None
        for text in process.stdout:
            text = text.rstrip().rpartition("\r")[2]
            if text.strip():
                last = text.strip()
                line(text)
        process.wait()
        written = report.read()
    told = json.loads(written) if written else {}
    if told.get("outcome") in ("ran", "cached"):
        return "cached" if told["outcome"] == "cached" else "ran"
    if not told:
        raise StageFailed(name, f"{name}: its process was killed (exit {process.returncode})", retryable=True)
    code = told.get("exit")
    if code is None:
        raise StageFailed(name, f"{name}: {told['error']}", retryable="lock" in told["error"].lower())
    killed = code < 0 or code > 128
    said = last if last and not killed else f"{name}: killed by signal {-code if code < 0 else code - 128}"
    raise StageFailed(name, said, retryable=killed)


_processes: set[subprocess.Popen[str]] = set()
_stopping = threading.Event()


@contextmanager
def _running(process: subprocess.Popen[str]) -> Any:
    _processes.add(process)
    try:
        if _stopping.is_set():
            _end(process)
        yield
    finally:
        _processes.discard(process)
        if process.poll() is None:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def stop_stages() -> None:
    """End every stage that this process started: for an interrupted flow."""
    _stopping.set()
    for process in list(_processes):
        _end(process)


def _helps(task: Any, task_run: Any, state: State[Any]) -> bool:
    """Retry only what was killed or found the workspace locked; an error in words stays one."""
    try:
        state.result()
    except StageFailed as error:
        return error.retryable and not _stopping.is_set()
    except Exception:
        return True
    return False


def run(
    workspace: Workspace,
    show: Callable[[str, str], None] | None = None,
    finished: Callable[[Result], None] | None = None,
    only: Iterable[str] | None = None,
    known: list[Node] | None = None,
) -> list[Result]:
    """Run the workspace's graph inside the current flow; return what became of each stage, in order.

    `known` is the graph where the caller has read it already, which takes two seconds.
    `show(stage, line)` sees every line, `finished(result)` every end. A failed stage does not
    stop the ones that don't need it.
    """
    settings = workspace.settings()
    _stopping.clear()
    wanted = set(only) if only is not None else None
    nodes = [n for n in known or graph(workspace) if wanted is None or n.name in wanted]
    if any(node.changed for node in nodes):
        preload.start(workspace.env)
    futures: dict[str, PrefectFuture[Any]] = {}
    clock: dict[str, tuple[float, float]] = {}
    ends: queue.Queue[str] = queue.Queue()
    results: dict[str, Result] = {}
    try:
        for node in nodes:
            needs = [futures[n] for n in node.needs if n in futures]
            futures[node.name] = _as_task(node, workspace, settings.improve, clock, show).submit(wait_for=needs)
            futures[node.name].add_done_callback(partial(_put, ends, node.name))
        while len(results) < len(futures):
            try:
                name = ends.get(timeout=1)
            except queue.Empty:
                continue
            results[name] = _result(name, futures[name], clock.get(name, (time.time(), time.time())))
            if finished:
                finished(results[name])
    except BaseException:
        stop_stages()
        wait(list(futures.values()), timeout=10)
        raise
    return [results[n.name] for n in nodes]


def _put(ends: queue.Queue[str], name: str, _: PrefectFuture[Any]) -> None:
    ends.put(name)


def _as_task(
    node: Node,
    workspace: Workspace,
    settings: ImproveSettings,
    clock: dict[str, tuple[float, float]],
    show: Callable[[str, str], None] | None,
) -> Task[..., Any]:
    """One stage as a Prefect task of its name; `clock` gets when it started and ended."""

    def body() -> State[Any]:
        started = time.time()
        logger = get_run_logger()

        def line(text: str) -> None:
            logger.info(text)
            if show:
                show(node.name, text)

        try:
            if not node.changed:
                return Completed(name="Cached", message="nothing that it depends on has changed")
            away = node.pool in settings.pools and elsewhere.run(node, workspace, settings, line, _stopping.is_set)
            outcome = start_and_follow(node.name, str(workspace.root), dict(workspace.env), line)
            if away:
                return Completed(message=f"done by work pool {node.pool}")
            if outcome == "cached":
                return Completed(name="Cached", message="made before from the same inputs; taken from DVC's cache")
            return Completed(message="done")
        finally:
            clock[node.name] = (clock.get(node.name, (started, started))[0], time.time())

    # No tags: for each, Prefect asks its server for a concurrency slot. That collides with the write of the end
    # before it, SQLite refuses, and the client waits two seconds before it asks again.
    return Task(
        body,
        name=node.name,
        description=node.description,
        task_run_name=node.name,
        retries=0 if node.gate else settings.retries,
        retry_delay_seconds=settings.retry_seconds,
        retry_condition_fn=_helps,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


def _result(name: str, future: PrefectFuture[Any], clock: tuple[float, float]) -> Result:
    future.wait()  # the state as this process knows it; the server's copy may lag behind
    state = future.state
    started, took = clock[0], clock[1] - clock[0]
    if state.is_completed():
        outcome: Outcome = "cached" if state.name == "Cached" else "ran"
        return Result(name, outcome, took, started=started)
    if state.is_pending():
        return Result(name, "skipped", error="one that it needs has failed")
    try:
        state.result()
    except StageFailed as error:
        return Result(name, "failed", took, started=started, error=str(error))
    except BaseException as error:
        return Result(name, "failed", took, started=started, error=f"{name}: {error}")
    return Result(name, "failed", took, started=started, error=f"{name}: {state.message or state.name}")
