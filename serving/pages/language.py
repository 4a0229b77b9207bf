"""Which language a browser gets: the one in the address, the one chosen before, the one its settings prefer."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from serving.pages.words import LANGUAGES, Language

COOKIE = "saqia-language"
SET_COOKIE = COOKIE + "={language}; Path=/ui; Max-Age=31536000; SameSite=Lax"


def split(path: str) -> tuple[Language | None, str]:
    """`/ar/review` → `ar`, `/review`; None where the address names no language."""
    first, _, rest = path.removeprefix("/").partition("/")
    named = next((language for language in LANGUAGES if language == first), None)
    return (named, f"/{rest}") if named else (None, path or "/")


def chosen(headers: dict[bytes, bytes]) -> Language:
    """The cookie's language, else the first of Accept-Language that there is (RFC 9110, 12.5.4), else English."""
    try:
        kept = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(COOKIE)
    except CookieError:
        kept = None
    for language in LANGUAGES:
        if kept is not None and kept.value == language:
            return language
    return preferred(headers.get(b"accept-language", b"").decode("latin-1"))


def preferred(accept: str) -> Language:
    """The best of an Accept-Language header: by weight, the earlier one where two weigh the same."""
    ranked: list[tuple[float, Language]] = []
    for part in accept.split(","):
        tag, _, weight = part.strip().partition(";")
        found = next((language for language in LANGUAGES if tag.strip().lower().split("-")[0] == language), None)
        try:
            q = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            q = 0.0
        if found is not None and q > 0:
            ranked.append((q, found))
    return max(ranked, key=lambda one: one[0])[1] if ranked else LANGUAGES[0]
