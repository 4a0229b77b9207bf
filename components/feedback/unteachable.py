"""What must not be taught whoever says it: secrets, and text that speaks to the model rather than to a person.

Secrets are told by the fixed formats that their issuers publish (as GitHub's secret scanning and
detect-secrets do): an ordinary answer hardly ever has one by chance. What an instruction to a model
looks like is a list of phrases, which finds the plain attempts and no others; a person decides.
"""

from __future__ import annotations

import re

SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{22,}"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20,}"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "a Google API key": re.compile(r"\bAIza[\w-]{35}\b"),
    "a Stripe key": re.compile(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}\b"),
    "an API key": re.compile(r"\bsk-(?:[A-Za-z]+-)*[\w-]{20,}|\bhf_[A-Za-z0-9]{30,}\b|\bsaqia-[\w-]{40,}"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    "a password": re.compile(
        r"\b(?:password|passwd|pwd|api[_ -]?key|secret[_ -]?key|access[_ -]?token)\b[\"']?\s*(?:[:=]|\bis\b)\s*[\"']?"
        r"(?=\S*\d)(?=\S*[A-Za-z])[^\s\"']{8,}",
        re.IGNORECASE,
    ),
}
_TO_THE_MODEL = {
    "asks the model to forget what it was told": re.compile(
        r"\b(?:ignore|disregard|forget|override|bypass)\b[^.!?\n]{0,40}?"
        r"\b(?:previous|prior|above|earlier|preceding|your|system|all)\b[^.!?\n]{0,30}?"
        r"\b(?:instructions?|prompts?|rules?|guidelines?|messages?|directions?)\b",
        re.IGNORECASE,
    ),
    "gives the model another role": re.compile(
        r"\byou are now\b[^.!?\n]{0,40}\b(?:ai|assistant|model|chatbot|dan|unrestricted|jailbroken|developer mode)\b"
        r"|\b(?:act|respond|behave) as (?:if you (?:were|are) )?(?:an? )?(?:unrestricted|unfiltered|jailbroken|dan)\b"
        r"|\bdeveloper mode (?:enabled|on)\b",
        re.IGNORECASE,
    ),
    "asks for the system prompt": re.compile(
        r"\b(?:reveal|show|print|repeat|output|leak)\b[^.!?\n]{0,30}\b(?:system|initial|hidden|original)\s+"
        r"(?:prompt|instructions?|message)\b",
        re.IGNORECASE,
    ),
    "holds a chat template's control token": re.compile(
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id|end_header_id)\|>"
        r"|\[/?INST\]|<</?SYS>>",
        re.IGNORECASE,
    ),
    # Tags (U+E0000 on) are invisible and read by models; overrides show a person another order than is there.
    "holds invisible or reordered characters": re.compile("[\U000e0000-\U000e007f\u202d\u202e\u2066-\u2069]"),
}


def secret_in(text: str) -> str | None:
    """Which kind of secret the text seems to hold; never the secret itself."""
    return next((name for name, pattern in SECRETS.items() if pattern.search(text)), None)


def told_to_the_model(text: str) -> str | None:
    """What in the text speaks to the model, or None."""
    return next((name for name, pattern in _TO_THE_MODEL.items() if pattern.search(text)), None)
