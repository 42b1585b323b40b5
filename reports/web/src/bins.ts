// What happened in each part of what is looked at: rates and quantiles.

import { endless, type Run } from "./data.js";
import type { View } from "./view.js";

export interface Bins {
  middles: number[];
  rates: (number | null)[][]; // ok, failed, unknown or unanswered, a second
  quantiles: (number | null)[][]; // seconds, of successes
}

export const shares = [0.5, 0.95, 0.99];
const count = 160;
const fine = 7; // bits of a duration that count for quantiles

// cut counts the shown operations, by their ends for rates and by their calls for latencies.
export function cut(run: Run, view: View): Bins {
  const { from, to } = view;
  const width = (to - from) / count;
  const scale = run.tick / width;
  const offset = from / width;
  const drop = Math.max(0, run.head.mantissa - fine);
  const rows = (endless >> drop) + 1;
  const latencies = new Uint32Array(count * rows);
  const most = new Int32Array(count).fill(-1); // the greatest code of each bin
  const rates = [0, 1, 2].map(() => new Float64Array(count));
  const ticks = run.nanos.map((n) => n / run.head.unit);
  for (let lane = 0; lane < run.head.lanes.length; lane++) {
    const last = run.first[lane + 1]!;
    for (let i = run.from(lane, from); i < last; i++) {
      const kind = run.kind[i]!;
      if (view.shown[kind] === 0) continue;
      const call = run.call[i]!;
      const bin = Math.floor(call * scale - offset);
      if (bin >= count) break;
      const code = run.code[i]!;
      const outcome = Math.min(2, kind & 3);
      if (bin >= 0 && (kind & 3) === 0) {
        const c = code >> drop;
        latencies[bin * rows + c]!++;
        if (c > most[bin]!) most[bin] = c;
      }
      const ended = code === endless ? bin : Math.floor((call + ticks[code]!) * scale - offset);
      if (ended >= 0 && ended < count) rates[outcome]![ended]! += run.head.weights[kind & 3]!;
    }
  }
  const middles = Array.from(rates[0]!, (_, i) => from + (i + 0.5) * width);
  return {
    middles,
    rates: rates.map((r, o) => spread(r, width, o > 0)),
    quantiles: quantiles(run, latencies, most, rows, drop),
  };
}

// spread makes counts rates. A line that is nowhere is left out.
function spread(counts: Float64Array, width: number, optional: boolean): (number | null)[] {
  if (optional && counts.every((n) => n === 0)) return Array.from(counts, () => null);
  return Array.from(counts, (n) => n / width);
}

function quantiles(
  run: Run,
  counts: Uint32Array,
  most: Int32Array,
  rows: number,
  drop: number,
): (number | null)[][] {
  const all: (number | null)[][] = shares.map(() => new Array(count).fill(null));
  for (let bin = 0; bin < count; bin++) {
    let total = 0;
    for (let c = 0; c <= most[bin]!; c++) total += counts[bin * rows + c]!;
    if (total === 0) continue;
    let seen = 0;
    let next = 0;
    for (let c = 0; c <= most[bin]! && next < shares.length; c++) {
      seen += counts[bin * rows + c]!;
      while (next < shares.length && seen >= Math.ceil(shares[next]! * total)) {
        all[next]![bin] = Math.max(1e-6, run.nanos[c << drop]! * 1e-9);
        next++;
      }
    }
  }
  return all;
}
