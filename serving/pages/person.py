"""Who sits in front of a page, and what they may do there.

The gate (serving/access/gate.py) leaves the key of a request in its scope. Gradio runs a page's functions in
tasks of its own, so the request that a function is given says who asks, not the context variable. Opening a
page is decided by the gate; what a page does is decided here again, since its functions can be called by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from components.feedback.keys import ApiKey, Scope
from serving.access.gate import KEY
from serving.pages.words import Words


@dataclass(frozen=True)
class Person:
    """Who asks: by their key, or (where none is needed) as they call themselves."""

    name: str
    """Empty where neither says."""
    key: ApiKey | None = None

    def may(self, scope: Scope) -> bool:
        """Without a key everything is open: the gate let the request in from this machine."""
        return self.key is None or self.key.may(scope)


def person(request: gr.Request, typed: str = "") -> Person:
    """Who calls a page's function; the name on a key cannot be changed by typing another."""
    asked = request.request
    key = asked.scope.get(KEY) if asked is not None else None
    return Person(" ".join((key.name if key else typed or "").split())[:200], key)


def allowed(request: gr.Request, scope: Scope, words: Words, typed: str = "") -> Person:
    """`person`, if they may.

    Raises:
        gr.Error: shown on the page: the key lacks the scope.
    """
    who = person(request, typed)
    if not who.may(scope):
        raise gr.Error(words.frame.not_allowed.format(scope=scope))
    return who
