"""What runs in the browser beside Gradio: language, direction, light or dark, keys. No library, nothing fetched."""

from __future__ import annotations

import json
from urllib.parse import quote

from serving.icon import ICON, MEDIA_TYPE
from serving.pages.words import Language, words

KEYS = {
    "Slash": "#message textarea",
    "KeyA": "#accept",
    "KeyF": "#fix",
    "KeyR": "#reject",
    "KeyS": "#skip",
    "KeyC": "#critical input",
    "Digit1": "#vote-a",
    "Digit2": "#vote-b",
    "Digit3": "#vote-tie",
    "Digit4": "#vote-bad",
}
"""Key (where it is on the keyboard, whatever letter it writes) → what it presses, or the box it goes to."""

SCRIPT = """<script>
(() => {
  const page = document.documentElement, keys = KEYS;
  page.lang = LANGUAGE; page.dir = DIRECTION;
  const kept = localStorage.getItem('saqia-theme'), here = new URL(location.href);
  if (kept && !here.searchParams.has('__theme')) {
    here.searchParams.set('__theme', kept); history.replaceState(null, '', here);
  }
  document.addEventListener('click', (event) => {
    if (!event.target.closest('[data-theme]')) return;
    const dark = document.body.classList.toggle('dark');
    localStorage.setItem('saqia-theme', dark ? 'dark' : 'light');
    const url = new URL(location.href);
    url.searchParams.set('__theme', dark ? 'dark' : 'light'); history.replaceState(null, '', url);
  });
  const seen = (one) => one && one.offsetParent !== null;
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typing = event.target.closest('input:not([type=radio]):not([type=checkbox]), textarea, select');
    if (event.code === 'Escape' && typing) { typing.blur(); return; }
    if (typing || event.repeat) return;
    const code = event.code.replace('Numpad', 'Digit').replace('DigitDivide', 'Slash');
    const one = document.querySelector(keys[code] || 'none');
    if (!seen(one) || one.disabled) return;
    event.preventDefault();
    if (one.matches('textarea')) one.focus(); else one.click();
  });
})();
</script>"""


def head(language: Language) -> str:
    """For the page's <head>."""
    direction = words(language).frame.direction
    filled = SCRIPT.replace("KEYS", json.dumps(KEYS), 1)
    icon = f'<link rel="icon" href="data:{MEDIA_TYPE},{quote(ICON)}">'
    return icon + filled.replace("LANGUAGE", json.dumps(language)).replace("DIRECTION", json.dumps(direction))
