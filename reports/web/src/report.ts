// The script of report.html. All that tells the verdict is in the page itself; this adds
// what moves.

import "uplot/dist/uPlot.min.css";
import "./report.css";

import { draw } from "./charts.js";
import { load, type Run } from "./data.js";
import { Logs } from "./logs.js";
import { element, filters, moves, Panel } from "./panel.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";
import { what } from "./words.js";

// frames show Porcupine's pages. They are large: each is parsed only when somebody opens
// it, in a frame of its own that can reach nothing of this page.
function frames(run: Run): void {
  for (const view of document.querySelectorAll<HTMLDetailsElement>("details.porcupine")) {
    const frame = view.querySelector("iframe")!;
    const show = () => {
      if (view.open && !frame.srcdoc) frame.srcdoc = run.head.views[Number(frame.dataset["view"])]!;
    };
    view.addEventListener("toggle", show);
    show();
  }
}

// bars of a counter-example select their operations in the timeline.
function bars(view: View): void {
  const { run } = view;
  for (const m of run.head.marks) {
    const pictures = `#${CSS.escape(m.example)} .picture`;
    for (const picture of document.querySelectorAll(pictures)) {
      const bar = picture.querySelectorAll<SVGElement>(".bar")[m.bar];
      if (!bar) continue;
      bar.classList.add("linked");
      bar.addEventListener("click", () => go(view, m.op));
      bar.addEventListener("keydown", (e) => {
        if (e.key === "Enter") go(view, m.op);
      });
    }
  }
}

function go(view: View, op: number): void {
  view.near(op);
  document.getElementById("timeline")?.scrollIntoView({ block: "start" });
}

function copying(): void {
  const copy = document.getElementById("copy")!;
  copy.addEventListener("click", () => {
    const range = document.createRange();
    range.selectNodeContents(document.getElementById("command")!);
    const selection = window.getSelection()!;
    selection.removeAllRanges();
    selection.addRange(range);
    // A page opened from disk may not have the newer clipboard interface.
    copy.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl-C";
  });
}

// On paper nothing can be opened.
function printing(): void {
  window.addEventListener("beforeprint", () => {
    for (const told of document.querySelectorAll<HTMLDetailsElement>("details.told")) {
      told.open = true;
    }
  });
}

function place(id: string): HTMLElement | null {
  return document.getElementById(id);
}

async function start(): Promise<void> {
  const run = await load();
  frames(run);
  const logs = place("log-lines") ? new Logs(run, place("log-lines")!) : null;
  if (run.count > 0 && place("timeline-chart")) {
    const view = new View(run);
    filters(view, place("filters")!);
    for (const tools of document.querySelectorAll<HTMLElement>(".moves")) moves(view, tools, run);
    const said = place("said")!;
    new Timeline(view, place("timeline-chart")!, (text) => (said.textContent = text));
    draw(view);
    new Panel(view, place("operation")!, logs);
    bars(view);
    const first = run.head.marks.find((m) => m.culprit) ?? run.head.marks[0];
    if (first) said.textContent = `The counter-example has ${what(run, first.op)}.`;
  }
  document.documentElement.dataset["ready"] = "true";
}

copying();
printing();
// The verdict is painted first.
requestAnimationFrame(() => {
  window.setTimeout(() => {
    start().catch((e: unknown) => {
      const text = `The charts could not be drawn (${String(e)}). The tables tell the same.`;
      for (const p of document.querySelectorAll(".moving")) p.prepend(element("p", text, "legend"));
      document.documentElement.dataset["ready"] = "failed";
    });
  });
});
