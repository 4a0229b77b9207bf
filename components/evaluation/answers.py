"""Answers that a model has given before, so that a champion is not asked the same questions every turn.

Greedy answers depend on nothing but the weights, the tokenizer and the prompt, so they are
kept by exactly these under <home>/answers: one file a model, an answer by its prompt's token
ids. It is a cache: without it everything is asked again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from components.config import places
from components.files import sha256_of, write_json
from components.models import read_base

MODELS = 12
"""So many models' answers are kept; those not used for longest go."""
PROMPTS = 20_000
"""Of one model, so many answers are kept: of a champion that serves for many turns, those of earlier turns' rows go."""


class Answers:
    """What one model answered so far."""

    def __init__(self, base: Path, version: Path | None, max_new_tokens: int) -> None:
        """Args: the base's folder, the version's folder (None: the bare base), and where answers are cut."""
        what = f"{read_base(base).sha256}|{sha256_of(version) if version else 'base'}|{max_new_tokens}"
        self.folder = places().home / "answers"
        self.file = self.folder / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.json"
        try:
            self.known: dict[str, str] = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.known = {}
        self._used: set[str] = set()

    def of(self, prompt: Sequence[int]) -> str | None:
        """The answer to a prompt given as token ids, or None if it was never asked."""
        key = _key(prompt)
        self._used.add(key)
        return self.known.get(key)

    def keep(self, prompts: Sequence[Sequence[int]], texts: Sequence[str]) -> None:
        """Add answers; forget models not asked for longest and, where they are too many, answers not looked up here."""
        new = {_key(prompt): text for prompt, text in zip(prompts, texts, strict=True)}
        self.known |= new
        self._used.update(new)
        if len(self.known) > PROMPTS:
            self.known = {key: text for key, text in self.known.items() if key in self._used}
        write_json(self.file, self.known)
        oldest_first = sorted(self.folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for file in oldest_first[:-MODELS]:
            file.unlink(missing_ok=True)


def _key(prompt: Sequence[int]) -> str:
    return hashlib.sha256(",".join(map(str, prompt)).encode()).hexdigest()[:24]
