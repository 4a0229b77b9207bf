"""The training examples that are most like a question, by TF-IDF over character n-grams.

Character n-grams bear typing errors and need no word list of any language; on a few thousand
short rows a look-up takes milliseconds, with no second model in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from components import config, layout
from components.files import read_rows
from components.schema import Example
from components.task import Shot

NGRAMS = (3, 5)


class NoExamples(RuntimeError):
    """The task has no training examples here; the message says where they are looked for."""


class Nearest:
    """The examples of a task's last build; read again when the file changes."""

    def __init__(self, task: str, files: Sequence[Path] | None = None) -> None:
        home = config.places().home / "examples" / task / "train.jsonl"
        self._files = files or (home, layout.examples(task) / "train.jsonl")
        self._task = task
        self._lock = threading.Lock()
        self._read: tuple[Path, int] | None = None
        self._index: Index | None = None

    def first(self, count: int) -> tuple[Shot, ...]:
        """The first examples of the file.

        Raises:
            NoExamples: there is no file.
        """
        return self._current().shots[:count]

    def nearest(self, question: str, count: int) -> tuple[Shot, ...]:
        """The most similar examples, the most similar first.

        Raises:
            NoExamples: there is no file.
        """
        return self._current().nearest(question, count)

    def _current(self) -> Index:
        with self._lock:
            file = next((file for file in self._files if file.exists()), None)
            if file is None:
                where = " nor ".join(str(file) for file in self._files)
                raise NoExamples(
                    f"tasks/{self._task}/task.yaml asks for few_shot examples, but there is neither {where}: "
                    "run `saqia build`, or give prompting.few_shot.examples"
                )
            seen = (file, file.stat().st_mtime_ns)
            if self._index is None or seen != self._read:
                rows = read_rows(file, Example)
                self._index = Index([Shot(message=row.question, answer=row.answer) for row in rows])
                self._read = seen
            return self._index


class Index:
    """TF-IDF vectors of the examples' questions; cosine similarity."""

    def __init__(self, shots: Sequence[Shot]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.shots = tuple(shots)
        self._vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=NGRAMS, sublinear_tf=True)
        self._vectors = self._vectorizer.fit_transform(shot.message for shot in shots) if shots else None

    def nearest(self, question: str, count: int) -> tuple[Shot, ...]:
        """Ties go to the earlier example, so that the same question gets the same ones."""
        if self._vectors is None:
            return ()
        scores = (self._vectors @ self._vectorizer.transform([question]).T).toarray().ravel()
        best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count]
        return tuple(self.shots[i] for i in best)
