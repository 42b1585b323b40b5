// The timeline of all operations: a lane for each client, a bar for each operation. Where
// several share a pixel, it shows the gravest outcome, and how busy the client was.

import { colors, rgb, whenColorsChange } from "./colors.js";
import { endless, type Mark, type Run } from "./data.js";
import { Tip } from "./tip.js";
import { moveByKey, moveByWheel, type View } from "./view.js";
import { clock, fitting, group, told, what } from "./words.js";

const strip = 18; // height of a row of faults or leaders
const axis = 24;
const singly = 5000; // operations that are drawn one by one
const font = "12px system-ui, sans-serif";

interface Row {
  from: number;
  to: number;
  text: string;
  color: string;
}

export class Timeline {
  private readonly canvas: HTMLCanvasElement;
  private readonly ctx: CanvasRenderingContext2D;
  private readonly run: Run;
  private readonly tip = new Tip();
  private readonly faults: Row[][];
  private readonly leads: Row[][];
  private readonly marks = new Map<number, Mark>();
  private readonly laneHeight: number;
  private readonly gutter: number;
  private readonly top: number; // of the first lane
  private width = 0;
  private drag: { x: number; now: number; pan: boolean; from: number; to: number } | null = null;

  constructor(
    private readonly view: View,
    place: HTMLElement,
    private readonly say: (text: string) => void,
  ) {
    this.run = view.run;
    const { head } = this.run;
    this.canvas = place.querySelector("canvas")!;
    this.ctx = this.canvas.getContext("2d")!;
    this.faults = stack(
      head.windows.map((w) => ({
        from: w.from,
        to: w.to < 0 ? head.end : w.to,
        text: `${w.id} ${w.fault}: ${w.what}`,
        color: String(w.color),
      })),
      6,
    );
    const nodes = [...new Set(head.leads.map((l) => l.node))].sort();
    this.leads = stack(
      head.leads.map((l) => ({
        from: l.from,
        to: l.to < 0 ? head.end : l.to,
        text: l.what ? `${l.node} leads, ${l.what}` : `${l.node} leads`,
        color: String(nodes.indexOf(l.node) % 8),
      })),
      6,
    );
    for (const m of head.marks) this.marks.set(m.op, m);
    const lanes = Math.max(1, head.lanes.length);
    this.laneHeight = Math.max(4, Math.min(20, Math.floor(560 / lanes)));
    this.gutter = view.gutter = Math.max(82, this.measureGutter());
    this.top = 16 + strip * (this.faults.length + this.leads.length) + 6;
    this.listen();
    new ResizeObserver(() => this.resize()).observe(place);
    this.resize();
    view.each(() => this.draw());
    whenColorsChange(() => this.draw());
  }

  private measureGutter(): number {
    this.ctx.font = font;
    const texts = this.run.head.lanes.map((l) => l.label);
    if (this.faults.length > 0) texts.push("faults");
    if (this.leads.length > 0) texts.push("who leads");
    const widest = Math.max(30, ...texts.slice(0, 300).map((t) => this.ctx.measureText(t).width));
    return Math.ceil(Math.min(150, widest)) + 12;
  }

  private get height(): number {
    return this.top + this.laneHeight * Math.max(1, this.run.head.lanes.length) + axis;
  }

  private resize(): void {
    const width = this.canvas.parentElement!.clientWidth;
    if (width === 0 || width === this.width) return;
    this.width = width;
    this.draw();
  }

  private get scale(): number {
    return (this.width - this.gutter) / (this.view.to - this.view.from);
  }

  private x(seconds: number): number {
    return this.gutter + (seconds - this.view.from) * this.scale;
  }

  private time(x: number): number {
    return this.view.from + (x - this.gutter) / this.scale;
  }

  draw(): void {
    const dpr = devicePixelRatio || 1;
    const { canvas, ctx } = this;
    if (this.width === 0) return;
    canvas.width = Math.round(this.width * dpr);
    canvas.height = Math.round(this.height * dpr);
    canvas.style.width = this.width + "px";
    canvas.style.height = this.height + "px";
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    ctx.font = font;
    ctx.textBaseline = "middle";
    const c = colors();
    ctx.fillStyle = c.page;
    ctx.fillRect(0, 0, this.width, this.height);
    this.drawLanes();
    this.drawShades();
    const visible = this.visible();
    if (visible <= singly) this.drawSingly();
    else this.drawImage(dpr);
    this.drawRows(this.faults, 16, 0.3, "faults");
    this.drawRows(this.leads, 16 + strip * this.faults.length, 0.55, "who leads");
    this.drawMarks();
    this.drawAxis();
    this.drawDrag();
    canvas.dataset["version"] = String(this.view.version);
    canvas.dataset["from"] = String(this.view.from);
    canvas.dataset["to"] = String(this.view.to);
    canvas.dataset["visible"] = String(visible);
    canvas.dataset["detail"] = visible <= singly ? "bars" : "pixels";
  }

  private visible(): number {
    let n = 0;
    const { from, to } = this.view;
    for (let l = 0; l < this.run.head.lanes.length; l++) {
      n += this.run.from(l, to) - this.run.from(l, from) + 1;
    }
    return n;
  }

  private drawLanes(): void {
    const { ctx, laneHeight: h } = this;
    const c = colors();
    const step = Math.ceil(14 / h);
    this.run.head.lanes.forEach((lane, i) => {
      const y = this.top + i * h;
      ctx.fillStyle = c.line;
      if (h >= 8) ctx.fillRect(0, y, this.width, 1);
      ctx.fillStyle = c.dim;
      if (i % step === 0) {
        ctx.fillText(fitting(ctx, lane.label, this.gutter - 8), 2, y + Math.max(h, 12) / 2);
      }
    });
  }

  private clip(f: () => void): void {
    const { ctx } = this;
    ctx.save();
    ctx.beginPath();
    ctx.rect(this.gutter, 0, this.width - this.gutter, this.height);
    ctx.clip();
    f();
    ctx.restore();
  }

  // drawShades paints the times of the faults behind the lanes.
  private drawShades(): void {
    const { ctx } = this;
    this.clip(() => {
      ctx.globalAlpha = 0.1;
      for (const row of this.faults) {
        for (const r of row) {
          const [a, b] = [this.x(r.from), this.x(r.to)];
          if (b < this.gutter || a > this.width) continue;
          ctx.fillStyle = colors().bands[Number(r.color)]!;
          ctx.fillRect(a, this.top, Math.max(1, b - a), this.height - axis - this.top);
        }
      }
    });
  }

  private drawRows(rows: Row[][], top: number, alpha: number, label: string): void {
    const { ctx } = this;
    const c = colors();
    if (rows.length === 0) return;
    ctx.fillStyle = c.dim;
    ctx.fillText(label, 2, top + strip / 2);
    this.clip(() => {
      rows.forEach((row, n) => {
        for (const r of row) {
          const a = Math.max(this.gutter - 2, this.x(r.from));
          const b = Math.min(this.width + 2, this.x(r.to));
          if (b < this.gutter || a > this.width) continue;
          const y = top + n * strip + 1;
          ctx.globalAlpha = alpha;
          ctx.fillStyle = c.bands[Number(r.color)]!;
          ctx.fillRect(a, y, Math.max(2, b - a), strip - 3);
          ctx.globalAlpha = 1;
          ctx.strokeStyle = c.bands[Number(r.color)]!;
          ctx.strokeRect(a + 0.5, y + 0.5, Math.max(1, b - a - 1), strip - 4);
          ctx.fillStyle = c.text;
          ctx.fillText(fitting(ctx, r.text, b - a - 8), a + 4, y + strip / 2 - 1);
        }
      });
    });
  }

  private drawSingly(): void {
    const { ctx, run, view, laneHeight: h } = this;
    const c = colors();
    const tall = Math.max(2, h - (h >= 8 ? 4 : 1));
    this.clip(() => {
      for (let l = 0; l < run.head.lanes.length; l++) {
        const y = this.top + l * h + (h >= 8 ? 3 : 0);
        const last = run.first[l + 1]!;
        for (let i = run.from(l, view.from); i < last; i++) {
          const start = run.start(i);
          if (start > view.to) break;
          if (view.shown[run.kind[i]!] === 0) continue;
          const a = Math.max(this.gutter - 4, this.x(start));
          const b = Math.min(this.width + 4, this.x(run.until(i)));
          if (b < this.gutter) continue;
          this.bar(i, a, y, Math.max(1.5, b - a - 0.5), tall, c.outcomes[run.outcome(i)]!);
        }
      }
    });
    ctx.setLineDash([]);
  }

  private bar(op: number, x: number, y: number, w: number, h: number, color: string): void {
    const { ctx, run } = this;
    const outcome = run.outcome(op);
    const mark = this.marks.get(op);
    ctx.globalAlpha = outcome === 0 ? 0.45 : 0.6;
    ctx.fillStyle = mark?.culprit ? colors().invalid : color;
    ctx.fillRect(x, y, w, h);
    ctx.globalAlpha = 1;
    if (outcome !== 0 && w > 6 && h > 5) this.hatch(outcome, x, y, w, h, color);
    if (mark || op === this.view.selected) {
      ctx.strokeStyle = mark ? colors().invalid : colors().text;
      ctx.lineWidth = op === this.view.selected ? 3 : 2;
      ctx.strokeRect(x, y, w, h);
      ctx.lineWidth = 1;
    }
    if (h >= 12 && w > 24) {
      ctx.fillStyle = colors().text;
      ctx.fillText(fitting(ctx, what(run, op), w - 6), x + 3, y + h / 2 + 0.5);
    }
  }

  // hatch tells outcomes apart without color: failed has a line at its end, unknown is dashed.
  private hatch(outcome: number, x: number, y: number, w: number, h: number, color: string): void {
    const { ctx } = this;
    ctx.strokeStyle = color;
    ctx.fillStyle = color;
    if (outcome === 1) {
      ctx.fillRect(x + w - 3, y, 3, h);
      return;
    }
    ctx.setLineDash([4, 3]);
    ctx.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
    ctx.setLineDash([]);
  }

  // drawImage paints pixel by pixel: of each lane and column the gravest outcome there, or
  // how much of the time was busy.
  private drawImage(dpr: number): void {
    const { run, view, laneHeight: h } = this;
    const w = Math.round((this.width - this.gutter) * dpr);
    const tall = Math.max(1, Math.round(h * dpr));
    const image = new ImageData(w, tall * run.head.lanes.length);
    const pixels = new Uint32Array(image.data.buffer);
    const inks = palette();
    const busy = new Float32Array(w + 1);
    const worst = new Uint8Array(w + 1);
    const scale = (run.tick * w) / (view.to - view.from);
    const offset = view.from / run.tick;
    const widths = run.nanos.map((n) => (n / run.head.unit) * scale);
    widths[endless] = w;
    const line = new Uint32Array(w);
    const solid = Math.max(1, Math.round((h >= 8 ? h - 4 : h - 1) * dpr));
    const above = Math.round((h >= 8 ? 3 : 0) * dpr);
    for (let l = 0; l < run.head.lanes.length; l++) {
      busy.fill(0);
      worst.fill(0);
      const last = run.first[l + 1]!;
      for (let i = run.from(l, view.from); i < last; i++) {
        const a = (run.call[i]! - offset) * scale;
        if (a >= w) break;
        const kind = run.kind[i]!;
        if (view.shown[kind] === 0) continue;
        const rank = this.marks.size > 0 && this.marks.has(i) ? 5 : (kind & 3) + 1;
        const b = a + widths[run.code[i]!]!;
        if (b < 0) continue;
        const first = a < 0 ? 0 : a | 0;
        const end = b >= w ? w - 1 : b | 0;
        if (first === end) {
          busy[first]! += Math.max(b - a, 0.05);
          if (worst[first]! < rank) worst[first] = rank;
          continue;
        }
        for (let x = first; x <= end; x++) {
          busy[x]! += x === first ? first + 1 - a : x === end ? b - end : 1;
          if (worst[x]! < rank) worst[x] = rank;
        }
      }
      for (let x = 0; x < w; x++) {
        const rank = worst[x]!;
        line[x] = rank === 0 ? 0 : inks[rank]![Math.min(7, (busy[x]! * 7.99) | 0)]!;
      }
      for (let y = 0; y < solid; y++) pixels.set(line, (l * tall + above + y) * w);
    }
    const buffer = new OffscreenCanvas(w, image.height);
    buffer.getContext("2d")!.putImageData(image, 0, 0);
    this.ctx.imageSmoothingEnabled = false;
    this.ctx.drawImage(buffer, this.gutter, this.top, w / dpr, image.height / dpr);
  }

  // drawMarks points at the operations of the counter-examples.
  private drawMarks(): void {
    const { ctx, run } = this;
    this.clip(() => {
      for (const m of this.marks.values()) {
        const x = this.x(run.start(m.op));
        const y = this.top + run.lane(m.op) * this.laneHeight;
        ctx.fillStyle = colors().invalid;
        ctx.beginPath();
        ctx.moveTo(x - 5, 2);
        ctx.lineTo(x + 5, 2);
        ctx.lineTo(x, 11);
        ctx.fill();
        if (!m.culprit) continue;
        ctx.strokeStyle = colors().invalid;
        ctx.strokeRect(x - 0.5, this.top, 1, y - this.top + this.laneHeight);
      }
    });
  }

  private drawAxis(): void {
    const { ctx, view } = this;
    const y = this.height - axis;
    const c = colors();
    const width = view.to - view.from;
    const most = Math.max(2, Math.floor((this.width - this.gutter) / 110));
    const step = nice(width / most);
    ctx.fillStyle = c.dim;
    ctx.fillRect(this.gutter, y, this.width - this.gutter, 1);
    ctx.textAlign = "center";
    for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
      const x = this.x(t);
      ctx.fillRect(x, y, 1, 5);
      const text = clock(t, step * 100).replace(/(\.\d*?)0+ s$/, "$1 s").replace(/\. s$/, " s");
      const half = ctx.measureText(text).width / 2;
      if (x - half < this.gutter - 10 || x + half > this.width) continue;
      ctx.fillText(text, x, y + 14);
    }
    ctx.textAlign = "left";
  }

  private drawDrag(): void {
    if (!this.drag || this.drag.pan) return;
    const { ctx } = this;
    ctx.globalAlpha = 0.2;
    ctx.fillStyle = colors().text;
    const { x, now } = this.drag;
    ctx.fillRect(Math.min(x, now), this.top, Math.abs(now - x), this.height - axis - this.top);
    ctx.globalAlpha = 1;
  }

  // find is the shown operation at a place, or the nearest within a few pixels.
  private find(x: number, y: number): number {
    const lane = Math.floor((y - this.top) / this.laneHeight);
    if (lane < 0 || lane >= this.run.head.lanes.length || x < this.gutter) return -1;
    const { run, view } = this;
    const last = run.first[lane + 1]!;
    let found = -1;
    let best = 5;
    for (let i = run.from(lane, this.time(x - 6)); i < last; i++) {
      const a = this.x(run.start(i));
      if (a > x + 6) break;
      if (view.shown[run.kind[i]!] === 0) continue;
      const b = this.x(run.until(i));
      const away = x < a ? a - x : x > b ? x - b : 0;
      if (away < best || (away === best && run.outcome(i) > 0)) [best, found] = [away, i];
    }
    return found;
  }

  private hover(e: MouseEvent): void {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [e.clientX - box.left, e.clientY - box.top];
    const op = this.find(x, y);
    const row = op < 0 ? this.rowAt(x, y) : null;
    if (op >= 0) this.tip.show(e.clientX, e.clientY, told(this.run, op));
    else if (row) this.tip.show(e.clientX, e.clientY, `${row.text}, ${span(row)}`);
    else this.tip.hide();
  }

  private rowAt(x: number, y: number): Row | null {
    const n = Math.floor((y - 16) / strip);
    const row = [...this.faults, ...this.leads][n];
    const t = this.time(x);
    return (x >= this.gutter && row?.find((r) => r.from <= t && t <= r.to)) || null;
  }

  private listen(): void {
    const { canvas, view } = this;
    canvas.addEventListener("wheel", (e) => {
      moveByWheel(view, e, this.time(e.clientX - canvas.getBoundingClientRect().left));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (e) => {
      if (e.button !== 0) return;
      const x = e.clientX - canvas.getBoundingClientRect().left;
      this.drag = { x, now: x, pan: e.shiftKey, from: view.from, to: view.to };
      canvas.setPointerCapture(e.pointerId);
    });
    canvas.addEventListener("pointermove", (e) => this.move(e));
    canvas.addEventListener("pointerup", (e) => this.up(e));
    canvas.addEventListener("pointercancel", () => (this.drag = null));
    canvas.addEventListener("pointerleave", () => this.tip.hide());
    canvas.addEventListener("dblclick", () => view.all());
    canvas.addEventListener("keydown", (e) => {
      if (!moveByKey(view, e)) this.key(e);
    });
  }

  private move(e: PointerEvent): void {
    if (!this.drag) {
      this.hover(e);
      return;
    }
    const d = this.drag;
    d.now = e.clientX - this.canvas.getBoundingClientRect().left;
    const by = (d.x - d.now) / ((this.width - this.gutter) / (d.to - d.from));
    if (d.pan) this.view.look(d.from + by, d.to + by);
    else this.draw();
  }

  private up(e: PointerEvent): void {
    const d = this.drag;
    this.drag = null;
    if (!d || d.pan) return;
    if (Math.abs(d.now - d.x) >= 5) {
      const [a, b] = [Math.min(d.x, d.now), Math.max(d.x, d.now)];
      this.view.look(Math.max(0, this.time(a)), this.time(b));
      return;
    }
    const y = e.clientY - this.canvas.getBoundingClientRect().top;
    this.view.select(this.find(d.x, y));
  }

  // key goes from operation to operation.
  private key(e: KeyboardEvent): void {
    const { run, view } = this;
    const at = view.selected;
    let next = -1;
    switch (e.key) {
      case "n":
        next = this.step(at, 1);
        break;
      case "p":
        next = this.step(at, -1);
        break;
      case "ArrowDown":
      case "ArrowUp":
        next = this.beside(at, e.key === "ArrowDown" ? 1 : -1);
        break;
      case "Enter":
        document.getElementById("operation")?.scrollIntoView({ block: "nearest" });
        break;
      case "Escape":
        view.select(-1);
        break;
      default:
        return;
    }
    e.preventDefault();
    if (next < 0) return;
    view.select(next);
    this.say(`${told(run, next)}. Lane ${run.lane(next) + 1} of ${group(run.head.lanes.length)}.`);
  }

  private step(op: number, by: number): number {
    const { run, view } = this;
    const lane = op < 0 ? 0 : run.lane(op);
    let next = op < 0 ? run.from(lane, view.from) : op + by;
    while (next >= run.first[lane]! && next < run.first[lane + 1]!) {
      if (view.shown[run.kind[next]!] !== 0) return next;
      next += by;
    }
    return op;
  }

  private beside(op: number, by: number): number {
    const { run, view } = this;
    if (op < 0) return this.step(op, 1);
    const lane = run.lane(op) + by;
    if (lane < 0 || lane >= run.head.lanes.length) return op;
    const next = run.from(lane, run.start(op));
    return next < run.first[lane + 1]! && view.shown[run.kind[next]!] !== 0 ? next : op;
  }
}

function span(r: Row): string {
  return `${clock(r.from, 1)} to ${clock(r.to, 1)}`;
}

// stack puts what overlaps into rows below each other, at most so many.
function stack(all: Row[], most: number): Row[][] {
  const rows: Row[][] = [];
  const ends: number[] = [];
  for (const r of [...all].sort((a, b) => a.from - b.from)) {
    let n = ends.findIndex((end) => end <= r.from);
    if (n < 0 && rows.length < most) {
      n = rows.length;
      rows.push([]);
      ends.push(0);
    }
    if (n < 0) n = most - 1;
    rows[n]!.push(r);
    ends[n] = Math.max(ends[n]!, r.to);
  }
  return rows;
}

// palette has for each rank of gravity eight strengths, as pixels. All but success are
// always strong: one failure among a thousand successes has to be seen.
function palette(): number[][] {
  const c = colors();
  const inks = [...c.outcomes.slice(0, 4), c.invalid].map(rgb);
  const pixels = inks.map(([r, g, b], i) =>
    Array.from({ length: 8 }, (_, s) => {
      const alpha = i === 0 ? 50 + 24 * s : 235;
      return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
    }),
  );
  return [[], ...pixels];
}

function nice(v: number): number {
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 5].map((f) => f * power).find((s) => s >= v) ?? 10 * power;
}
