"""Great Expectations' Data Docs as pages that need no network and don't change with the clock.

As rendered they load Bootstrap, jQuery and their tables from CDNs, so offline they are
unstyled and their index is empty. Here the links out go, the index tables are written as
HTML from the data in the page, and a stylesheet and a script that ship with this package
(docs.css, docs.js) do what Bootstrap did. Times and random element ids go too.
"""

from __future__ import annotations

import ast
import html
import re
import shutil
from pathlib import Path

HERE = Path(__file__).parent
_SCRIPT = re.compile(r"<script\b.*?</script>", re.S)
_OUTSIDE_LINK = re.compile(r"<link\b[^>]*https?://[^>]*>", re.S)
_FOOTER = re.compile(r"<footer\b.*?</footer>", re.S)
_LOGO = re.compile(r'<img\s[^>]*class="NO-CACHE"[^>]*>', re.S)
_OUTSIDE_CSS = re.compile(r"url\((['\"]?)https?://[^)]*\)")
_UUID = re.compile(r"-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TABLE = re.compile(
    r"\$\('#(?P<id>[\w-]+)'\)\.bootstrapTable\(.*?columns: (?P<columns>\[.*?\]),\s*\n\s*data: (?P<data>\[.*?\]),\s*\n",
    re.S,
)
_TIMED = re.compile(r"<tr>(?:(?!</tr>).)*?(?:ge_load_time|Run Time)(?:(?!</tr>).)*?</tr>", re.S)
_STAMP = re.compile(r"(?: / )?2000-01-01[T ]00:00:00(?:Z| UTC)")
_ASSET = re.compile(r" Data asset: None<br>")
_COLUMNS_LEFT_OUT = ("run_time", "run_name")


def make_offline(folder: Path) -> None:
    """Rewrite every page of a Data Docs folder in place."""
    shutil.rmtree(folder / "static", ignore_errors=True)
    for file in ("docs.css", "docs.js"):
        shutil.copyfile(HERE / file, folder / file)
    for page in sorted(folder.rglob("*.html")):
        page.write_text(_offline(page.read_text(encoding="utf-8"), page.relative_to(folder)), encoding="utf-8")


def _offline(page: str, where: Path) -> str:
    up = "../" * (len(where.parts) - 1)
    tables = {found["id"]: _table(found["columns"], found["data"]) for found in _TABLE.finditer(page)}
    page = _OUTSIDE_LINK.sub("", _SCRIPT.sub("", page))
    page = re.sub(r'<link rel="shortcut icon"[^>]*>', "", page)
    page = _OUTSIDE_CSS.sub("none", _FOOTER.sub("", page))
    page = _LOGO.sub('<span class="brand">Data Docs</span>', page)
    page = _ASSET.sub("", _STAMP.sub("", _TIMED.sub("", _UUID.sub("", page))))
    for id, content in tables.items():
        page = re.sub(rf'(<table\s+id="{id}"[^>]*>)\s*</table>', lambda m, c=content: f"{m[1]}{c}</table>", page)  # type: ignore[misc]
    head = f'<link rel="stylesheet" href="{up}docs.css"><script defer src="{up}docs.js"></script>'
    return page.replace("</head>", f"{head}</head>", 1)


def _table(columns: str, data: str) -> str:
    """The body of an index table from the Python literals that its script holds."""
    shown = [column for column in ast.literal_eval(columns) if column["field"] not in _COLUMNS_LEFT_OUT]
    head = "".join(f"<th>{html.escape(column['title'])}</th>" for column in shown)
    lines = []
    for row in ast.literal_eval(data):
        link = html.escape(row["_table_row_link_path"])
        cells = (f'<td><a href="{link}">{row.get(column["field"], "")}</a></td>' for column in shown)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
