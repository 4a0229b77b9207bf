"""`saqia answers`: the tables of structured answers, for whoever queries them in SQL."""

from __future__ import annotations

import sqlalchemy as sa
import typer

from components.config import Places
from components.feedback import tables
from components.feedback.database import reading
from components.feedback.store import Store


def show(places: Places) -> None:
    """Every table with its task, its rows and its columns, the newest schema of a task last."""
    listed = sa.select(tables.answer_tables).order_by(tables.answer_tables.c.created_at)
    with Store(places.database_url) as store, reading(store.engine) as connection:
        where = store.engine.url.render_as_string(hide_password=True)
        found = connection.execute(listed).mappings().all()
        for table in found:
            rows = connection.execute(sa.select(sa.func.count()).select_from(sa.table(table["name"]))).scalar()
            typer.echo(f"{table['name']}  task {table['task']}, rows: {rows}, since {table['created_at']:%Y-%m-%d}")
            typer.echo(f"  interaction_id, served_at, model_version, {', '.join(table['columns'])}")
    typer.echo(f"in {where}" if found else 'no structured answers yet: send "store": true with a request')
