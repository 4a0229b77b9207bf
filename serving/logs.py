"""The service's log: one JSON object a line, with the request's id and without secrets or messages.

What was asked and answered is logged only where `serving.log_messages` says so. Keys and
passwords are blotted out of every line, whoever wrote it.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from components.feedback.keys import PREFIX
from serving.access.context import CURRENT

SECRETS = (
    (re.compile(rf"({PREFIX}[A-Za-z0-9_-]{{4}})[A-Za-z0-9_-]{{20,}}"), r"\1…"),
    (re.compile(r"(://[^:/@\s\"]*:)[^@/\s\"]+@"), r"\1…@"),
    (re.compile(r"((?:Bearer|Basic)\s+)(?!" + PREFIX + r")[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), r"\1…"),
)
"""Our own keys; the password of a database or tracking URL; whatever follows Bearer or Basic."""

LEVELS = {
    "saqia": logging.INFO,
    "bentoml": logging.INFO,
    "uvicorn.error": logging.INFO,
    "uvicorn.access": logging.WARNING,
    "alembic": logging.WARNING,
}
"""Others speak up only to warn; our own line a request is enough."""


def without_secrets(text: str) -> str:
    """The text with keys and passwords blotted out."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


class Lines(JsonFormatter):
    """A record as one line of JSON."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "error"},
            timestamp="time",
            json_ensure_ascii=False,
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        context = CURRENT.get()
        if context is not None and context.request:
            log_data.setdefault("request", context.request)

    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


def configure() -> None:
    """From now on every logger of this process writes such lines to standard error."""
    out = logging.StreamHandler()
    out.setFormatter(Lines())
    root = logging.getLogger()
    root.handlers[:] = [out]
    root.setLevel(logging.WARNING)
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.handlers:
            logger.handlers.clear()  # BentoML's, uvicorn's and MLflow's own formats
            logger.propagate = True
    logging.captureWarnings(True)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)
