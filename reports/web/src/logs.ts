// The logs of all nodes in one list, by time. Lines without a time stand with the line
// before them.

import type { LogFile, Run } from "./data.js";
import { button, element } from "./panel.js";
import { clock } from "./words.js";

interface Line {
  node: string;
  file: number;
  at: number; // seconds, -1 if no line of its file had a time so far
  text: string;
}

const page = 200; // lines at a time
const aroundMost = 12;

export class Logs {
  private readonly lines: Line[] = [];
  private shown: Line[];
  private start = 0;
  private moment = -1;
  private readonly list = document.createElement("ol");
  private readonly state = element("output");
  private readonly node = document.createElement("select");
  private readonly search = document.createElement("input");

  constructor(
    run: Run,
    private readonly place: HTMLElement,
  ) {
    run.head.logs.forEach((f, i) => this.read(f, i));
    this.lines.sort((a, b) => a.at - b.at);
    this.shown = this.lines;
    this.build(run);
    this.draw();
  }

  private read(f: LogFile, file: number): void {
    let at = -1;
    f.lines.forEach((text, i) => {
      at = f.times[i] ?? at;
      this.lines.push({ node: f.node, file, at, text });
    });
  }

  private build(run: Run): void {
    const tools = element("div", "", "tools");
    const nodes = [...new Set(run.head.logs.map((f) => f.node))];
    for (const name of ["all nodes", ...nodes]) {
      const o = document.createElement("option");
      o.textContent = name;
      this.node.append(o);
    }
    this.node.setAttribute("aria-label", "Lines of which node");
    this.search.type = "search";
    this.search.placeholder = "lines with …";
    this.search.setAttribute("aria-label", "Only lines with this text");
    for (const e of [this.node, this.search]) e.addEventListener("input", () => this.filter());
    tools.append(
      this.node,
      this.search,
      button("Earlier lines", () => this.turn(-1)),
      button("Later lines", () => this.turn(1)),
      this.state,
    );
    this.list.className = "lines";
    this.list.tabIndex = 0;
    this.list.setAttribute("aria-label", "Lines of the nodes' logs");
    this.place.append(tools, this.list);
  }

  private filter(): void {
    const node = this.node.selectedIndex > 0 ? this.node.value : null;
    const text = this.search.value.toLowerCase();
    this.shown = this.lines.filter(
      (l) => (node === null || l.node === node) && l.text.toLowerCase().includes(text),
    );
    this.start = this.moment < 0 ? 0 : Math.max(0, this.position(this.moment) - page / 2);
    this.draw();
  }

  private turn(by: number): void {
    const last = Math.max(0, this.shown.length - page);
    this.start = Math.max(0, Math.min(last, this.start + by * page));
    this.draw();
  }

  // position is that of the first shown line at or after a time.
  private position(seconds: number): number {
    let low = 0;
    let high = this.shown.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.shown[middle]!.at < seconds) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // jump shows the lines of a moment, and goes there.
  jump(seconds: number, go: boolean): void {
    this.moment = seconds;
    if (go && this.position(seconds) === this.shown.length && this.search.value !== "") {
      this.search.value = "";
      this.filter();
    }
    this.start = Math.max(0, this.position(seconds) - page / 2);
    this.draw();
    if (!go) return;
    this.list.focus({ preventScroll: true });
    (this.list.querySelector(".moment") ?? this.list).scrollIntoView({ block: "center" });
  }

  private draw(): void {
    const lines = this.shown.slice(this.start, this.start + page);
    this.list.start = this.start + 1;
    const now = this.moment < 0 ? -1 : this.position(this.moment);
    const items: HTMLElement[] = [];
    lines.forEach((l, i) => {
      if (this.start + i === now) items.push(marker(this.moment));
      items.push(item(l));
    });
    if (now >= 0 && now === this.start + lines.length) items.push(marker(this.moment));
    this.list.replaceChildren(...items);
    const end = this.start + lines.length;
    this.state.textContent = lines.length === 0
      ? "no line has that"
      : `lines ${this.start + 1} to ${end} of ${this.shown.length}`;
  }

  // around are the lines while an operation was open, and shortly before and after.
  around(from: number, to: number): HTMLElement[] {
    const until = Math.min(to, from + 2);
    const first = this.lines.filter((l) => l.at >= from - 0.25 && l.at <= until + 0.25);
    const near = first.length > 0 ? first : this.closest(from);
    const title = first.length > 0
      ? "What the nodes logged then"
      : "Nothing was logged within 250 ms; the nearest lines";
    if (near.length === 0) return [];
    const list = element("ol", "", "lines short");
    const now = near.findIndex((l) => l.at >= from);
    const middle = now < 0 ? near.length : now;
    const start = Math.max(0, Math.min(middle - aroundMost / 2, near.length - aroundMost));
    list.append(...near.slice(start, start + aroundMost).map(item));
    const more = near.length - aroundMost;
    if (more > 0) list.append(element("li", `and ${more} more lines within 250 ms`, "legend"));
    return [element("h4", title), list];
  }

  private closest(seconds: number): Line[] {
    const timed = this.lines.filter((l) => l.at >= 0);
    const next = timed.findIndex((l) => l.at >= seconds);
    const middle = next < 0 ? timed.length : next;
    return timed.slice(Math.max(0, middle - 3), middle + 3);
  }
}

function marker(seconds: number): HTMLElement {
  return element("li", `${clock(seconds, 0.01)}: the operation was called`, "moment");
}

function item(l: Line): HTMLElement {
  const li = element("li");
  li.append(
    element("span", l.at < 0 ? "" : clock(l.at, 0.1), "time"),
    element("b", l.node),
    element("code", l.text),
  );
  return li;
}
