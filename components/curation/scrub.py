"""Personal data out of the rows, with Presidio's pattern recognisers and Google's phonenumbers.

Only recognisers that need no language model are used, so nothing is downloaded. Names of
persons and places are therefore not found; docs/how-to/curate.md says so. Presidio takes
seconds to import, so a text is first asked for what any hit must contain (an @, many digits,
a dotted name), and without that Presidio is not needed at all.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

PLACEHOLDERS = {
    "email": "<EMAIL>",
    "phone": "<PHONE>",
    "id_number": "<ID_NUMBER>",
    "url": "<URL>",
    "ip": "<IP>",
    "credit_card": "<CREDIT_CARD>",
}

_MANY_DIGITS = re.compile(r"\d(?:[\s().\-/]{0,3}\d){6}")
_POSSIBLE: dict[str, re.Pattern[str]] = {
    "email": re.compile(r"@"),
    "phone": _MANY_DIGITS,
    "id_number": re.compile(r"\d(?:[A-Za-z-]*\d){3}|\d{3}[- .]\d{2}[- .]\d{4}"),
    "url": re.compile(r"\w\.\w|://"),
    "ip": re.compile(r"\d\.\d|[0-9a-fA-F]:[0-9a-fA-F:]"),
    "credit_card": _MANY_DIGITS,
}
"""What a text must contain for a hit of each kind to be possible."""

_NAMED_ID = (
    r"(?i)(?<=\b(?:ssn|social security|mrn|medical record|hospital|patient|policy|insurance|member|passport|"
    r"national id|identity card|id card|id|nhs|medicare|medicaid|driver'?s licen[cs]e|licen[cs]e|account)"
    r"\s{0,2}(?:(?:number|num|no|nr|id)\b\.?)?\s{0,2}(?:#|:|=|is|was)?\s{0,2}#?)"
    r"(?=[A-Z0-9-]*\d[A-Z0-9-]*\d[A-Z0-9-]*\d[A-Z0-9-]*\d)[A-Z0-9][A-Z0-9-]{4,24}\b"
)
"""A number of at least four digits right after a word that says it identifies somebody."""

NO_ARTIFACTS: Any = None
"""What Presidio's language models would hand to a recogniser; pattern recognisers need none."""

Scrubber = Callable[[str], tuple[str, "Counter[str]"]]


def scrubber(kinds: Iterable[str], phone_regions: Iterable[str]) -> Scrubber:
    """A function that replaces personal data of these kinds and counts what it replaced.

    `phone_regions` are the countries whose national notation is recognised (ISO 3166 codes);
    numbers with a + are recognised from everywhere.
    """
    wanted, regions = tuple(kinds), tuple(phone_regions)

    def scrub(text: str) -> tuple[str, Counter[str]]:
        possible = [kind for kind in wanted if _POSSIBLE[kind].search(text)]
        if not possible:
            return text, Counter()
        hits: list[tuple[float, int, int, str]] = []
        for kind in possible:
            for recogniser, least in _recognisers(kind, regions):
                for hit in recogniser.analyze(text, recogniser.supported_entities, NO_ARTIFACTS) or []:
                    if hit.score >= least:
                        hits.append((hit.score, hit.start, hit.end, kind))
        return _replaced(text, hits)

    return scrub


def _replaced(text: str, hits: list[tuple[float, int, int, str]]) -> tuple[str, Counter[str]]:
    """Replace the surest hits first, longer before shorter; what overlaps a replaced one is left out."""
    taken: list[tuple[int, int, str]] = []
    for _, start, end, kind in sorted(hits, key=lambda hit: (-hit[0], hit[1] - hit[2], hit[1], hit[3])):
        if all(end <= other_start or start >= other_end for other_start, other_end, _ in taken):
            taken.append((start, end, kind))
    for start, end, kind in sorted(taken, reverse=True):
        text = text[:start] + PLACEHOLDERS[kind] + text[end:]
    return text, Counter(kind for _, _, kind in taken)


@cache
def _recognisers(kind: str, regions: tuple[str, ...]) -> list[tuple[EntityRecognizer, float]]:
    """Presidio's recognisers of a kind, each with the score from which its hits count."""
    # Its import says which device a language model would use; there is none.
    logging.getLogger("presidio-analyzer").setLevel(logging.WARNING)
    import tldextract
    from presidio_analyzer import Pattern, PatternRecognizer
    from presidio_analyzer import predefined_recognizers as presidio

    # Presidio would fetch the public suffix list from the network; the one in the package is enough.
    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    class Email(presidio.EmailRecognizer):
        def validate_result(self, pattern_text: str) -> bool:
            return bool(extract(pattern_text).top_domain_under_public_suffix)

    class Url(presidio.UrlRecognizer):
        def validate_result(self, pattern_text: str) -> bool:
            # "home.check mails" is a missing space, not the host home.check: a bare name is no address.
            named = "://" in pattern_text or pattern_text.lower().startswith("www.")
            return named and bool(extract(pattern_text).top_domain_under_public_suffix)

    if kind == "email":
        return [(Email(), 0.5)]
    if kind == "phone":
        return [(presidio.PhoneRecognizer(supported_regions=regions, leniency=1), 0.4)]
    if kind == "url":
        return [(Url(), 0.5)]
    if kind == "ip":
        return [(presidio.IpRecognizer(), 0.5)]
    if kind == "credit_card":
        return [(presidio.CreditCardRecognizer(), 1.0)]
    named = PatternRecognizer("NAMED_ID", name="named id", patterns=[Pattern("named id", _NAMED_ID, 0.9)])
    return [(named, 0.9), (presidio.UsSsnRecognizer(), 0.5), (presidio.IbanRecognizer(), 1.0)]


def summary(counts: Counter[str]) -> str:
    """`2 email, 1 phone replaced`: what was found, never what it was."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) + " replaced"
