"""The fixed parts of structured answers, as tokens of their own.

An answer like `{"site":"knee","duration":"2 weeks"}` says two things; the rest is the same in every answer and
costs a small model three tokens a key, to be taught, generated and waited for. What stands between two values
becomes one token. It enters the vocabulary as an added token that is not special: matched in the text before
anything is split, spelled as it reads, and known to GGUF files as `user defined`, so that other programs still get
the same ids. (SuperBPE, Liu et al. 2025, https://arxiv.org/abs/2503.13423, lets tokens cross words for the same
reason; a schema's keys need no training to be found.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

FRAME = re.compile(r'"?[{,]\s?"[^"\\{},:]{1,40}":\s?"?')
"""From the end of one value (its quote, a comma) over a key to the beginning of the next."""
SHARE = 0.1
"""Of the answers must hold a frame for it to earn its place."""
MOST = 64


def frames(answers: Iterable[str]) -> list[str]:
    """What stands before the values of JSON objects in at least a tenth of the answers, the most frequent first.

    Answers that are no JSON object have none.
    """
    found: Counter[str] = Counter()
    count = 0
    for answer in answers:
        count += 1
        if answer.startswith("{"):
            found.update(set(FRAME.findall(answer)))
    often = [(times, frame) for frame, times in found.items() if times >= SHARE * count]
    return [frame for _, frame in sorted(often, key=lambda pair: (-pair[0], pair[1]))[:MOST]]
