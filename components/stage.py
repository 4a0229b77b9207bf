"""What every stage's `main` shares: settings in, one clear line out when it can't.

if __name__ == "__main__":
    stage.run(main)
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from components import config, layout
from components.files import DataError
from components.models import ModelError
from components.task import TaskError


class StageError(RuntimeError):
    """A stage cannot do its work; the message is one line that says why and what to do."""


EXPECTED = (StageError, config.ConfigError, DataError, TaskError, ModelError)


def run(main: Callable[[config.Settings], None]) -> None:
    """Run a stage and exit: 0 when done, 1 with one line on standard error when it can't.

    An error that nobody foresaw also ends in one line; its stack trace goes to
    `<home>/logs/<stage>.log`.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    name = main.__module__ if main.__module__ != "__main__" else Path(sys.argv[0]).parent.name
    try:
        main(config.load(layout.PARAMS))
    except EXPECTED as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{name}: interrupted; run it again to carry on")
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
