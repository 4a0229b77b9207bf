"""How the processes of a training come about: `train.launcher`.

The training is one function, and each process runs all of it up to the end of the loop; there they share every batch
(components/optimization/replicas.py). The first alone notes what happens, saves checkpoints and goes on to write the
version. A process that dies ends its generation: the next one goes on from the last checkpoint.

| launcher | processes |
|---|---|
| `local` | this one, and for a small model forks of it, one a core |
| `torchrun` | `torchrun.py`: one a GPU (or core) of this machine |
| `ray` | `ray_cluster.py`: workers of Ray Train, on whatever machines the cluster has |

`torchrun -m components.training` and `accelerate launch -m components.training`, typed by hand, are found to be that
by their environment and need no setting.
"""

from __future__ import annotations

from collections.abc import Callable

from components import config

Work = Callable[[config.Settings], None]


def run(settings: config.Settings, work: Work) -> None:
    """Have `work(settings)` done by the processes that `train.launcher` names.

    Raises:
        StageError: what one of them cannot do, or they died more often than `train.restarts`.
    """
    from components.training.launchers import member

    if member.launched():
        member.take_part(lambda: work(settings))
    elif settings.train.launcher == "torchrun":
        from components.training.launchers import torchrun

        torchrun.launch(settings, work)
    elif settings.train.launcher == "ray":
        from components.training.launchers import ray_cluster

        ray_cluster.launch(settings)
    else:
        work(settings)
