// Times, numbers and operations in words.

import { outcomes, type Run } from "./data.js";

// clock writes a moment of the run with as many digits as tell places apart.
export function clock(seconds: number, width: number): string {
  const digits = Math.max(0, Math.min(7, Math.ceil(-Math.log10(width / 100))));
  return seconds.toFixed(digits) + " s";
}

export function lasted(seconds: number): string {
  if (seconds >= 10) return seconds.toFixed(1) + " s";
  if (seconds >= 1) return seconds.toFixed(2) + " s";
  if (seconds >= 1e-3) return trim(seconds * 1e3) + " ms";
  return trim(seconds * 1e6) + " µs";
}

function trim(v: number): string {
  return String(Number(v.toPrecision(3)));
}

export function group(n: number): string {
  return Math.round(n).toLocaleString("en-US");
}

// what tells what an operation did, as far as it is known here.
export function what(run: Run, op: number): string {
  const d = run.details(op);
  return d ? (run.fn(op) + " " + d.value).trim() : run.fn(op);
}

// told is an operation in a line.
export function told(run: Run, op: number): string {
  const took = run.took(op);
  const d = run.details(op);
  const parts = [
    what(run, op),
    d?.key ? "key " + d.key : "",
    "process " + run.process[op] + at(run, op),
    "called " + clock(run.start(op), 0.01),
    took === null ? "never answered" : "took " + lasted(took),
    outcomes[run.outcome(op)]! + (d?.error ? ": " + d.error : ""),
  ];
  return parts.filter((p) => p !== "").join(" · ");
}

export function at(run: Run, op: number): string {
  const node = run.head.lanes[run.lane(op)]!.node;
  return node ? " at " + node : "";
}

// fitting cuts a text that is wider than it may be.
export function fitting(ctx: CanvasRenderingContext2D, text: string, width: number): string {
  if (text.length * 4 > 4 * width) text = text.slice(0, Math.max(0, Math.floor(width)));
  if (ctx.measureText(text).width <= width) return text;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (ctx.measureText(text.slice(0, middle) + "…").width <= width) low = middle;
    else high = middle - 1;
  }
  return low < 2 ? "" : text.slice(0, low) + "…";
}
