"""The `saqia` command. Nothing heavy is imported before it is known which command runs."""

from __future__ import annotations

import signal
import sys
from typing import Any

import typer

from flows.commands import own_task, people, stack, versions, wheel

app = typer.Typer(
    name="saqia",
    help="Your examples become a small model of your own; what people say about its answers becomes a better one.\n\n"
    "Start with `saqia demo`: two whole turns of the wheel on a task that comes with the project.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)
for theme in (wheel, own_task, stack, versions, people):
    app.add_typer(theme.app)


INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended: 128 + SIGINT."""


def _interrupted(signum: int, frame: Any) -> None:
    """Being asked to end is treated like Ctrl-C: what was started for this command ends with it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> Any:
    """Run the command; an error is one line on standard error and a non-zero exit code."""
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        return app(arguments)
    except (KeyboardInterrupt, SystemExit) as ended:
        # typer turns Ctrl-C into exit code 130, as shells do, without a word on what to do
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:
            raise
        print("saqia: interrupted; run the same command again to carry on", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        from components.stage import EXPECTED
        from flows.environment import NoProject

        if isinstance(error, (*EXPECTED, NoProject)):
            sys.exit(f"saqia: {error}")
        if isinstance(error, OSError):
            from components.stage import said_by_system

            sys.exit(f"saqia: {said_by_system(error)}")
        import traceback

        from components import config

        log = config.places().home / "logs" / "saqia.log"
        where = ""
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(traceback.format_exc(), encoding="utf-8")
            where = f"; the stack trace is in {log}"
        except OSError:
            traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0]
        sys.exit(f"saqia: {type(error).__name__}: {first}{where}")


if __name__ == "__main__":
    main()
