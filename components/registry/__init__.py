"""The registry: every version of a task's model, with its verdict and its lineage, in MLflow.

register(adapter, base, verdict, lineage_of(root), evaluation)   a new version
champion(task), candidate(task), canary(task), get(task, "3"), versions(task)  find one
best_served(champion)                                            the best of those that served before it, if better
Following(task)                                                  the aliases, for who looks often
promote, try_out, rollback, refuse                               move the aliases
local_version, local_base, fetch, fetch_base                     bring it here, hash-checked
    write_page(version, reports)                                     its report, for a browser
"""

from components.registry.aliases import promote, refuse, rollback, try_out
from components.registry.best import best_served
from components.registry.catalog import canary, candidate, champion, get, previous, tasks, versions
from components.registry.following import Following
from components.registry.local import fetch, fetch_base, local_base, local_version
from components.registry.page import write_page
from components.registry.record import Lineage, Trial, Version, lineage_of
from components.registry.registration import register
from components.registry.store import RegistryError, client, experiment

__all__ = [
    "Following",
    "Lineage",
    "RegistryError",
    "Trial",
    "Version",
    "best_served",
    "canary",
    "candidate",
    "champion",
    "client",
    "experiment",
    "fetch",
    "fetch_base",
    "get",
    "lineage_of",
    "local_base",
    "local_version",
    "previous",
    "promote",
    "refuse",
    "register",
    "rollback",
    "tasks",
    "try_out",
    "versions",
    "write_page",
]
