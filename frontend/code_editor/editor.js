// A code editor as a Streamlit component: text in, text out, errors marked in their lines.
// Python keeps the text: it arrives as `data.text` when the editor is mounted, and is sent back shortly after typing.

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { python } from "@codemirror/lang-python";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState } from "@codemirror/state";
import {
  drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

const IDLE_MS = 900; // after the last key press, so that half-typed words are not checked

const colors = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.propertyName], color: "var(--code-name)" },
  { tag: tags.invalid, color: "var(--code-fault)" },
]);

const look = EditorView.theme({
  "&": { fontSize: "0.85rem", backgroundColor: "transparent", color: "var(--st-text-color)" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { fontFamily: "var(--st-code-font, monospace)", caretColor: "var(--st-text-color)" },
  ".cm-cursor": { borderLeftColor: "var(--st-text-color)" },
  ".cm-gutters": {
    backgroundColor: "transparent", color: "var(--code-comment)", border: "none",
    fontFamily: "var(--st-code-font, monospace)",
  },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--code-line)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--code-selection)",
  },
  ".cm-tooltip": {
    backgroundColor: "var(--st-background-color)", color: "var(--st-text-color)",
    border: "1px solid var(--st-border-color)",
  },
  ".cm-panels": { backgroundColor: "var(--st-secondary-background-color)", color: "var(--st-text-color)" },
});

const languages = { python: () => [python(), indentUnit.of("    ")], json: () => [json(), indentUnit.of("  ")] };

function mounted(host, root, { data, tell }) {
  const view = new EditorView({
    root,
    parent: host,
    state: EditorState.create({
      doc: data.text,
      extensions: [
        lineNumbers(), highlightActiveLineGutter(), history(), drawSelection(), indentOnInput(), bracketMatching(),
        closeBrackets(), highlightActiveLine(), highlightSelectionMatches(), lintGutter(),
        syntaxHighlighting(colors), look, EditorState.tabSize.of(4),
        data.wraps ? EditorView.lineWrapping : [],
        (languages[data.language] ?? (() => []))(),
        EditorView.contentAttributes.of({ "aria-label": data.label, tabindex: "0", spellcheck: "false", autocorrect: "off" }),
        keymap.of([
          { key: "Mod-Enter", run: () => (tell(true), true) },
          ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap,
          ...(data.tabs ? [indentWithTab] : []),
        ]),
        EditorView.updateListener.of((update) => update.docChanged && tell(false)),
        EditorView.domEventHandlers({ blur: () => (tell(true), false) }),
      ],
    }),
  });
  return view;
}

function marked(view, faults) {
  const lines = view.state.doc.lines;
  const found = faults.filter((fault) => fault.line <= lines).map((fault) => {
    const line = view.state.doc.line(fault.line);
    const from = Math.min(line.from + Math.max(0, (fault.column ?? 1) - 1), line.to);
    return { from: fault.column ? from : line.from, to: line.to, severity: "error", message: fault.message };
  });
  view.dispatch(setDiagnostics(view.state, found));
}

export function draw(component, editors) {
  const { data, parentElement, setStateValue } = component;
  const host = parentElement.querySelector(".editor");
  let kept = editors.get(parentElement);
  if (!kept) {
    kept = { told: data.text, timer: 0 };
    const say = () => {
      const text = kept.view.state.doc.toString();
      if (text !== kept.told) kept.set("text", (kept.told = text));
    };
    const tell = (now) => {
      clearTimeout(kept.timer);
      if (now) say();
      else kept.timer = setTimeout(say, IDLE_MS);
    };
    kept.tell = tell;
    const root = parentElement.getRootNode();
    kept.view = mounted(host, root, { data, tell });
    editors.set(parentElement, kept);
  }
  kept.set = setStateValue;
  parentElement.querySelector(".label").textContent = data.label;
  host.style.setProperty("--height", `${data.height}px`);
  marked(kept.view, kept.view.state.doc.toString() === data.text ? data.faults : []);
  return () => {
    clearTimeout(kept.timer);
    kept.view.destroy();
    editors.delete(parentElement);
  };
}
