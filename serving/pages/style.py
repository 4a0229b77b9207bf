"""How the pages look: one column that fits a phone, system fonts (nothing is fetched from elsewhere)."""

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
.gradio-container { max-width: 860px !important; margin: 0 auto !important; }
.gradio-container > main, .app { padding: 12px 16px !important; }
#head h1 { margin: 0 0 2px; font-size: 1.45rem; line-height: 1.25; }
#head p { margin: 0; color: var(--body-text-color-subdued); }
#status { font-size: .92rem; }
#status .dot { display: inline-block; width: .6em; height: .6em; border-radius: 50%; margin-inline-end: .45em; }
#status .on { background: #0d9488; }
#status .off { background: #d97706; }
#status code { background: var(--background-fill-secondary); padding: .1em .35em; border-radius: 4px; }
#simulated { font-size: .86rem; color: var(--body-text-color-subdued); border-inline-start: 3px solid #d97706;
  padding-inline-start: .7em; }
#talk { height: min(46vh, 390px) !important; }
#talk pre, #talk code { font-size: .86rem; white-space: pre-wrap !important; overflow-wrap: anywhere !important; }
#talk, #talk * { min-width: 0; }
#talk table.fields, #talk table.fields * { border: 0 !important; }
#talk table.fields { border-collapse: collapse; margin: 0; width: auto; }
#talk table.fields th, #talk table.fields td { border: 0; padding: 2px 14px 2px 0; text-align: start;
  vertical-align: top; overflow-wrap: anywhere; background: none; }
#talk table.fields th { font-weight: 400; color: var(--body-text-color-subdued); white-space: nowrap; }
#talk table.fields td { font-weight: 600; }
#talk .note { color: var(--body-text-color-subdued); font-size: .8rem; }
#judge { gap: 8px; align-items: center; }
#judge button { min-height: 44px; }
#correction textarea { font-family: var(--font-mono); font-size: .9rem; line-height: 1.45; }
#said p { margin: 0; }
#said .good { color: #0d9488; }
#said .bad { color: #dc2626; }
.dark #said .good { color: #2dd4bf; }
.dark #said .bad { color: #f87171; }
#ask { align-items: flex-end; gap: 8px; flex-wrap: nowrap; }
#ask textarea { min-height: 46px; padding: 11px 14px; line-height: 22px; border: 1px solid var(--input-border-color);
  border-radius: 8px; background: var(--input-background-fill); }
#send { height: 46px; flex: 0 0 auto; }
#suggestions { gap: 6px; font-size: .9rem; color: var(--body-text-color-subdued); }
#suggestions button { justify-content: flex-start; text-align: start; white-space: normal; min-height: 40px;
  font-weight: 400; }
html, body { overflow-x: hidden; }
@media (max-width: 640px) {
  .gradio-container > main, .app { padding: 8px !important; }
  #talk { height: 46vh !important; }
  #judge { flex-wrap: wrap; }
  #judge button { flex: 1 1 30%; min-width: 0 !important; }
}
"""
