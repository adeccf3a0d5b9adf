"""How the panel looks: one style sheet, in the colours and fonts of the page that it is in."""

from __future__ import annotations

_BASE = """
.qstate-panel { font-size: var(--jp-ui-font-size1, 13px); color: var(--jp-ui-font-color0, #000);
  border: 1px solid var(--jp-border-color2, #ccc); border-radius: 3px; padding: 0.6em; overflow: visible; }
.qstate-panel .qstate-head { justify-content: space-between; align-items: center; }
.qstate-panel .qstate-head > .qstate-where { flex: 1 1 10em; min-width: 0; height: auto; margin: 0.3em 1em; }
.qstate-panel .qstate-where .widget-html-content { line-height: 1.4; overflow-wrap: anywhere; }
.qstate-panel .qstate-where summary { cursor: pointer; color: var(--jp-ui-font-color1, #444); }
.qstate-panel h2 { font-size: 1.2em; font-weight: 600; margin: 0; }
.qstate-panel .qstate-main { flex-flow: row wrap; align-items: stretch; gap: 0.8em; overflow: visible;
  container: qstate-main / inline-size; }
.qstate-panel .qstate-main > * { max-height: 36em; overflow: auto; padding-bottom: 0.3em; }
.qstate-panel .qstate-main > * > * { flex-shrink: 0; }
.qstate-panel .qstate-main > .qstate-tasks { flex: 1 1 17em; width: auto; }
.qstate-panel .qstate-main > .qstate-state { flex: 4 1 33em; width: auto; }
@container qstate-main (width < 50.8em) {  /* where State comes below the tasks */
  .qstate-panel .qstate-main > * { max-height: none; overflow: visible; }
}
.qstate-panel h3 { font-size: 1.1em; font-weight: 600; margin: 0 0 0.3em 0; }
.qstate-panel h4 { font-size: 1em; font-weight: 600; margin: 0.2em 0; }
.qstate-panel code, .qstate-panel .qstate-code { font-family: var(--jp-code-font-family, monospace);
  font-size: var(--jp-code-font-size, 13px); overflow-wrap: anywhere; }
.qstate-panel .qstate-quiet { color: var(--jp-ui-font-color1, #444); }
.qstate-panel .qstate-problem { font-weight: 600; color: var(--jp-error-color0, #a30000);
  color: color-mix(in srgb, var(--jp-error-color1, #d32f2f) 60%, var(--jp-ui-font-color0, #000)); }
.qstate-panel .qstate-problem::before { content: "\\26a0\\00a0"; }
.qstate-panel button:focus-visible, .qstate-panel input:focus-visible, .qstate-panel select:focus-visible,
.qstate-panel textarea:focus-visible, .qstate-panel summary:focus-visible, .qstate-panel [tabindex]:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px; }
"""

_TIME = """
.qstate-time > .widget-html { max-width: 100%; direction: rtl; }  /* so that the last events are in sight */
.qstate-time > .widget-html > .widget-html-content { direction: ltr; flex: 1 0 auto; }
"""

_CALLS = """
.qstate-calls h3 { margin: 0 0.8em 0 0; }
.qstate-calls .qstate-row { border-top: 1px solid var(--jp-border-color2, #ddd); padding: 0.15em 0; }
.qstate-call { line-height: 1.5; overflow-wrap: anywhere; }
.qstate-calls .qstate-status { font-weight: 600; white-space: nowrap; }
.qstate-calls .qstate-error { color: var(--jp-error-color0, #a30000);
  color: color-mix(in srgb, var(--jp-error-color1, #d32f2f) 60%, var(--jp-ui-font-color0, #000)); }
.qstate-calls .qstate-output { margin: 0 0 0.3em 1em; padding: 0; white-space: pre-wrap; overflow-wrap: anywhere;
  line-height: 1.4; font-family: var(--jp-code-font-family, monospace);
  font-size: var(--jp-code-font-size, 13px); color: inherit; background: transparent; }
.qstate-calls details { margin-left: 1em; line-height: 1.5; }
.qstate-calls summary { cursor: pointer; }
.qstate-calls .qstate-indeterminate .progress-bar { background-image: repeating-linear-gradient(45deg,
  rgba(255, 255, 255, 0.45) 0 0.6em, transparent 0.6em 1.2em); background-size: 1.7em 100%;
  animation: qstate-at-work 1s linear infinite; }
@keyframes qstate-at-work { to { background-position: 1.7em 0; } }
@media (prefers-reduced-motion: reduce) { .qstate-calls .qstate-indeterminate .progress-bar { animation: none; } }
"""

_EVENTS = """
.qstate-events table { width: 100%; margin: 0 !important; }
.qstate-events tbody tr { border-top: 1px solid var(--jp-border-color2, #ddd); }
.qstate-events tbody tr:nth-child(even) { background: var(--jp-rendermime-table-row-background, #f5f5f5); }
.qstate-events th, .qstate-events td { line-height: 1.5; }
.qstate-events th, .qstate-events td:not(:nth-last-child(2)) { overflow-wrap: break-word !important;
  max-width: 14em; }
"""

_TASKS = """
.qstate-tasks { width: 100%; min-width: 0; overflow: visible; }
.qstate-tasks .widget-html-content { line-height: 1.4; }
.qstate-tasks .qstate-search { height: auto; align-items: baseline; }
.qstate-tasks .qstate-search .widget-label { width: auto; text-align: left; margin-right: 0.5em; }
.qstate-tasks .qstate-search input { flex: 1 1 8em; min-width: 0; border: 1px solid var(--jp-border-color1, #888); }
.qstate-tasks .qstate-task { border-top: 1px solid var(--jp-border-color2, #ccc); padding: 0.5em 0 0.6em 0;
  container-type: inline-size; overflow: visible; }
.qstate-task h4 { font-size: 1.1em; }
.qstate-task .widget-html-content .qstate-code { font-size: 0.9em; color: var(--jp-ui-font-color1, #444); }
.qstate-task summary { cursor: pointer; }
.qstate-task pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.3em 0 0 1em; background: transparent;
  color: inherit; font-size: 0.95em; }
.qstate-form { overflow: visible; padding: 0.3em 0; }
.qstate-form .qstate-field, .qstate-runs .qstate-field { overflow: visible; }
.qstate-form .widget-inline-hbox { align-items: baseline; height: auto; }
.qstate-form .widget-inline-hbox .widget-label { flex: 0 0 7em; width: auto; height: auto; text-align: left;
  white-space: normal; overflow-wrap: anywhere; line-height: 1.3; margin-right: 0.5em; }
.qstate-form .widget-inline-hbox > input, .qstate-form .widget-inline-hbox > select,
.qstate-form .widget-inline-hbox > textarea { flex: 1 1 auto; min-width: 0; width: auto; min-height: 2em;
  padding: 0.2em 0.5em; font-size: inherit; color: var(--jp-ui-font-color0, #000);
  background-color: var(--jp-layout-color1, #fff); box-sizing: border-box;
  border: 1px solid var(--jp-border-color1, #888); }
.qstate-form textarea { font-family: var(--jp-code-font-family, monospace); }
.qstate-form input::placeholder, .qstate-form textarea::placeholder { color: var(--jp-ui-font-color1, #555);
  opacity: 0.85; }
.qstate-form .widget-checkbox .widget-label-basic { line-height: 1.4; height: auto; display: flex; gap: 0.4em; }
.qstate-form .widget-checkbox .widget-label-basic input { align-self: center; margin: 0; }
.qstate-form .widget-checkbox { padding: 0.3em 0; }
.qstate-form .qstate-told { margin: 0 0 0.4em 7.7em; }
.qstate-form .qstate-invalid > .widget-inline-hbox > input,
.qstate-form .qstate-invalid > .widget-inline-hbox > select,
.qstate-form .qstate-invalid > .widget-inline-hbox > textarea { border: 2px solid var(--jp-error-color0, #a30000); }
.qstate-form .qstate-subform { border: 1px solid var(--jp-border-color1, #aaa);
  border-left: 3px solid var(--jp-border-color1, #aaa); border-radius: 3px; padding: 0.3em 0.6em; margin: 0.3em 0; }
.qstate-form .qstate-subform.qstate-invalid { border-color: var(--jp-error-color0, #a30000); }
.qstate-form .qstate-subform > .qstate-told { margin-left: 0; }
.qstate-form .qstate-maybe > .qstate-field { margin-left: 1.5em; width: auto; }
.qstate-form .qstate-maybe .qstate-field .widget-inline-hbox .widget-label { flex-basis: 5.5em; }
@container (max-width: 19em) {
  .qstate-form .widget-inline-hbox { flex-wrap: wrap; }
  .qstate-form .widget-inline-hbox .widget-label { flex: 1 0 100% !important; }
  .qstate-form .qstate-told { margin-left: 0; }
}
.qstate-runs { flex-wrap: wrap; align-items: center; gap: 0.3em 0.8em; overflow: visible; }
.qstate-runs button { margin: 0; }
.qstate-runs .widget-inline-hbox { margin: 0; align-items: center; }
.qstate-runs .widget-text .widget-label { width: auto; margin-right: 0.4em; }
.qstate-runs .widget-text input[type=text] { width: 5em; flex: 0 0 auto;
  border: 1px solid var(--jp-border-color1, #888); }
.qstate-runs .qstate-invalid .widget-text input[type=text] { border: 2px solid var(--jp-error-color0, #a30000); }
.qstate-runs .widget-checkbox .widget-label-basic { display: flex; gap: 0.4em; align-items: center; height: auto; }
.qstate-runs .widget-checkbox .widget-label-basic input { margin: 0; }
.qstate-tasks .qstate-together { border: 1px solid var(--jp-border-color1, #aaa); border-radius: 3px;
  padding: 0.4em 0.6em; margin-bottom: 0.6em; overflow: visible; }
.qstate-together .qstate-prepared { align-items: center; justify-content: space-between; flex-wrap: wrap;
  gap: 0 0.6em; }
.qstate-together .qstate-prepared .widget-html { flex: 1 1 10em; }
"""

_STATE = """
.qstate-state { container-type: inline-size; min-width: 0; }
.qstate-state .jupyter-widgets { margin: 1px 0; }
.qstate-state .widget-html-content, .qstate-state .widget-html { line-height: 1.45; height: auto; min-width: 0; }
.qstate-state .qstate-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
.qstate-state .qstate-tools, .qstate-state .qstate-bucket { flex-flow: row wrap; align-items: center; gap: 0 0.5em; }
.qstate-state .qstate-tools > .widget-text { flex: 1 1 16em; max-width: 32em; }
.qstate-state .qstate-bucket { border-top: 1px solid var(--jp-border-color2, #ccc); margin-top: 0.3em; }
.qstate-state .qstate-bucket h4 { display: inline; font-weight: 400; }
.qstate-state .qstate-bucket .qstate-info { flex: 1 1 8em; overflow-wrap: anywhere; }
.qstate-state .qstate-inside { padding-left: 1.2em; }
.qstate-state .qstate-fold { background: none; box-shadow: none; font-weight: 600; padding: 0 0.3em; text-align: left;
  flex: 0 1 auto; white-space: normal; overflow-wrap: anywhere; height: auto; min-height: 2em; line-height: 1.4; }
.qstate-state .qstate-small { height: auto; min-height: 1.9em; line-height: 1.4; padding: 0.15em 0.6em;
  flex: 0 0 auto; }
.qstate-state .qstate-row, .qstate-state .qstate-columns { display: grid; align-items: start; column-gap: 0.8em;
  grid-template-columns: minmax(0, 15%) minmax(0, 1fr) minmax(0, 25%) 13.5em; }
.qstate-state .qstate-columns { padding-left: 0.5em; font-weight: 600; color: var(--jp-ui-font-color1, #444); }
.qstate-state .qstate-row { border-top: 1px solid var(--jp-border-color3, #e8e8e8); padding: 1px 0 1px 0.5em;
  margin: 0; overflow: visible; }
.qstate-state .qstate-row > .widget-html { margin: 0.2em 0; }
.qstate-state .qstate-value .qstate-code { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2;
  overflow: hidden; }
.qstate-state .qstate-tree > .qstate-code { display: block; }
.qstate-state .qstate-about { display: grid; grid-template-columns: 1fr 2fr; column-gap: 0.8em;
  overflow-wrap: anywhere; }
.qstate-state .qstate-columns > .qstate-about { margin: 0; }
.qstate-state .qstate-actions { justify-content: flex-end; flex-flow: row wrap; gap: 0 0.3em; overflow: visible; }
.qstate-state .qstate-marked { background: rgba(255, 152, 0, 0.2);
  box-shadow: inset 3px 0 0 var(--jp-warn-color0, #b35900); }
.qstate-state .qstate-row .qstate-label { position: absolute; clip-path: inset(50%); width: 1px; height: 1px;
  overflow: hidden; white-space: nowrap; }
.qstate-state .qstate-tree { overflow-wrap: anywhere; }
.qstate-state .qstate-tree details, .qstate-state .qstate-tree .qstate-leaf { margin-left: 1.2em;
  font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px); }
.qstate-state .qstate-tree summary { cursor: pointer; }
.qstate-state .qstate-tree .qstate-label { position: static; clip-path: none; width: auto; height: auto;
  font-weight: 600; }
.qstate-state .qstate-asked { font-weight: 600; outline: 2px solid var(--jp-error-color0, #a30000); }
.qstate-state .qstate-editing { grid-template-columns: minmax(0, 16%) minmax(0, 1fr); }
.qstate-state .qstate-editing > .qstate-value, .qstate-state .qstate-editing > .qstate-about-cell,
.qstate-state .qstate-editing > .qstate-actions { display: none; }
.qstate-state .qstate-line { flex-flow: row wrap; align-items: center; gap: 0 0.4em; }
.qstate-state .qstate-line > .widget-text { flex: 1 1 12em; }
.qstate-past { box-shadow: inset 0 0 0 3px var(--jp-warn-color0, #b35900); }
.qstate-panel .qstate-main > .qstate-past { padding: 3px 0.6em 0.6em 0.6em; }
.qstate-state .qstate-notice { position: sticky; top: 0; z-index: 1; background: var(--jp-layout-color0, #fff); }
@container (max-width: 50em) {
  .qstate-state .qstate-row { grid-template-columns: minmax(0, 20%) minmax(0, 1fr) auto; }
  .qstate-state .qstate-editing { grid-template-columns: minmax(0, 20%) minmax(0, 1fr); }
  .qstate-state .qstate-key, .qstate-state .qstate-actions { grid-row: 1 / span 2; }
  .qstate-state .qstate-row > .qstate-value { margin-bottom: 0; }
  .qstate-state .qstate-row > .qstate-about-cell { grid-column: 2; grid-row: 2; margin-top: 0; font-size: 0.92em;
    color: var(--jp-ui-font-color1, #444); }
  .qstate-state .qstate-about { display: block; }
  .qstate-state .qstate-about > span + span:not(:empty)::before { content: " \\00b7  by "; }
  .qstate-state .qstate-columns { display: none; }
}
@container (max-width: 34em) {
  .qstate-state .qstate-row { grid-template-columns: minmax(4em, 1fr) auto; }
  .qstate-state .qstate-editing { grid-template-columns: minmax(0, 1fr); }
  .qstate-state .qstate-key, .qstate-state .qstate-actions { grid-row: 1; }
  .qstate-state .qstate-row > .qstate-value { grid-column: 1 / -1; grid-row: 2; margin-top: 0; }
  .qstate-state .qstate-row > .qstate-about-cell { grid-column: 1 / -1; grid-row: 3; }
}
"""

CSS = "".join((_BASE, _TIME, _STATE, _TASKS, _CALLS, _EVENTS))
"""The style sheet."""
