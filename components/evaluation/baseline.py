"""What a label task needs no language model for: a linear model on character n-grams, taught the same rows.

Whoever shows a classifier owes this number beside it. TF-IDF of 1 to 5 characters within words, logistic regression:
seconds on a CPU, and hard to beat where words give the label away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.schema import Example

NAME = "linear model on character n-grams"
STRENGTH = 10.0
"""Inverse of the regularisation: text of few rows is separable anyhow, and 1.0 leaves probabilities far too even."""


@dataclass(frozen=True)
class Answered:
    """Labels in the model's order, and for each text the probability of each."""

    labels: tuple[str, ...]
    probabilities: list[list[float]]

    @property
    def answers(self) -> list[str]:
        """The likeliest label of each text."""
        return [self.labels[max(range(len(row)), key=row.__getitem__)] for row in self.probabilities]


def answered(train: Sequence[Example], asked: Sequence[Sequence[Example]], seed: int) -> list[Answered] | None:
    """Each set answered by a linear model of `train`; None where there is nothing to tell apart."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    truths = [" ".join(example.answer.split()) for example in train]
    texts = [example.question for example in train]
    if len(set(truths)) < 2 or not any(text.strip() for text in texts):
        return None
    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True, min_df=2 if len(train) > 100 else 1),
        LogisticRegression(C=STRENGTH, max_iter=1000, random_state=seed),
    )
    model.fit(texts, truths)
    labels = tuple(str(label) for label in model.classes_)
    return [
        Answered(labels, model.predict_proba([e.question for e in examples]).tolist() if examples else [])
        for examples in asked
    ]
