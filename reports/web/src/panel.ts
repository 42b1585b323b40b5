// What is told about the selected operation, and the filters.

import { outcomes, type Run } from "./data.js";
import type { Logs } from "./logs.js";
import type { View } from "./view.js";
import { at, clock, group, lasted } from "./words.js";

export function element(tag: string, text = "", className = ""): HTMLElement {
  const e = document.createElement(tag);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

export function button(text: string, act: () => void): HTMLButtonElement {
  const b = document.createElement("button");
  b.type = "button";
  b.textContent = text;
  b.addEventListener("click", act);
  return b;
}

// Panel tells about the selected operation.
export class Panel {
  private told = -2;

  constructor(
    private readonly view: View,
    private readonly place: HTMLElement,
    private readonly logs: Logs | null,
  ) {
    view.each(() => this.update());
    this.update();
  }

  private update(): void {
    const op = this.view.selected;
    if (op === this.told) return;
    this.told = op;
    this.place.replaceChildren();
    if (op < 0) {
      const hint = "Click an operation, or press n in the timeline, to see all of it and " +
        "what the nodes logged then.";
      this.place.append(element("p", hint, "legend"));
      return;
    }
    this.place.append(this.facts(op), ...this.log(op));
  }

  private facts(op: number): HTMLElement {
    const { run } = this.view;
    const d = run.details(op);
    const start = run.start(op);
    const took = run.took(op);
    const list = document.createElement("dl");
    const add = (name: string, text: string, code = false) => {
      if (text === "") return;
      const value = document.createElement("dd");
      value.append(code ? element("code", text) : text);
      list.append(element("dt", name), value);
    };
    add("operation", (run.fn(op) + " " + (d?.value ?? "")).trim(), true);
    add("key", d?.key ?? "", true);
    add("outcome", outcomes[run.outcome(op)]!);
    add("error", d?.error ?? "", true);
    add("client", `process ${run.process[op]}${at(run, op)}`);
    add("called", clock(start, 0.001));
    add("answered", took === null ? "never" : `${clock(start + took, 0.001)}, ` +
      `after ${lasted(took)}`);
    const during = run.active(start, run.until(op));
    add("faults then", during.map((w) => `${w.id} ${w.fault}: ${w.what}`).join("; ") || "none");
    if (d) add("history.jsonl", `index ${d.index}: sed -n ${d.index + 2}p history.jsonl`, true);
    else add("value", "not in this page: it holds those of the operations that tell most; " +
      `grep '"process":${run.process[op]},' history.jsonl`);
    return list;
  }

  private log(op: number): HTMLElement[] {
    const { view, logs } = this;
    const { run } = view;
    const buttons = element("p", "", "tools");
    buttons.append(button("Zoom to it", () => view.near(op)));
    const mark = run.head.marks.find((m) => m.op === op);
    if (mark) {
      buttons.append(button("Show it in the counter-example", () => {
        const bars = `#${CSS.escape(mark.example)} .picture`;
        for (const picture of document.querySelectorAll(bars)) {
          const bar = picture.querySelectorAll<SVGElement>(".bar")[mark.bar];
          if (!bar?.checkVisibility()) continue;
          bar.focus();
          bar.scrollIntoView({ block: "center" });
        }
      }));
    }
    if (!logs) return [buttons];
    buttons.append(button("Logs at that moment", () => logs.jump(run.start(op), true)));
    logs.jump(run.start(op), false);
    const list = logs.around(run.start(op), run.until(op));
    return [buttons, ...list];
  }
}

// filters makes a box for each operation and outcome.
export function filters(view: View, place: HTMLElement): void {
  const { run } = view;
  const counts = new Float64Array(256);
  for (const k of run.kind) counts[k]! += run.head.weights[k & 3]!;
  const functions = run.head.functions.map((_, i) => i);
  const off = { f: new Set<number>(), outcome: new Set<number>() };
  const apply = () => {
    for (let k = 0; k < 256; k++) {
      view.shown[k] = off.f.has(k >> 2) || off.outcome.has(k & 3) ? 0 : 1;
    }
    view.changed();
  };
  const group1 = fields("operations", place);
  for (const f of functions) {
    const n = [0, 1, 2, 3].reduce((sum, o) => sum + counts[f * 4 + o]!, 0);
    if (n > 0) box(group1, run.head.functions[f]!, n, "", (on) => toggle(off.f, f, on, apply));
  }
  const group2 = fields("outcomes", place);
  outcomes.forEach((name, o) => {
    const n = run.head.functions.reduce((sum, _, f) => sum + counts[f * 4 + o]!, 0);
    if (n === 0) return;
    box(group2, name, n, "ink-" + o, (on) => toggle(off.outcome, o, on, apply));
  });
}

function toggle(off: Set<number>, v: number, on: boolean, apply: () => void): void {
  if (on) off.delete(v);
  else off.add(v);
  apply();
}

function fields(name: string, place: HTMLElement): HTMLElement {
  const set = document.createElement("fieldset");
  set.append(element("legend", name));
  place.append(set);
  return set;
}

function box(
  set: HTMLElement,
  name: string,
  n: number,
  ink: string,
  f: (on: boolean) => void,
): void {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "checkbox";
  input.checked = true;
  input.addEventListener("change", () => f(input.checked));
  label.append(input);
  if (ink) label.append(element("span", "", "ink " + ink));
  label.append(` ${name} `, element("small", group(n)));
  set.append(label);
}

// ranges are the buttons that move the view, for those without a wheel.
export function moves(view: View, place: HTMLElement, run: Run): void {
  const now = element("output");
  const add = (text: string, label: string, act: () => void) => {
    const b = button(text, act);
    b.setAttribute("aria-label", label);
    b.title = label;
    place.append(b);
  };
  add("−", "Zoom out", () => view.zoom(0.5));
  add("+", "Zoom in", () => view.zoom(2));
  add("◀", "Earlier", () => view.pan(-0.5));
  add("▶", "Later", () => view.pan(0.5));
  add("All", "The whole run", () => view.all());
  const first = run.head.marks.filter((m) => m.example === "ce1");
  if (first.length > 0) {
    add("Counter-example", "Zoom to the first counter-example", () => {
      const from = Math.min(...first.map((m) => run.start(m.op)));
      const to = Math.max(...first.map((m) => Math.min(run.until(m.op), run.start(m.op) + 1)));
      const margin = Math.max((to - from) * 0.1, 0.002);
      view.look(from - margin, to + margin);
    });
  }
  place.append(now);
  const tell = () => {
    const width = view.to - view.from;
    now.textContent = view.whole
      ? `the whole run, ${lasted(view.end)}`
      : `${clock(view.from, width)} to ${clock(view.to, width)} (${lasted(width)})`;
  };
  view.each(tell);
  tell();
}
