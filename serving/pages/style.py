"""How the pages look: one column that fits a phone, quiet colours, system fonts (nothing is fetched from elsewhere)."""

from __future__ import annotations

from typing import Any


def theme() -> Any:
    """Gradio's soft theme in the colour of water."""
    import gradio as gr

    soft = gr.themes.Soft(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="lg",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans Arabic", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    )
    # Soft sets labels as coloured badges, which look like buttons, and white boxes on white.
    return soft.set(
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        button_secondary_border_color="*neutral_300",
        button_border_width="1px",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_weight="600",
        block_title_padding="0",
        block_title_border_width="0",
    )


CSS = """
:root { --good: #0f766e; --bad: #b91c1c; --warn: #b45309; --line: #e2e8f0; --quiet: #64748b; --soft: #f1f5f9; }
.dark { --good: #2dd4bf; --bad: #fca5a5; --warn: #fbbf24; --line: #334155; --quiet: #94a3b8; --soft: #1e293b; }
.gradio-container { max-width: 900px !important; width: 100%; margin: 0 auto !important; }
.gradio-container > main, .app { padding: 0 16px 40px !important; }
.gradio-container .block { border-width: 0; box-shadow: none; }
.gradio-container .html-container { padding: 0 !important; }
.gradio-container, .gradio-container main, .gradio-container .column, .gradio-container .block,
.gradio-container .html-container, .gradio-container .prose { min-width: 0 !important; max-width: 100%; }
.gradio-container .prose { color: var(--body-text-color); }
html, body { overflow-x: hidden; }
a:focus-visible, button:focus-visible, textarea:focus-visible, input:focus-visible {
  outline: 2px solid var(--color-accent) !important; outline-offset: 2px; }

/* Gradio's own bar of pages knows neither languages nor keys. */
.nav-holder { display: none !important; }

/* The bar is one line on a desk, and on a phone two: names above, pages below. */
#bar { border-bottom: 1px solid var(--line); position: relative; }
#bar .bar { display: flex; align-items: center; gap: 4px 18px; min-height: 56px; flex-wrap: wrap; }
#bar .brand { display: inline-flex; align-items: center; gap: 8px; font-weight: 650; font-size: 1.05rem;
  color: var(--good); text-decoration: none; }
#bar nav { display: flex; gap: 2px; flex: 1 1 auto; overflow-x: auto; scrollbar-width: none; }
#bar nav a { color: var(--quiet); text-decoration: none; padding: 8px 11px; border-radius: 8px; white-space: nowrap;
  margin: 0; min-height: 24px; }
#bar nav a:hover { background: var(--soft); color: var(--body-text-color); }
#bar nav a[aria-current] { color: var(--body-text-color); font-weight: 600; background: var(--soft); }
#bar .tools { display: inline-flex; align-items: center; gap: 4px; }
#bar .tools a { color: var(--quiet); text-decoration: none; padding: 8px 10px; margin: 0; }
#bar .tools a:hover { color: var(--body-text-color); text-decoration: underline; }
#bar .tools button { all: unset; cursor: pointer; display: inline-flex; padding: 10px; border-radius: 8px;
  color: var(--quiet); }
#bar .tools button:hover { background: var(--soft); color: var(--body-text-color); }

#head h1, .page-head h1 { margin: 8px 0 2px; font-size: 1.45rem; line-height: 1.25; }
#head p, .page-head p { margin: 0; color: var(--quiet); }
.note, .note p { color: var(--quiet); font-size: .88rem; margin: 0; }
.good { color: var(--good); margin: 0; }
.bad { color: var(--bad); margin: 0; }
.warn { color: var(--warn); margin: 0; }
.prose :is(.good, .bad, .warn, .note, .up, .down) * { color: inherit; }
.prose .good { color: var(--good); } .prose .bad { color: var(--bad); } .prose .warn { color: var(--warn); }
.gradio-container code { background: var(--soft); padding: .1em .35em; border-radius: 4px; }
#who { align-items: center; gap: 12px; flex-wrap: wrap; }
#status { font-size: .95rem; flex: 1 1 220px; }
.dot { display: inline-block; width: .6em; height: .6em; border-radius: 50%; margin-inline-end: .45em; }
.dot.on { background: #0d9488; }
.dot.off { background: #d97706; }
#who .form { background: transparent; border: 0; }
#which { background: transparent; padding: 0; min-width: 200px !important; width: 100%; }
#which label, #which .wrap-inner { align-items: center; }
#which label > span { display: inline; }
#simulated { font-size: .86rem; border-inline-start: 3px solid #d97706; border-radius: 0; padding-inline-start: .8em; }
#simulated p { margin: 0; color: var(--quiet); }

#talk { height: min(46vh, 390px) !important; border: 1px solid var(--line); border-radius: 12px; }
#talk .icon-button-wrapper { display: none; }
#talk pre, #talk code { font-size: .86rem; white-space: pre-wrap !important; overflow-wrap: anywhere !important; }
#talk, #talk * { min-width: 0; }
.message, .message * { unicode-bidi: plaintext; }
#talk .note { font-size: .8rem; }
#talk .grounds { color: var(--quiet); font-size: .8rem; overflow-wrap: anywhere; }
#talk .grounds ul { margin: .3rem 0 0; padding-inline-start: 1.2rem; }
table.fields, table.fields * { border: 0 !important; }
table.fields { border-collapse: collapse; margin: 0; width: auto; }
table.fields th, table.fields td { border: 0; padding: 2px 0; text-align: start; vertical-align: top;
  overflow-wrap: anywhere; background: none !important; }
table.fields th { font-weight: 400; color: var(--quiet); white-space: nowrap; padding-inline-end: 16px; }
table.fields td { font-weight: 600; unicode-bidi: plaintext; }
#judge, .choices-row { gap: 8px; align-items: stretch; }
#judge button, .choices-row button { min-height: 44px; }
#said { min-height: 1.6em; }
#said p { margin: 0; }
#ask { align-items: flex-end; gap: 8px; flex-wrap: nowrap; }
#ask textarea { min-height: 46px; padding: 11px 14px; line-height: 22px; border: 1px solid var(--input-border-color);
  border-radius: 8px; background: var(--input-background-fill); }
#send { height: 46px; flex: 0 0 auto; }
#suggestions { gap: 6px; font-size: .9rem; color: var(--quiet); }
#suggestions button { justify-content: flex-start; text-align: start; white-space: normal; min-height: 40px;
  font-weight: 400; unicode-bidi: plaintext; padding-inline: 14px; }
#kept { display: none; }

/* The form: two columns of fields where there is room; each has its line for what is wrong, so nothing jumps. */
#writing { gap: 12px; }
#writing .grid, #writing .grid .form, #arena-who .form, #board-choices .form { gap: 12px !important;
  overflow: visible; }
#writing > .row .form, #writing > .row .block, #writing > .form, #writing > .form .block { background: transparent;
  border: 0; padding: 0; }
.answer-form { border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; gap: 6px; }
.answer-form .block, .answer-form .form { background: transparent; border: 0; }
.answer-form .block.padded { padding: 0; }
.form-title h2 { margin: 0; font-size: 1.05rem; }
.answer-form .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr));
  gap: 6px 20px; }
.field, .answer-form .fields-form { gap: 2px !important; }
.field .form { gap: 0; }
.fault { min-height: 1.35em; font-size: .84rem; line-height: 1.35; }
.fault span, .prose.fault span { color: var(--bad); }
.field:has(.fault span) textarea { border-color: var(--bad) !important; }
.object { border: 1px solid var(--line) !important; border-radius: 10px; padding: 10px 12px; background: transparent; }
.object h3 { margin: 0 0 4px; font-size: .95rem; }
.code textarea, #correction.code textarea { font-family: var(--font-mono); font-size: .9rem; line-height: 1.45;
  direction: ltr; }
#as-json { align-self: flex-start; width: auto; min-height: 36px; font-weight: 400; flex: 0 0 auto; }
.summary { min-height: 1.5em; font-size: .9rem; overflow-wrap: anywhere; }
#save { min-height: 46px; }

/* The wheel */
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(240px, 100%), 1fr)); gap: 12px; }
.card, .turn { border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
.card h2 { margin: 0 0 6px; font-size: .88rem; font-weight: 600; color: var(--quiet); }
.card p, .turn p { margin: 0 0 4px; }
.card .big { font-size: 1.25rem; font-weight: 650; }
.card progress { width: 100%; height: 8px; margin: 4px 0 8px; border: 0; border-radius: 4px;
  background: var(--soft); appearance: none; overflow: hidden; }
.card progress::-webkit-progress-bar { background: var(--soft); }
.card progress::-webkit-progress-value { background: #0d9488; }
.card progress::-moz-progress-bar { background: #0d9488; }
.links a { display: inline-block; padding: 4px 0; margin-inline-end: 14px; color: var(--good) !important; }
#wheel-state { min-height: 168px; }
#start-row { align-items: flex-end; }
#start-row .form, #start-row .block { background: transparent; border: 0; padding: 0; }
#start { min-height: 44px; align-self: flex-end; max-width: 320px; }
#start-told { min-height: 1.6em; }
#turns h2 { font-size: 1.05rem; margin: 0 0 8px; }
.empty { border: 1px dashed var(--line); border-radius: 12px; padding: 28px 18px; text-align: center;
  color: var(--quiet) !important; }
.turn { margin-bottom: 12px; }
.turn header { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: baseline; margin-bottom: 6px; }
.turn h3 { margin: 0; font-size: 1rem; }
.badge { border-radius: 999px; padding: 1px 10px; font-size: .82rem; background: var(--soft);
  color: var(--body-text-color); display: inline-block; white-space: nowrap; margin-bottom: 3px; }
.badge.promoted, .badge.first { background: #0d948826; color: var(--good); }
.badge.refused { background: #b91c1c1f; color: var(--bad); }
.badge.canary, .badge.open { background: #d9770624; color: var(--warn); }
.scroll { overflow-x: auto; width: 100%; }
table.figures, table.figures tr { border: 0 !important; }
table.figures { width: 100%; border-collapse: collapse; font-size: .88rem; margin: 4px 0; }
table.figures th, table.figures td { border: 0 !important; border-bottom: 1px solid var(--line) !important;
  padding: 4px 8px;
  text-align: start; white-space: nowrap; background: none !important; font-variant-numeric: tabular-nums; }
table.figures thead th { color: var(--quiet); font-weight: 500; white-space: normal; vertical-align: bottom; }
.prose table.figures thead th span { color: inherit; }
table.figures tr > :first-child { padding-inline-start: 0; }
table.figures tbody th { font-weight: 500; }
.prose table.figures td.up { color: var(--good) !important; font-weight: 600; }
.prose table.figures td.down { color: var(--bad) !important; font-weight: 600; }
details summary { cursor: pointer; color: var(--quiet); padding: 4px 0; }
details ul { margin: 2px 0 6px; padding-inline-start: 1.2em; }

.cards.below { margin-top: 12px; }
.windows { position: relative; display: flex; align-items: flex-end; gap: 2px; height: 56px; margin: 6px 0;
  border-bottom: 1px solid var(--line); }
.windows i { flex: 1 1 0; max-width: 22px; min-height: 2px; border-radius: 2px 2px 0 0; background: #0d948880; }
.windows i.high { background: #d97706; }
.windows b { position: absolute; left: 0; right: 0; border-top: 1px dashed var(--warn); }

/* Review and arena */
#begin-row, #arena-who { align-items: flex-end; gap: 12px; }
#begin-row .form, #begin-row .block, #arena-who .form, #arena-who .block { background: transparent; border: 0;
  padding: 0; }
#begin { min-height: 44px; align-self: flex-end; max-width: 220px; }
#counts { min-height: 1.7em; }
.turn h3 { font-size: .88rem; font-weight: 600; color: var(--quiet); margin: 10px 0 4px; }
.turn header h3 { font-size: 1rem; color: var(--body-text-color); margin: 0; }
.prose blockquote { font-style: normal; border: 0;
  border-inline-start: 3px solid #0d9488; margin: 0 0 6px !important; padding: 2px 12px;
  color: inherit; unicode-bidi: plaintext; overflow-wrap: anywhere; }
.turn ul { margin: 0; padding-inline-start: 1.2em; }
.proposal { border: 1px dashed var(--line); border-radius: 10px; padding: 8px 12px; margin-top: 10px; }
.badge.thumb_down { background: #b91c1c1f; color: var(--bad); }
.badge.quarantined { background: #d9770624; color: var(--warn); }
#done h2 { font-size: 1.05rem; }
.plain { white-space: normal; overflow-wrap: anywhere; }
#stage { min-height: 250px; }
.duel .card.won { border-color: #0d9488; box-shadow: inset 0 0 0 1px #0d9488; }

/* Leaderboard */
#board-choices { align-items: stretch; gap: 12px; }
#board-choices .form, #board-choices .block { background: transparent; border: 0; padding: 0; }
#board { min-height: 240px; }
#board-versions { flex: 0 0 auto; min-height: 92px; }
#board h2 { font-size: 1.05rem; margin: 22px 0 2px; }
.interval { display: block; position: relative; height: 10px; margin-top: 3px; min-width: 130px; }
.interval i { position: absolute; top: 4px; height: 3px; border-radius: 2px; background: #0d948880; }
.interval b { position: absolute; top: 1px; width: 9px; height: 9px; border-radius: 50%; background: #0d9488;
  transform: translateX(-50%); }
table.heat { border-collapse: separate; border-spacing: 3px; width: auto; border: 0 !important; }
table.heat th, table.heat td { border: 0 !important; padding: 6px 10px; text-align: center; border-radius: 6px; }
table.heat th { font-weight: 600; background: none !important; }
table.heat tr { border: 0 !important; background: none !important; }
table.heat td { min-width: 76px; color: var(--body-text-color); }
table.heat small { display: block; font-size: .74rem; opacity: .8; }
table.figures td.words { white-space: normal; min-width: 180px; }

/* What people and models write has its own direction, whatever the page's. */
textarea, input[type=text] { unicode-bidi: plaintext; text-align: start !important; }
html[dir=rtl] .gradio-container .block[dir=ltr], html[dir=rtl] .gradio-container span[data-testid][dir=ltr] {
  direction: rtl; }
html[dir=rtl] .token { gap: 8px; }
html[dir=rtl] #which .icon-wrap { right: auto; left: 12px; }
html[dir=rtl] .gradio-container textarea[dir=ltr] { direction: inherit; }
html[dir=rtl] .gradio-container .code textarea { direction: ltr; unicode-bidi: normal; }

@media (max-width: 640px) {
  .gradio-container > main, .app { padding: 0 10px 32px !important; }
  #bar .brand { flex: 1 1 auto; min-height: 44px; }
  #bar nav { order: 3; flex-basis: 100%; padding-bottom: 6px; }
  #bar nav a { padding: 10px 10px; }
  #talk { height: 46vh !important; }
  #judge, .choices-row { flex-wrap: wrap; }
  #arena-who .form, #board-choices .form { flex-direction: column; align-items: stretch; }
  table.figures th, table.figures td { white-space: normal; padding: 4px 6px; }
  table.figures .wide { display: none; }
  table.heat td { min-width: 54px; padding: 6px 3px; }
  table.heat th { padding: 6px 5px; }
  #judge button, .choices-row button { flex: 1 1 40%; min-width: 0 !important; }
  #who > * { flex: 1 1 100% !important; }
}
@media (prefers-reduced-motion: reduce) { * { transition: none !important; animation: none !important; } }
"""
