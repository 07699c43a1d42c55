"""What Streamlit's theme cannot say: compact spacing, and on a phone the sidebar as a sheet under the charts."""

import json
import re

import streamlit as st

from llmcalc.inputs import INPUTS
from llmcalc.kinds import Integer
from llmcalc.words import language, w
from pages.ui.figures.palette import MARK
from pages.ui.figures.svg import both

# No :has() and no [class*=…] here. With the one Chromium works out the style of the whole page anew whenever a chart
# measures a label, in forty times as long, and charts measure many; with the other the style of all that is in an
# element whose class changes, and Streamlit changes that of every element whenever a run begins.
_CSS = """
[data-testid="stMainBlockContainer"] { padding-top: 3.25rem; padding-bottom: 3rem; max-width: 1500px; }
.stHeading :is(h1, h2, h3) { text-wrap: balance; }
[data-testid="stSidebarContent"] [data-testid="stVerticalBlock"] { gap: 0.55rem; }
[data-testid="stMetricValue"], .stMarkdown table { font-variant-numeric: tabular-nums; }
/* Streamlit's are too faint, or in the dark too dark, to be read: WCAG 1.4.3 */
[data-testid="stCaptionContainer"], kbd {
  color: inherit !important; opacity: 0.78 !important; }
[data-testid="stCaptionContainer"] a { color: inherit !important; text-decoration: underline !important; }
button[kind="tertiary"]:is(:hover, :active, :focus) { color: inherit !important; text-decoration: underline; }
[role="radio"][aria-checked="true"]:is(:hover, [data-focused="true"]) { color: inherit !important; }
.katex { font-size: 1.05em; }
/* a table that can be scrolled sideways has a shadow at the side where there is more of it */
.stMarkdown table { display: block; max-width: 100%; overflow-x: auto;
  background: linear-gradient(to right, light-dark(#ffffff, #11151a) 40%, transparent) left / 2.5rem 100% local,
    linear-gradient(to left, light-dark(#ffffff, #11151a) 40%, transparent) right / 2.5rem 100% local,
    linear-gradient(to right, light-dark(#0004, #fff4), transparent) left / 0.5rem 100% scroll,
    linear-gradient(to left, light-dark(#0004, #fff4), transparent) right / 0.5rem 100% scroll;
  background-repeat: no-repeat; }
/* and so has one drawn on a canvas, which lies under what scrolls; at its end the shadow goes */
@supports (animation-timeline: scroll()) {
  .stDataFrame .dvn-scroller { animation: more-aside linear both; animation-timeline: scroll(self x);
    background: linear-gradient(to left, light-dark(#0004, #fff4), transparent) right / 0 100% no-repeat scroll; }
  @keyframes more-aside { from, 90% { background-size: 0.75rem 100%; } to { background-size: 0 100%; } }
}
.stMarkdown td { white-space: nowrap; }
.stMarkdown td:last-child:not([style*="right"]) { white-space: normal; }  /* a formula, or words */
/* on a phone a formula is not broken up at each sign to save the table from being scrolled */
@media (max-width: 767px) { .stMarkdown td:last-child:has(.katex) { min-width: 7.5rem; } }
/* printed / right / why: the reason wraps, and on a phone it has a line of its own under its figures */
PRINTED :is(td, th):last-child { white-space: normal; }
/* headline numbers and models: as many to a row as there is room for, two on a phone */
:is(.st-key-headlines, .st-key-compared) { display: grid; gap: 0.8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(11rem, 46%), 1fr)); }
/* no row with a hole: six in rows of three, four in one row where that is 46.4rem wide, else in two; five and seven in
   rows of which one has a frame more than the other, each as wide as the others */
@media (min-width: 768px) {
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(8):last-child) { grid-template-columns: repeat(4, 1fr); }
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(7):last-child) { grid-template-columns: repeat(12, 1fr); }
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(7):last-child) > * { grid-column: span 4; }
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(7):last-child) > :nth-child(n+4) { grid-column: span 6; }
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(6):last-child) { grid-template-columns: repeat(3, 1fr); }
}
.st-key-headlines:not(.st-key-stage *):has(> :nth-child(4):last-child) { grid-template-columns: repeat(auto-fit,
  minmax(max(min(11rem, 46%), min(46%, (46.4rem - 100%) * 999)), 1fr)); }
@media (min-width: 1200px) {
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(7):last-child) > :nth-child(n+4) { grid-column: span 3; }
}
@media (min-width: 768px) and (max-width: 1199px) {
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(5):last-child) { grid-template-columns: repeat(6, 1fr); }
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(5):last-child) > * { grid-column: span 2; }
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(5):last-child) > :nth-child(n+4) { grid-column: span 3; }
}
@media (max-width: 767px) {
  .st-key-headlines:not(.st-key-stage *):is(:has(> :nth-child(5):last-child), :has(> :nth-child(n+7):last-child)) {
    grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .st-key-headlines:not(.st-key-stage *):is(:has(> :nth-child(5):last-child), :has(> :nth-child(7):last-child))
    > :last-child { grid-column: 1 / -1; }
}
@media (max-width: 580px) {
  .st-key-headlines:not(.st-key-stage *):has(> :nth-child(3):last-child) > :last-child { grid-column: 1 / -1; }
}
/* as high as the highest of its row */
:is(.st-key-headlines, .st-key-compared) { align-items: stretch; }
.st-key-headlines > .stElementContainer :is(.stButton, .stButton > div, .stTooltipIcon, .stTooltipHoverTarget),
:is(.st-key-headlines, .st-key-compared) > [data-testid="stLayoutWrapper"] > [data-testid="stVerticalBlock"] {
  height: 100%; }
.st-key-headlines [data-testid="stVerticalBlock"] { gap: 0; padding-bottom: 0.25rem; }
.st-key-headlines [data-testid="stMetricLabel"] * { white-space: normal; overflow: visible; }
NUMBER { height: 100%; padding: 0.7rem 1rem; }
NUMBER > * { width: 100%; height: 100%; align-items: start; justify-content: start; text-align: start; }
NUMBER p { font-size: 0.875rem; }
NUMBER strong { display: block; font-size: 2rem; font-weight: 400; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
NUMBER strong + span { font-size: 0.8rem !important; opacity: 0.78; }
.st-key-compared { grid-template-columns: repeat(auto-fill, minmax(min(11rem, 46%), 1fr)); }
.st-key-compared [data-testid="stVerticalBlock"] { gap: 0.4rem; }
/* heads that say for which size: on a phone in few lines */
@media (max-width: 767px) {
  .st-key-every_device th { font-size: 0.8rem; line-height: 1.3; vertical-align: bottom; }
  .st-key-every_device :is(td, th) { padding: 0.4rem 0.5rem; }
}
/* what a row is about stays in sight while its models scroll by */
.st-key-comparison_table :is(td, th):first-child { position: sticky; left: 0; z-index: 1;
  background: light-dark(#ffffff, #11151a); white-space: normal; min-width: 8.5rem; }
.st-key-comparison_table th { white-space: normal; min-width: 6.5rem; }
/* what a technique shrinks and what it costs wrap */
.st-key-technique_table :is(td, th):is(:nth-child(2), :nth-child(4), :last-child) { white-space: normal; }
.st-key-technique_table :is(td, th):is(:nth-child(4), :last-child) { min-width: 13rem; }
/* what words mean: in columns; the one that a link led to is marked */
.glossary { columns: 3 17rem; column-gap: 2rem; font-size: 0.875rem; margin: 0;
  padding: 0 !important; }
.glossary div { break-inside: avoid; padding: 0.2rem 0.4rem; scroll-margin: 30vh; border-radius: 0.3rem; }
.glossary div:target { background: light-dark(#fff3c4, #4a3f14); }
.glossary dt { font-weight: 600; }
.glossary dd { margin: 0; padding: 0; }
/* a slider and its exact value side by side at every width, everything else in a row of its own; a grid, for a block
   around each pair would slow down every step */
[data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] { display: grid; align-items: end;
  grid-template-columns: minmax(0, 1fr) 6rem; }
[data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] > * { grid-column: 1 / -1; min-width: 0; }
[data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] > SLIDER { grid-column: 1; }
[data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] > FIELD { grid-column: 2; }
.copy-link { width: 100%; padding: 0.4rem 0.8rem; font: inherit; cursor: pointer; color: inherit;
  background: light-dark(#ffffff, #11151a); border: 1px solid rgba(128, 128, 128, 0.5); border-radius: 8px; }
.copy-link:hover { border-color: light-dark(#00659E, #4BA3E3); color: light-dark(#00659E, #4BA3E3); }
.copy-link:focus-visible { outline: 2px solid light-dark(#00659E, #4BA3E3); outline-offset: 2px; }
.st-key-menu { border-top: 1px solid rgba(128, 128, 128, 0.3); padding-top: 0.8rem; }
/* charts side by side where there is room; what is said of them has a row of its own, before how memory grows */
.st-key-charts { display: grid; gap: 1rem 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
.st-key-charts > * { grid-column: 1 / -1; }
.st-key-charts > :is(.st-key-parameters_by_component, .st-key-memory_by_component) { grid-column: auto; }
.st-key-charts > :is([data-testid="stLayoutWrapper"], .st-key-memory_growth) { order: 1; }
/* the question is a sentence whose blanks are underlined, and the answer to it is read first */
.st-key-question { row-gap: 0.3rem; column-gap: 0.45rem; }
.st-key-question p { font-size: 1.3rem; line-height: 1.9; }
.st-key-question :is(input, [data-baseweb="select"]) { font-size: 1.15rem; font-weight: 600;
  color: light-dark(#00659E, #4BA3E3); }
.st-key-verdict p { font-size: 1.1rem; }
.st-key-answered { row-gap: 0.1rem; }
.st-key-answered .stMarkdown p { margin: 0; }
.st-key-answered [data-testid="stMarkdownContainer"], .st-key-typed_notes [data-testid="stCaptionContainer"] {
  margin-bottom: 0; }
.st-key-typed_notes { row-gap: 0; }
.st-key-typed_notes p { margin: 0; }
.st-key-typed_notes button { min-height: 1.7rem; padding: 0; text-decoration: underline;
  color: light-dark(#00659E, #4BA3E3); }
.device-bar { position: relative; height: 2.6rem; border-radius: 6px; }
.device-room { position: absolute; inset: 0.2rem auto 0.2rem 0; box-sizing: border-box;
  border: 1px solid rgba(128, 128, 128, 0.45); border-radius: 4px; background: light-dark(#eef1f4, #1d242c); }
.device-parts { position: absolute; inset: 0.2rem 0; display: flex; border-radius: 4px 0 0 4px; overflow: hidden; }
.device-line { position: absolute; inset: 0 auto; width: 3px; margin-left: -3px; background: DEVICE_LINE; }
.device-key { display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; font-size: 0.875rem; padding-top: 0.3rem;
  font-variant-numeric: tabular-nums; }
.device-key i { display: inline-block; width: 0.7rem; height: 0.7rem; margin-right: 0.35rem; border-radius: 2px; }
.st-key-cheaper_three { display: grid; gap: 0.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.st-key-cheaper_three :is(.stElementContainer, .stButton, .stButton > div, .stTooltipIcon, .stTooltipHoverTarget),
.st-key-cheaper_three button { width: 100%; height: 100%; }
.st-key-cheaper { gap: 0.4rem; }
.st-key-cheaper_three button > * { width: 100%; justify-content: start; text-align: start; }
/* closed, it is still there for the keyboard, and laid out 40 pixels wide and 13,000 high */
[data-testid="stSidebar"][data-collapsed="true"] [data-testid="stSidebarContent"] { display: none; }
:is(.st-key-unseen_controls, .st-key-unseen_language, .st-key-unseen_storage, .st-key-drawing_seen) { display: none; }
/* Streamlit has every element fade as soon as a run starts, a layer each, though most runs are over before it shows */
.stApp [data-stale] { opacity: 1; transition: none; }
/* what Streamlit says in English whatever the language: how to upload, how to enter */
UPLOAD, [data-testid="InputInstructions"] > :first-child { font-size: 0; }
UPLOAD::after { content: SAY_UPLOAD; font-size: 0.875rem; }
[data-testid="InputInstructions"] > :first-child::after { content: SAY_ENTER; font-size: 0.75rem; }
.stTextArea [data-testid="InputInstructions"] > :first-child::after { content: SAY_CTRL_ENTER; }
/* it would stand in the example */
.st-key-question_typed [data-testid="InputInstructions"] { display: none; }
.qr { display: block; margin: auto; width: min(50vh, 80vw); shape-rendering: crispEdges; }
[data-testid="stSidebar"] .qr { width: 100%; max-width: 16rem; }
/* what takes longer says so, above everything */
.stApp[data-test-script-state="running"]::before { content: ""; position: fixed; inset: 0 0 auto; height: 3px;
  z-index: 1000001; background: light-dark(#00659E, #4BA3E3); animation: working 1.2s 0.5s ease-in-out infinite both; }
@keyframes working { 0% { clip-path: inset(0 100% 0 0); } 50% { clip-path: inset(0); }
  100% { clip-path: inset(0 0 0 100%); } }
:is(.st-key-worst_reports, .st-key-every_printed, .st-key-served) td:not([style*="right"]) { white-space: normal; }
@media (pointer: coarse) { .st-key-neighbours kbd { display: none; } }
@media (max-width: 767px) {
  [data-testid="stMainBlockContainer"] { padding-left: 0.9rem; padding-right: 0.9rem; }
  .stMarkdown :is(td, th) { padding: 0.4rem 0.5rem; }
  .stMarkdown td:not([style*="right"]) { white-space: normal; }  /* text; numbers stay whole */
  .st-key-every_device td { white-space: normal !important; }  /* 88,5 GiB (nominal) */
  /* five columns: what is median / 95% / largest takes a line each */
  :is(.st-key-spreads, .st-key-takes) .stMarkdown :is(td, th) {
    white-space: normal; padding: 0.3rem 0.25rem; font-size: 0.8rem; }
  :is(.st-key-worst_reports, .st-key-every_printed) td[style*="right"] { white-space: nowrap !important; }
  :is(.st-key-before_after, .st-key-quantised) .stMarkdown :is(td, th) { padding: 0.4rem 0.25rem; font-size: 0.85rem;
    white-space: normal; }
  :is(.st-key-before_after, .st-key-quantised) .stMarkdown td[style*="right"] { white-space: nowrap; }
  /* of a setting the three errors have a line of their own */
  .st-key-covered :is(table, thead, tbody) { display: block; }
  .st-key-covered tr { display: grid; grid-template-columns: minmax(0, 1fr) repeat(3, 4.8rem);
    border-bottom: 1px solid rgba(128, 128, 128, 0.3); }
  .st-key-covered .stMarkdown :is(td, th) { border: none; }
  .st-key-covered .stMarkdown :is(td, th):last-child { grid-column: 1 / -1; padding-top: 0; opacity: 0.85; }
  .st-key-headlines :is([data-testid="stMetricValue"], strong) {
    font-size: 1.5rem !important; }  /* 46,7 miliar, 172 MFLOP */
  /* a technique's cost and what it shrinks have lines of their own under its figures */
  .st-key-technique_table :is(table, thead, tbody) { display: block; }
  .st-key-technique_table tr { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1.2fr) 5.6em 5.2em;
    font-size: 0.9em; border-bottom: 1px solid rgba(128, 128, 128, 0.3); }
  .st-key-technique_table :is(td, th) { border: none; padding: 0.4rem 0.2rem; white-space: normal; min-width: 0; }
  .st-key-technique_table :is(td, th):nth-child(5) { order: 3; }
  .st-key-technique_table :is(td, th):nth-child(-n+3) { order: 2; }
  .st-key-technique_table td:is(:nth-child(4), :last-child) { order: 4; grid-column: 1 / -1; padding-top: 0;
    opacity: 0.85; }
  .st-key-technique_table th:is(:nth-child(4), :last-child) { display: none; }
  [data-testid="stPageLink"] :is(span, p) { white-space: normal; }
  .st-key-chapter_beside button { padding: 0.25rem 0.62rem; }  /* all chapters in a row */
  PRINTED :is(table, thead, tbody) { display: block; }
  PRINTED tr { display: grid; grid-template-columns: minmax(0, 1fr) repeat(2, 8.4em);
    font-size: 0.9em; border-bottom: 1px solid rgba(128, 128, 128, 0.3); }
  .st-key-printed_b tr { grid-template-columns: minmax(0, 1fr) repeat(2, 6.6em) 5.4em; }
  PRINTED :is(td, th) { border: none; padding: 0.4rem 0.2rem; white-space: normal; }
  PRINTED td:last-child { grid-column: 1 / -1; padding-top: 0; opacity: 0.85; }
  PRINTED :is(td:last-child:empty, th:last-child) { display: none; }
  [data-testid="stExpandSidebarButton"] { width: auto; }
  [data-testid="stExpandSidebarButton"]::after { content: OPEN_LABEL; padding-left: 0.4rem; }
  /* open, it takes the lower half, and the chart that a knob moves stays in sight above it */
  [data-testid="stSidebar"][data-collapsed="false"] { position: fixed !important; inset: auto 0 0 0;
    width: 100% !important; max-width: 100% !important; height: 46dvh !important;
    border-radius: 14px 14px 0 0; box-shadow: 0 -6px 24px rgba(0, 0, 0, 0.25); }
  [data-testid="stSidebar"][data-collapsed="false"] [data-testid="stSidebarHeader"] { height: 2.6rem; padding: 0.3rem; }
  /* a section of pages takes as few lines as it can */
  [data-testid="stSidebarNavItems"] > * { display: flex; flex-wrap: wrap; align-items: center; gap: 0 0.3rem;
    margin: 0; padding: 0; }
  [data-testid="stNavSectionHeader"] { padding: 0.2rem 0.3rem; margin: 0; flex: none; }
  [data-testid="stSidebar"][data-collapsed="false"] ~ * [data-testid="stMainBlockContainer"] {
    padding-bottom: 52dvh; }
}
"""

# Presenter mode: everything that is set in rem grows with the window. In the page only while something is presented
_STAGE = """
html { font-size: max(16px, min(1.5vw, 2.7vh)); }
@media (min-width: 768px) {
  .stApp :is([data-testid="stSidebar"], [data-testid="stExpandSidebarButton"]) { display: none; }
}
@media (max-width: 767px) {
  .st-key-stage_bar > :is(.st-key-before, .st-key-before + *, .st-key-next) { order: 1; }
}
.stApp [data-testid="stMainBlockContainer"] { padding: 2.9rem 1.2rem 0.3rem; max-width: none; }
.st-key-backstage { display: none; }
.st-key-stage { gap: 0.4rem; }
.st-key-stage_bar { gap: 0.5rem; }
.st-key-stage_bar > .st-key-before + * { flex: 1 1 10rem; min-width: 0; }
.st-key-stage_qr { margin-left: auto; }
/* the code as large as the window lets it be below its button, and what is said of it beside it */
[data-testid="stPopoverBody"] {
  max-height: calc(100dvh - 7.5rem) !important; max-width: 96vw !important; }
.st-key-qr_beside { gap: 1rem; }
.st-key-qr_beside .qr { width: min(100dvh - 12.5rem, 50vw); }
@media (min-width: 768px) { .st-key-qr_beside { flex-wrap: nowrap; } }
@media (max-width: 767px) { .st-key-qr_beside .qr { width: min(100dvh - 24rem, 80vw); } }
/* an icon, or a frame to press, says it; the name is for those who hear it */
.st-key-stage_bar :is(.st-key-before, .st-key-next) button :is([data-testid="stMarkdownContainer"], kbd),
.st-key-stage .st-key-headlines strong + span {
  position: absolute; clip-path: inset(50%); width: 1px; white-space: nowrap; }
.st-key-stage .st-key-verdict p { font-size: 0.8rem; }
.st-key-stage .st-key-headlines > .stElementContainer button p { font-size: 0.75rem; }
.st-key-stage .st-key-headlines { gap: 0.4rem;
  grid-template-columns: repeat(auto-fit, minmax(min(9rem, 46%), 1fr)); }
.st-key-stage .st-key-headlines > * > [data-testid="stVerticalBlock"],
.st-key-stage .st-key-headlines > .stElementContainer button { padding: 0.25rem 0.7rem; }
.st-key-stage .st-key-headlines :is([data-testid="stMetricValue"], strong) { line-height: 1.15; }
/* of a frame the number, which comes first */
.st-key-stage .st-key-headlines > * > * > [data-testid="stElementContainer"]:not(:first-child) { display: none; }
.st-key-stage_knobs [data-testid="stWidgetLabel"] p { font-size: max(0.94rem, 18px); line-height: 1.15; }
.st-key-stage_knobs [data-testid="stWidgetLabel"] [data-testid="stTooltipIcon"] { display: none; }
.st-key-stage_knobs { display: grid; gap: 0.2rem 1.2rem; align-items: end;
  grid-template-columns: repeat(auto-fit, minmax(min(6.9rem, 44%), 1fr)); }
.st-key-stage_knobs [data-testid="stWidgetLabel"] { min-height: 0; margin-bottom: 0; }
"""

# On paper what is to be read, in one column and dark on white, and nothing to press that leads elsewhere
_PRINT = """
@page { margin: 12mm; }
@media print {
  :is([data-testid="stSidebar"], [data-testid="stHeader"], [data-testid="stToolbar"], [data-testid="stStatusWidget"]),
  :is([data-testid="stExpandSidebarButton"], [data-testid="stSkipToContent"], [data-testid="stTooltipIcon"] svg),
  /* a table to scroll in is a picture of some of its rows, in the colours and as wide as on the screen */
  :is(.stElementContainer:has([data-testid="stDataFrame"]), .st-key-plan_download, .st-key-apply_plan),
  :is(.st-key-download, .st-key-neighbours, .st-key-stage_bar, .st-key-stage_knobs, .st-key-chapter_beside),
  .stApp::before { display: none !important; }
  html, body, #root, .stApp, .stApp :is([data-testid="stAppViewContainer"], [data-testid="stMain"]) {
    position: static !important; display: block !important; height: auto !important; overflow: visible !important;
    background: #ffffff !important; }
  .stApp { color-scheme: light !important; }
  .stApp [data-testid="stMainBlockContainer"] { padding: 0; max-width: none; width: 100%; min-width: 0; }
  .stApp [data-testid="stMain"] :not(.chart-box *, svg *, .qr, .device-bar *, .device-key i) {
    color: #1b1f24 !important; background-color: transparent !important; }
  .stApp .chart-box :is(.chart-title, button) { color: #1b1f24 !important; }
  .stApp [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
  .stApp [data-testid="stColumn"] { flex: 1 1 100%; min-width: 100%; }
  .st-key-charts { display: block !important; }
  .stMarkdown table { display: table; }
  .device-bar *, .device-key i { print-color-adjust: exact; }
  .stMarkdown td:not([style*="right"]), :is(.st-key-comparison_table, .st-key-spreads) td { white-space: normal; }
  .stMarkdown :is(tr, pre, .katex-display), .st-key-headlines > *, [data-testid="stAlert"] { break-inside: avoid; }
  .stMarkdown p { orphans: 3; widows: 3; }
  :is(h1, h2, h3, h4, h5) { break-after: avoid; }
}
"""

# For those whom motion makes ill; Streamlit's own too
_STILL = """
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { animation-duration: 1ms !important; animation-iteration-count: 1 !important;
    transition-duration: 1ms !important; scroll-behavior: auto !important; }
}
"""

# The page's language, and Streamlit's first stop of the keyboard in it
_LANGUAGE = """
document.documentElement.lang = LANGUAGE;
document.querySelector('[data-testid="stSkipToContent"]')?.replaceChildren(SKIP);
"""

# A phone held sideways starts with the sidebar closed: Streamlit goes by the width alone
_CLOSED_ON_LOW_SCREENS = """
if (!window.sidebarDecided) {
  window.sidebarDecided = true;
  const until = performance.now() + 10000;
  const close = () => {
    const sidebar = document.querySelector('[data-testid="stSidebar"]');
    const button = sidebar?.querySelector('[data-testid="stSidebarCollapseButton"] button');
    if (button && sidebar.dataset.collapsed !== "true") button.click();
    else if (!button && performance.now() < until) setTimeout(close, 50);
  };
  if (matchMedia("(min-width: 768px) and (max-height: 500px)").matches) close();
}
"""


def style(script: str = "") -> None:
    """Put the style sheet into the page, and tell the browser the page's language, once a run.

    script: what else the browser is to run then.
    """
    with_fields = [id for id, declared in INPUTS.items() if isinstance(declared, Integer) and declared.scale]
    meant = {
        "OPEN_LABEL": quoted(w("sidebar.open")),
        "DEVICE_LINE": both(MARK),
        "SAY_UPLOAD": quoted(w("app.upload")),
        "SAY_ENTER": quoted(w("app.enter")),
        "SAY_CTRL_ENTER": quoted(w("app.ctrl_enter")),
        "UPLOAD": '[data-testid="stFileUploaderDropzone"] button p',
        "PRINTED": f":is({', '.join(f'.st-key-printed_{letter}' for letter in 'bcdefghi')})",
        "NUMBER": ".st-key-headlines > .stElementContainer button",
        "SLIDER": f":is({', '.join(f'.st-key-{id}_slider' for id in with_fields)})",
        "FIELD": f":is({', '.join(f'.st-key-{id}_typed' for id in with_fields)})",
    }
    sheet = re.sub("|".join(meant), lambda name: meant[name[0]], _CSS)
    st.html(f"<style>{sheet}{_STILL}{_PRINT}</style>")
    language_script = _LANGUAGE.replace("LANGUAGE", json.dumps(language())).replace("SKIP", json.dumps(w("app.skip")))
    with st.container(key="unseen_language"):
        st.html(f"<script>{language_script}{_CLOSED_ON_LOW_SCREENS}{script}</script>", unsafe_allow_javascript=True)


def quoted(text: str) -> str:
    """A text as a style sheet writes it."""
    return json.dumps(text, ensure_ascii=False)


def style_stage() -> None:
    """Put the presenter's style sheet into the page, for as long as it is drawn."""
    st.html(f"<style>{_STAGE}</style>")
