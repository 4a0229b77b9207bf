"""What every stage's `main` shares: settings in, one clear line out when it can't.

if __name__ == "__main__":
    stage.run(main)
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components import config, layout
from components.files import DataError, replacing_folder, write_json
from components.lifetime import end_with_parent
from components.models import ModelError
from components.task import TaskError, parameters


class StageError(RuntimeError):
    """A stage cannot do its work; the message is one line that says why and what to do."""


def write_not_used(folder: Path, base: str) -> None:
    """What a stage that builds the local base leaves where `model.base` names another one."""
    with replacing_folder(folder) as temporary:
        write_json(temporary / "not-used.json", {"model.base": base, "why": "only a local base is built here"})
    logging.getLogger(__name__).info("model.base is %s: nothing to build here", base)


OF_NO_STAGE = frozenset({"improve", "judge", "review", "serving", "teacher"})
"""Sections of params.yaml that commands, flows and the service read, and no stage."""


def not_applied(settings: config.Settings) -> str | None:
    """What the task asks for and params.yaml does not hold, in words. Flows write it there, in a folder of their own; a
    stage cannot apply it by itself, since DVC tracks params.yaml and would take the result for that of other values."""
    wanted = config.parse(parameters(settings.task)).model_dump(exclude=set(OF_NO_STAGE))
    keys = list(_different(wanted, settings.model_dump()))
    if not keys:
        return None
    return (
        f"params.yaml is read alone: what {layout.task_folder(settings.task)} says of {', '.join(keys)} is applied by "
        f"`saqia run {settings.task}`; to have it here write it into params.yaml (docs/how-to/configure.md)"
    )


def _different(wanted: Mapping[str, Any], there: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Full paths of the keys whose values differ."""
    for key, value in wanted.items():
        if isinstance(value, Mapping) and isinstance(there.get(key), Mapping):
            yield from _different(value, there[key], f"{above}{key}.")
        elif value != there.get(key):
            yield f"{above}{key}"


EXPECTED = (StageError, config.ConfigError, DataError, TaskError, ModelError)


def said_by_system(error: OSError) -> str:
    """One line for what the operating system refused, and what to do about it."""
    if isinstance(error, shutil.Error):  # copying a folder: a list of what could not be copied, and why
        _, target, reason = error.args[0][0]
        full = "No space left" in str(reason)
        error = OSError(errno.ENOSPC if full else 0, "No space left on device" if full else str(reason), str(target))
    where = error.filename or f"a file under {Path.cwd()}"
    remedy = {
        errno.ENOSPC: "free some space and run it again",
        errno.EDQUOT: "free some space and run it again",
        errno.EROFS: "make it writable, or move the state with SAQIA_HOME",
        errno.EACCES: "give this user the right to it, or move the state with SAQIA_HOME",
    }.get(error.errno or 0, "")
    said = f"{error.strerror or error}: {where}"
    return f"{said}; nothing is half-written: {remedy}" if remedy else said


def run(main: Callable[[config.Settings], None]) -> None:
    """Run a stage and exit: 0 when done, 1 with one line on standard error when it can't.
    An error that nobody foresaw also ends in one line; its stack trace goes to
    `<home>/logs/<stage>.log`.
    """
    if "DVC_STAGE" in os.environ:
        end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    name = main.__module__ if main.__module__ != "__main__" else Path(sys.argv[0]).parent.name
    try:
        settings = config.load(layout.PARAMS)
        if "SAQIA_STARTED_BY" not in os.environ:  # by hand: a flow has written into params.yaml what holds for its task
            unheard = not_applied(settings)
            if unheard is not None:
                logging.getLogger(name).warning("%s: note: %s", name, unheard)
        main(settings)
    except EXPECTED as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; run it again to carry on")
    except OSError as error:
        sys.exit(f"{name}: {said_by_system(error)}")
    except Exception as error:
        log = config.places().home / "logs" / f"{name}.log"
        where = f"; the stack trace is in {log}"
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(traceback.format_exc(), encoding="utf-8")
        except OSError:
            traceback.print_exc()
            where = ""
        sys.exit(f"{name}: {type(error).__name__}: {error}{where}")
