"""The families that version 1 is taught, in one order."""

from __future__ import annotations

from tasks.intake.families import Family
from tasks.intake.known_belly import BELLY
from tasks.intake.known_body import BODY
from tasks.intake.known_chest import CHEST
from tasks.intake.known_head import HEAD

KNOWN: tuple[Family, ...] = (*HEAD, *CHEST, *BELLY, *BODY)
