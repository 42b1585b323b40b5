// Latency, rate and clocks over time, drawn by uPlot. The cloud of single operations is
// painted into the latency chart pixel by pixel, because there may be a million of them.

import uPlot from "uplot";

import { cut, type Bins } from "./bins.js";
import { colors, rgb, whenColorsChange } from "./colors.js";
import { endless, type Run } from "./data.js";
import { Tip } from "./tip.js";
import { moveByKey, moveByWheel, type View } from "./view.js";
import { clock, lasted, told } from "./words.js";

const font = "12px system-ui, sans-serif";
const few = 3000; // operations that are drawn as shapes of their own
const height = 260;

interface Chart {
  plot: uPlot;
  place: HTMLElement;
  seen: boolean;
  stale: boolean;
  feed(bins: () => Bins): void;
}

// draw puts the charts into their places.
export function draw(view: View): void {
  const run = view.run;
  const charts: Chart[] = [];
  let bins: Bins | null = null;
  let timer = 0;
  const current = () => (bins ??= cut(run, view));
  const refresh = (c: Chart) => {
    c.stale = false;
    c.plot.batch(() => {
      c.feed(current);
      c.plot.setScale("x", { min: view.from, max: view.to });
    });
    c.place.dataset["version"] = String(view.version);
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const e of entries) {
      const c = charts.find((c) => c.place === e.target);
      if (!c) continue;
      c.seen = e.isIntersecting;
      if (c.seen && c.stale) refresh(c);
    }
  });
  const add = (id: string, make: (place: HTMLElement) => Chart) => {
    const place = document.getElementById(id);
    if (!place) return;
    const c = make(place);
    charts.push(c);
    watcher.observe(place);
    listen(view, c);
  };
  add("latency-chart", (place) => latency(view, place));
  add("rate-chart", (place) => rate(view, place));
  add("clock-chart", (place) => clocks(view, place));
  view.each(() => {
    bins = null;
    window.clearTimeout(timer);
    // While somebody turns the wheel, the timeline follows at once, the charts shortly after.
    timer = window.setTimeout(() => {
      for (const c of charts) {
        if (c.seen) {
          refresh(c);
          continue;
        }
        c.stale = true;
        c.place.dataset["version"] = "unseen";
      }
    }, 40);
  });
  const resize = () => {
    for (const c of charts) c.plot.setSize({ width: c.place.clientWidth, height });
  };
  window.addEventListener("resize", resize);
  whenColorsChange(() => {
    for (const c of charts) {
      c.plot.axes.forEach((a) => (a.stroke = () => colors().dim));
      c.plot.redraw(false, true);
    }
  });
  for (const c of charts) refresh(c);
}

function listen(view: View, c: Chart): void {
  const over = c.plot.over;
  over.addEventListener("wheel", (e) => {
    const box = over.getBoundingClientRect();
    moveByWheel(view, e, c.plot.posToVal(e.clientX - box.left, "x"));
  }, { passive: false });
  over.addEventListener("dblclick", () => view.all());
  c.place.addEventListener("keydown", (e) => moveByKey(view, e));
}

// axes leave as much room at the left as the timeline, so that times are below each other.
function axes(view: View, unit: string, values?: uPlot.Axis["values"]): uPlot.Axis[] {
  const base = (): uPlot.Axis => ({
    stroke: () => colors().dim,
    grid: { stroke: () => colors().line, width: 1 },
    ticks: { stroke: () => colors().line, width: 1 },
    font,
    labelFont: font,
  });
  return [
    { ...base(), values: (_, splits) => splits.map((s) => round(s) + " s"), space: 80 },
    { ...base(), label: unit, labelSize: 20, size: Math.max(62, view.gutter - 20), values },
  ];
}

function round(v: number): string {
  return String(Number(v.toPrecision(7)));
}

function options(view: View, place: HTMLElement, own: Partial<uPlot.Options>): uPlot.Options {
  const hooks = own.hooks ?? {};
  return {
    width: place.clientWidth,
    height,
    series: [],
    padding: [null, 0, null, 0],
    legend: { live: true },
    cursor: {
      drag: { x: true, y: false, setScale: false },
      sync: { key: "run", setSeries: false },
      points: { size: 6 },
    },
    ...own,
    hooks: {
      ...hooks,
      drawClear: [(u) => bands(u, view.run)],
      setSelect: [
        (u) => {
          if (u.select.width < 4) return;
          const [a, b] = [u.select.left, u.select.left + u.select.width];
          view.look(u.posToVal(a, "x"), u.posToVal(b, "x"));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

// bands paints the faults behind everything, each with a line at the top.
function bands(u: uPlot, run: Run): void {
  const { left, top, width, height } = u.bbox;
  const ctx = u.ctx;
  const dpr = devicePixelRatio || 1;
  const free = [0, 0, 0];
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, 0, width, top + height);
  ctx.clip();
  for (const w of run.head.windows) {
    const a = u.valToPos(w.from, "x", true);
    const b = w.to < 0 ? left + width : u.valToPos(w.to, "x", true);
    if (b < left || a > left + width) continue;
    ctx.fillStyle = colors().bands[w.color]!;
    ctx.globalAlpha = 0.12;
    ctx.fillRect(a, top, Math.max(2, b - a), height);
    ctx.globalAlpha = 1;
    const level = Math.max(0, free.findIndex((end) => end <= a));
    free[level] = Math.max(free[level]!, b);
    ctx.fillRect(a, top + level * 4 * dpr, Math.max(2, b - a), 4 * dpr);
  }
  ctx.restore();
}

const lineLooks: Partial<uPlot.Series>[] = [
  { width: 2 },
  { width: 1.75, dash: [8, 4] },
  { width: 1.75, dash: [2, 3] },
];

function time(view: View): uPlot.Series {
  return {
    label: "time",
    value: (_, v) => (v === null ? "–" : clock(v, view.to - view.from)),
  };
}

function latency(view: View, place: HTMLElement): Chart {
  const run = view.run;
  const [low, high] = extremes(run);
  const tip = new Tip();
  const dots = new Cloud(view);
  const names = ["median", "95th percentile", "99th percentile"];
  const plot = new uPlot(
    options(view, place, {
      scales: {
        x: { time: false, auto: false },
        y: { distr: 3, auto: false, range: () => [low, high] },
      },
      axes: axes(view, "latency", (_, splits) => splits.map((s) => (s === null ? "" : lasted(s)))),
      series: [
        time(view),
        ...names.map((label, i) => ({
          label,
          stroke: () => colors().lines[i]!,
          value: (_: uPlot, v: number | null) => (v === null ? "–" : lasted(v)),
          points: { show: false },
          ...lineLooks[i],
        })),
      ],
      hooks: { drawAxes: [(u) => dots.paint(u)] },
    }),
    [[], [], [], []],
    place,
  );
  const over = plot.over;
  over.addEventListener("mousemove", (e) => {
    const op = dots.nearest(plot, e);
    if (op < 0) tip.hide();
    else tip.show(e.clientX, e.clientY, told(run, op));
  });
  over.addEventListener("mouseleave", () => tip.hide());
  over.addEventListener("click", (e) => {
    const op = dots.nearest(plot, e);
    if (op >= 0) view.select(op);
  });
  const feed = (bins: () => Bins) => plot.setData([bins().middles, ...bins().quantiles], false);
  return { plot, place, seen: true, stale: false, feed };
}

// extremes are the powers of ten around all latencies.
function extremes(run: Run): [number, number] {
  let low = endless;
  let high = 0;
  for (const code of run.code) {
    if (code === endless) continue;
    if (code < low) low = code;
    if (code > high) high = code;
  }
  const power = (v: number, round: (v: number) => number) => 10 ** round(Math.log10(v));
  const bottom = power(Math.max(1e-6, run.nanos[low]! * 1e-9), Math.floor);
  return [bottom, Math.max(10 * bottom, power(run.nanos[high]! * 1e-9 || 1e-6, Math.ceil))];
}

// Cloud paints the single operations.
class Cloud {
  private readonly canvas = document.createElement("canvas");

  constructor(private readonly view: View) {}

  paint(u: uPlot): void {
    const { left, top, width, height } = u.bbox;
    const dpr = devicePixelRatio || 1;
    const visible = this.visible();
    if (visible <= few) {
      this.shapes(u);
      return;
    }
    const w = Math.round(width / dpr);
    const h = Math.round(height / dpr);
    const image = this.image(u, w, h, dpr);
    this.canvas.width = w;
    this.canvas.height = h;
    this.canvas.getContext("2d")!.putImageData(image, 0, 0);
    u.ctx.imageSmoothingEnabled = false;
    u.ctx.drawImage(this.canvas, left, top, width, height);
  }

  private visible(): number {
    const { run, from, to } = this.view;
    let n = 0;
    for (let l = 0; l < run.head.lanes.length; l++) n += run.from(l, to) - run.from(l, from) + 1;
    return n;
  }

  // each calls a function with every operation that is shown, and its place in CSS pixels.
  private each(u: uPlot, dpr: number, f: (op: number, x: number, y: number) => void): void {
    const { run, from, to, shown } = this.view;
    const heights = new Float32Array(endless + 1);
    const low = u.scales["y"]!.min!;
    const high = u.scales["y"]!.max!;
    const scaleY = u.bbox.height / dpr / (Math.log10(high) - Math.log10(low));
    for (let c = 0; c < endless; c++) {
      const v = Math.max(low, run.nanos[c]! * 1e-9);
      heights[c] = u.bbox.height / dpr - (Math.log10(v) - Math.log10(low)) * scaleY;
    }
    const scale = (run.tick * u.bbox.width) / dpr / (to - from);
    const offset = from / run.tick;
    const end = to / run.tick;
    for (let l = 0; l < run.head.lanes.length; l++) {
      const last = run.first[l + 1]!;
      for (let i = run.from(l, from); i < last; i++) {
        const call = run.call[i]!;
        if (call > end) break;
        const code = run.code[i]!;
        if (call < offset || code === endless || shown[run.kind[i]!] === 0) continue;
        f(i, (call - offset) * scale, heights[code]!);
      }
    }
  }

  // image counts the operations of each pixel; rare outcomes are larger and on top.
  private image(u: uPlot, w: number, h: number, dpr: number): ImageData {
    const counts = new Uint8Array(w * h);
    const tops = new Uint8Array(w * h);
    const { kind } = this.view.run;
    this.each(u, dpr, (op, px, py) => {
      const x = Math.min(w - 1, px | 0);
      const y = Math.min(h - 1, Math.max(0, py | 0));
      const at = y * w + x;
      const outcome = kind[op]! & 3;
      if (outcome === 0) {
        if (counts[at]! < 255) counts[at]!++;
        return;
      }
      for (const p of [at, at + 1, at - 1, at + w, at - w]) {
        if (p >= 0 && p < tops.length && tops[p]! < outcome) tops[p] = outcome;
      }
    });
    const image = new ImageData(w, h);
    const pixels = image.data;
    const inks = colors().outcomes.map(rgb);
    for (let i = 0; i < counts.length; i++) {
      const top = tops[i]!;
      const n = counts[i]!;
      if (top === 0 && n === 0) continue;
      const [r, g, b] = inks[top]!;
      pixels[4 * i] = r;
      pixels[4 * i + 1] = g;
      pixels[4 * i + 2] = b;
      pixels[4 * i + 3] = top > 0 ? 230 : Math.min(230, 80 + 30 * n);
    }
    return image;
  }

  // shapes draws each operation: circles, squares, diamonds and triangles are functions.
  private shapes(u: uPlot): void {
    const dpr = devicePixelRatio || 1;
    const { ctx, bbox } = u;
    const { run, selected } = this.view;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    this.each(u, dpr, (op, px, py) => {
      const x = bbox.left + px * dpr;
      const y = bbox.top + py * dpr;
      const size = (op === selected ? 6 : 3) * dpr;
      ctx.fillStyle = colors().outcomes[run.outcome(op)]!;
      shape(ctx, (run.kind[op]! >> 2) % 4, x, y, size);
      if (op === selected) {
        ctx.strokeStyle = colors().text;
        ctx.lineWidth = 2 * dpr;
        ctx.stroke();
      }
    });
    ctx.restore();
  }

  // nearest is the shown operation at a mouse, -1 if there is none.
  nearest(u: uPlot, e: MouseEvent): number {
    const box = u.over.getBoundingClientRect();
    const [x, y] = [e.clientX - box.left, e.clientY - box.top];
    let best = 12 * 12;
    let found = -1;
    this.each(u, devicePixelRatio || 1, (op, px, py) => {
      const d = (px - x) ** 2 + (py - y) ** 2;
      if (d < best) [best, found] = [d, op];
    });
    return found;
  }
}

function shape(ctx: CanvasRenderingContext2D, kind: number, x: number, y: number, r: number): void {
  ctx.beginPath();
  switch (kind) {
    case 0:
      ctx.arc(x, y, r, 0, 7);
      break;
    case 1:
      ctx.rect(x - r, y - r, 2 * r, 2 * r);
      break;
    case 2:
      ctx.moveTo(x, y - 1.4 * r);
      ctx.lineTo(x + 1.4 * r, y);
      ctx.lineTo(x, y + 1.4 * r);
      ctx.lineTo(x - 1.4 * r, y);
      break;
    default:
      ctx.moveTo(x, y - 1.3 * r);
      ctx.lineTo(x + 1.3 * r, y + r);
      ctx.lineTo(x - 1.3 * r, y + r);
  }
  ctx.closePath();
  ctx.fill();
}

function rate(view: View, place: HTMLElement): Chart {
  const plot = new uPlot(
    options(view, place, {
      scales: {
        x: { time: false, auto: false },
        y: { range: (_, __, max) => [0, Math.max(1, (max || 1) * 1.05)] },
      },
      axes: axes(view, "operations a second"),
      series: [
        time(view),
        ...["ok", "failed", "unknown outcome"].map((label, i) => ({
          label,
          stroke: () => colors().outcomes[i]!,
          value: (_: uPlot, v: number | null) =>
            v === null ? "–" : round(+v.toPrecision(3)) + " a second",
          points: { show: false },
          ...lineLooks[i],
        })),
      ],
    }),
    [[], [], [], []],
    place,
  );
  const feed = (bins: () => Bins) => plot.setData([bins().middles, ...bins().rates], true);
  return { plot, place, seen: true, stale: false, feed };
}

function ahead(v: number | null | undefined): string {
  return v === null || v === undefined ? "–" : (v < 0 ? "−" : "") + lasted(Math.abs(v));
}

// clocks draws how far each clock was ahead, as far as somebody looked.
function clocks(view: View, place: HTMLElement): Chart {
  const all = view.run.head.clocks;
  const times = [...new Set(all.flatMap((c) => c.times))].sort((a, b) => a - b);
  const rows = all.map((c) => {
    const known = new Map(c.times.map((t, i) => [t, c.ahead[i]!]));
    return times.map((t) => known.get(t) ?? undefined);
  });
  const plot = new uPlot(
    options(view, place, {
      scales: { x: { time: false, auto: false } },
      axes: axes(view, "ahead", (_, splits) => splits.map(ahead)),
      series: [
        time(view),
        ...all.map((c, i) => ({
          label: c.name,
          stroke: () => colors().bands[i % 8]!,
          spanGaps: true,
          points: { show: true, size: 7 },
          dash: i % 3 === 0 ? undefined : lineLooks[i % 3]!.dash,
          width: 2,
          value: (_: uPlot, v: number | null) => ahead(v),
        })),
      ],
    }),
    [times, ...rows] as uPlot.AlignedData,
    place,
  );
  return { plot, place, seen: true, stale: false, feed: () => plot.redraw() };
}
