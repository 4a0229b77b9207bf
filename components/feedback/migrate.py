"""Bringing a store's tables up to date when it is opened, however many processes open it at once."""

from __future__ import annotations

import logging
from pathlib import Path

import sqlalchemy as sa

from components.feedback.database import StoreError, reading, writing

SCRIPTS = Path(__file__).parent / "migrations"


def migrate(engine: sa.Engine) -> None:
    """Apply what is missing, in one transaction that only one opener holds.

    Raises:
        StoreError: the store was made by a newer Saqia than this one.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # which plugins it has is no news
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head()
    with reading(engine) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == newest:
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"feedback store {engine.url.render_as_string(hide_password=True)} is at revision {current}, "
            f"which this Saqia (at {newest}) does not know: update Saqia"
        )
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
