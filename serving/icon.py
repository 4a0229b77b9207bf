"""The wheel, for the browser's tab."""

from __future__ import annotations

ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='#0d9488' stroke-width='2'>"
    "<circle cx='12' cy='12' r='9'/><path d='M12 3v18M3 12h18M5.6 5.6l12.8 12.8M18.4 5.6 5.6 18.4'/></svg>"
)
MEDIA_TYPE = "image/svg+xml"
