"""Do people ask something else than a model was taught? The Jensen–Shannon divergence of two samples of messages.

Each message becomes the distribution of its character trigrams (they bear typing errors and need no word list of any
language), each sample the mean of its messages', and the statistic is the divergence of the two means in bits: 0 where
they are alike, 1 where they share nothing (Lin 1991, Divergence measures based on the Shannon entropy, IEEE
Transactions on Information Theory 37). Two samples of the same source differ, too; by how much is told by dealing the
pooled messages anew at random, many times: a permutation test, exact whatever the messages are like (Good 2005,
Permutation, Parametric and Bootstrap Tests of Hypotheses, chapter 3). The messages are dealt, not their trigrams, which
depend on one another.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.examples.similarity import words
from components.schema import Record

TRIGRAMS = 2048
"""The commonest of both samples; the others count as one."""
LETTERS = 2000
"""So much of a message is read."""
WORDS = 8
"""So many words are named ..."""
SURELY = 4.0
"""... whose share rose by so many standard deviations: among thousands of words, some rise by three by chance."""


class Word(Record):
    """A word that is commoner now than in what was taught."""

    word: str
    now: float
    """Share of the messages that hold it."""
    taught: float


class Drift(Record):
    """How far messages are from those that a model was taught, and how far chance alone would put them."""

    divergence: float
    """Jensen–Shannon divergence in bits."""
    noise: float
    """Its mean where the same messages are dealt at random ..."""
    bound: float
    """... and what that exceeds only with the probability `false_alarms`."""
    p: float
    """Probability of so much divergence by chance: (1 + deals with as much) / (1 + deals)."""
    messages: int
    taught: int
    """Messages in each of the two samples."""
    words: tuple[Word, ...]
    """What is commoner now, the most telling first."""

    @property
    def excess(self) -> float:
        """Bits beyond what chance explains."""
        return self.divergence - self.noise


class _Counts(NamedTuple):
    rows: npt.NDArray[np.float32]
    """A message a row: its distribution over trigrams."""
    now: int
    """So many of the first rows are the messages; the others were taught."""


def drift(now: Sequence[str], taught: Sequence[str], *, false_alarms: float, seed: int) -> Drift:
    """Hold messages against those that were taught.

    Args:
        false_alarms: probability with which messages of the same source are above `bound`.

    Raises:
        ValueError: one of the samples is empty.
    """
    if not now or not taught:
        raise ValueError(f"drift needs messages on both sides: {len(now)} and {len(taught)}")
    counts = _counts(now, taught)
    deals = max(999, math.ceil(2 / false_alarms))
    dealt = _dealt(counts, deals, np.random.default_rng(seed))
    found = float(_divergence(counts.rows[: counts.now].mean(axis=0), counts.rows[counts.now :].mean(axis=0)))
    return Drift(
        divergence=found,
        noise=float(dealt.mean()),
        bound=float(np.quantile(dealt, 1 - false_alarms)),
        p=(1 + int((dealt >= found).sum())) / (1 + deals),
        messages=len(now),
        taught=len(taught),
        words=_commoner(now, taught),
    )


def _trigrams(text: str) -> Counter[str]:
    """Of each word with a space before and after it."""
    found: Counter[str] = Counter()
    for word in text[:LETTERS].casefold().split():
        padded = f" {word} "
        found.update(padded[i : i + 3] for i in range(len(padded) - 2))
    return found


def _counts(now: Sequence[str], taught: Sequence[str]) -> _Counts:
    each = [_trigrams(text) for text in (*now, *taught)]
    total: Counter[str] = Counter()
    for one in each:
        total.update(one.keys())
    commonest = sorted(total, key=lambda trigram: (-total[trigram], trigram))[: TRIGRAMS - 1]
    place = {trigram: number for number, trigram in enumerate(commonest)}
    rows = np.zeros((len(each), len(place) + 1), dtype=np.float32)
    for row, one in zip(rows, each, strict=True):
        for trigram, count in one.items():
            row[place.get(trigram, -1)] += count
        row /= max(1, one.total())
    return _Counts(rows, len(now))


def _dealt(counts: _Counts, deals: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """The divergence of as many messages as are new, drawn from all, from the others; `deals` times."""
    every, whole = len(counts.rows), counts.rows.sum(axis=0)
    found = []
    for start in range(0, deals, 100):  # so many at once: the memory of one product stays small
        part = min(100, deals - start)
        chosen = np.zeros((part, every), dtype=np.float32)
        for row in chosen:
            row[random.permutation(every)[: counts.now]] = 1
        sums = chosen @ counts.rows
        found.append(_divergence(sums / counts.now, (whole - sums) / (every - counts.now)))
    return np.concatenate(found)


def _divergence(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """H((p + q) / 2) - (H(p) + H(q)) / 2, along the last axis."""
    return _entropy((one + other) / 2) - (_entropy(one) + _entropy(other)) / 2


def _entropy(shares: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    found: npt.NDArray[np.float64] = -(shares * logs).sum(axis=-1, dtype=np.float64)
    return found


def _commoner(now: Sequence[str], taught: Sequence[str]) -> tuple[Word, ...]:
    """The words whose share of messages rose the most, by the two-proportion z statistic."""
    of_now, of_taught = _holding(now), _holding(taught)
    found = []
    for word, count in of_now.items():
        share, before = count / len(now), of_taught[word] / len(taught)
        pooled = (count + of_taught[word]) / (len(now) + len(taught))
        deviation = math.sqrt(pooled * (1 - pooled) * (1 / len(now) + 1 / len(taught))) or 1.0
        found.append(((share - before) / deviation, word, share, before))
    rising = sorted((one for one in found if one[0] > SURELY), key=lambda one: (-one[0], one[1]))[:WORDS]
    return tuple(Word(word=word, now=share, taught=before) for _, word, share, before in rising)


def _holding(texts: Sequence[str]) -> Counter[str]:
    """Word → how many of the texts hold it."""
    return Counter(word for text in texts for word in set(words(text[:LETTERS])))
