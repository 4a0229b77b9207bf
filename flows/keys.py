"""`saqia keys`: make, list and revoke the API keys of the service."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from components.config import Places
from components.feedback import keys
from components.feedback.store import Store


def create(places: Places, name: str, scopes: Sequence[str]) -> None:
    """Print a new key, alone on standard output so that a script can take it; it is shown only now."""
    with Store(places.database_url) as store:
        key, secret = keys.create(store.engine, name, scopes)
    typer.echo(f"{key.id} for {key.name!r}, scope {', '.join(key.scopes)}. It is not shown again:", err=True)
    typer.echo(secret)


def show(places: Places) -> None:
    """A line a key, revoked ones too."""
    with Store(places.database_url) as store:
        found = keys.every(store.engine)
    if not found:
        typer.echo("no keys; the service answers only to this machine (saqia keys create NAME)")
    for key in found:
        since = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "live"
        scopes = ",".join(key.scopes)
        typer.echo(f"{key.id}  {key.hint}…  {scopes:<16} {key.created_at:%Y-%m-%d}  {since:<18} {key.name}")


def revoke(places: Places, which: str) -> None:
    """Say whose key opens nothing any more."""
    with Store(places.database_url) as store:
        key = keys.revoke(store.engine, which)
    typer.echo(f"{key.id} of {key.name!r} is revoked; a running service refuses it within seconds")
