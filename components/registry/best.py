"""The best version that ever served: losses too small to refuse a turn must not add up over many."""

from __future__ import annotations

import yaml

from components.registry.catalog import versions
from components.registry.record import Version


def best_served(champion: Version) -> Version | None:
    """The version before the champion with the best old tests, or None where the champion's own are best.

    The versions that served are followed back from the champion: a version's parameters name the champion that it
    was compared with. One that was rolled back is not among them. Each counts by its own verdict's rows.
    """
    by_number = {version.version: version for version in versions(champion.task)}
    served, current = [champion], champion
    while (number := _compared_with(current)) in by_number and by_number[number] not in served:
        current = by_number[number]
        served.append(current)
    best = max(served, key=lambda version: version.verdict.guard_score or 0.0)  # the newest of equals
    return None if best.version == champion.version else best


def _compared_with(version: Version) -> str:
    """The version that was champion when this one was made; empty for the first."""
    params = yaml.safe_load(version.lineage.params) or {}
    champion = (params.get("turn") or {}).get("champion") or {}
    return str(champion.get("version", ""))
