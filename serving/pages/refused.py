"""The page that a browser gets where its key does not open the one it asked for: in its language, with what to do."""

from __future__ import annotations

import html
from collections.abc import Sequence

from serving.pages.words import Language, words

STYLE = """
:root { color-scheme: light dark; }
body { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans Arabic", sans-serif; margin: 0;
  min-height: 100vh; display: grid; place-items: center; background: light-dark(#fff, #0b1120);
  color: light-dark(#1e293b, #e2e8f0); line-height: 1.5; }
main { max-width: 34rem; padding: 24px 20px; }
h1 { font-size: 1.4rem; line-height: 1.25; margin: 0 0 8px; }
p { margin: 0 0 12px; overflow-wrap: anywhere; }
code { background: light-dark(#f1f5f9, #1e293b); padding: .1em .35em; border-radius: 4px; }
a { color: light-dark(#0f766e, #2dd4bf); display: inline-block; padding: 8px 0; }
"""


def refused(language: Language, scopes: Sequence[str]) -> str:
    """A whole HTML page.

    Args:
        scopes: those of which a key needs one; none where no key, or no known one, was sent.
    """
    frame = words(language).frame
    command = "saqia keys create NAME" + (f" --scope {scopes[0]}" if scopes else "")
    title = frame.refused if scopes else frame.no_key
    about = frame.not_allowed.format(scope=frame.list_comma.join(scopes)) if scopes else frame.no_key_about
    todo = html.escape(frame.ask_for_key).format(command=f'<code dir="ltr">{html.escape(command)}</code>')
    back = f'<p><a href="/ui/{language}/">{html.escape(frame.back)}</a></p>' if scopes and "use" not in scopes else ""
    return (
        f'<!doctype html><html lang="{language}" dir="{frame.direction}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)} · Saqia</title>"
        f"<style>{STYLE}</style><main><h1>{html.escape(title)}</h1><p>{html.escape(about)}</p><p>{todo}</p>{back}</main>"
        "</html>"
    )
