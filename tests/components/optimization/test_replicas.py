"""Several processes train one model: to the same result, however one of them ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from components.pretraining.windows import share as share_windows
from components.training.batches import Encoded, collate, share

ROOT = Path(__file__).parents[3]

TRAININGS = """
    import json, os, signal, sys
    from pathlib import Path
    import torch
    from components.optimization import loop, optimizers, replicas
    from components.optimization.checkpoints import Checkpoints
    from components.stage import StageError

    def train(home, processes, event="", at=-1):
        torch.manual_seed(1)
        first = [torch.nn.Linear(8, 16), torch.nn.Dropout(0.2 if event == "dropout" else 0.0)]
        model = torch.nn.Sequential(*first, *(torch.nn.Linear(16, 16) for _ in range(3)))

        def batch(step):
            if step == at and event == "kill" and replicas.rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            if step == at and event == "stop" and replicas.rank() == 0:
                print("waiting", flush=True)
                signal.pause()
            return torch.randn(6, 8, generator=torch.Generator().manual_seed(step))

        def loss(model, rows):
            return ((model(rows)[:, :8] - rows.flip(1)) ** 2).mean(), len(rows)

        def on_log(step, values):
            if event == "refuse" and step >= at:
                raise StageError("the first process cannot write")

        def share(rows, rank, count):
            return rows[rank::count], len(rows[rank::count]) / len(rows)

        plan = loop.Plan(section="train", steps=20, warmup=0.1, seed=3, batch=batch, loss=loss, share=share,
                         replicas=processes, on_log=on_log, log_every=1)
        history = loop.fit(model, optimizers.muon(model, 0.02), plan, Checkpoints("it", every=4, home=Path(home)))
        print(json.dumps([history.losses, history.tokens, [p.flatten().tolist() for p in model.parameters()]]))

    torch.set_num_threads(1)
    try:
        for training in json.loads(sys.argv[1]):
            train(*training)
    except StageError as error:
        sys.exit(str(error))
"""
Trained = tuple[list[float], int, list[list[float]]]


def _start(*trainings: tuple[object, ...]) -> subprocess.Popen[str]:
    """A process with trainings, each (home, processes, what happens, at which step)."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TRAININGS), json.dumps(trainings, default=str)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _trained(*trainings: tuple[object, ...]) -> list[Trained]:
    """Each training's losses, tokens and weights."""
    out, err = (process := _start(*trainings)).communicate(timeout=300)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert len(lines) == len(trainings), "only the first process comes out of a training"
    return [json.loads(line) for line in lines]


def test_several_processes_end_where_one_ends_but_for_rounding(tmp_path: Path) -> None:
    alone, two, three = _trained(*((tmp_path / str(processes), processes) for processes in (1, 2, 3)))
    losses, tokens, weights = alone
    assert tokens == 6 * 20
    assert losses[-1] < losses[0]
    for shared_losses, shared_tokens, shared_weights in (two, three):
        assert shared_tokens == tokens
        assert shared_losses == pytest.approx(losses, rel=1e-4)
        for shared, own in zip(shared_weights, weights, strict=True):
            assert shared == pytest.approx(own, rel=1e-3, abs=1e-5)


def test_one_of_them_killed_the_training_says_so_and_run_again_ends_at_the_same_bits(tmp_path: Path) -> None:
    unkilled, again = _trained((tmp_path / "unkilled", 2, "dropout"), (tmp_path / "again", 2, "dropout"))
    assert unkilled == again
    broken = _start((tmp_path / "killed", 2, "kill", 10))
    _, err = broken.communicate(timeout=300)
    assert broken.returncode == 1
    assert "a process that trains beside this one was killed by signal 9: run it again" in err
    assert "Traceback" not in err
    assert list((tmp_path / "killed").rglob("checkpoint.pt"))
    resumed, plain = _trained((tmp_path / "killed", 2), (tmp_path / "plain", 2))
    assert resumed == plain


def test_what_stops_the_first_one_stops_all_and_is_said_once(tmp_path: Path) -> None:
    stopped = _start((tmp_path, 3, "refuse", 5))
    _, err = stopped.communicate(timeout=300)
    assert err.strip() == "the first process cannot write"
    assert stopped.returncode == 1


def test_none_outlives_a_first_one_that_is_killed(tmp_path: Path) -> None:
    first = _start((tmp_path, 3, "stop", 5))
    assert first.stdout is not None
    assert first.stdout.readline() == "waiting\n"
    others = psutil.Process(first.pid).children()
    assert len(others) == 2
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    until = time.monotonic() + 30
    while any(_alive(other) for other in others):
        assert time.monotonic() < until, others
        time.sleep(0.02)
    first.communicate()


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _rows(lengths: Sequence[tuple[int, int]]) -> list[Encoded]:
    return [Encoded(np.arange(1, 1 + length), prompt) for length, prompt in lengths]


def test_the_shares_of_a_batch_are_the_batch() -> None:
    batch = collate(_rows([(5, 2), (9, 4), (3, 1), (7, 6), (6, 3)]), pad=0)
    for count in (1, 2, 3, 5):
        parts = [share(batch, rank, count) for rank in range(count)]
        assert sum(weight for _, weight in parts) == pytest.approx(1)
        assert sum(part.tokens for part, _ in parts) == batch.tokens
        targets = [
            (int(part.ids[row, position]), int(target))
            for part, _ in parts
            for row, position, target in zip(part.rows, part.positions, part.targets, strict=True)
        ]
        whole = zip(batch.ids[batch.rows, batch.positions].tolist(), batch.targets.tolist(), strict=True)
        assert sorted(targets) == sorted(whole)
    windows = torch.arange(12).view(4, 3)
    shares = [share_windows(windows, rank, 3) for rank in range(3)]
    assert sum(weight for _, weight in shares) == pytest.approx(1)
    assert sorted(torch.cat([part for part, _ in shares]).tolist()) == windows.tolist()


def test_all_processes_get_what_the_first_one_has() -> None:
    code = """
        import os
        import torch
        from components.optimization import replicas

        torch.set_num_threads(1)
        with replicas.forked(3, 4):
            os.write(1, b"%r " % replicas.of_first(replicas.rank() + 7.0))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.split() == ["7.0"] * 3
