// The data of a run, as reports/embed.go packs it: base64 of a raw deflate stream of
// the header's length, the header (JSON), and the columns of the operations.

export interface Window {
  id: number;
  fault: string;
  what: string;
  nodes: string[] | null;
  from: number; // seconds
  to: number; // -1: never
  color: number;
}

export interface Lane {
  label: string;
  node: string;
  ops: number;
}

export interface Lead {
  node: string;
  what: string;
  from: number;
  to: number; // -1: until the end
}

export interface LogFile {
  node: string;
  path: string;
  lines: string[];
  times: (number | null)[]; // seconds; null: that of the line before
}

export interface ClockLine {
  name: string;
  times: number[];
  ahead: number[]; // seconds
}

export interface Mark {
  op: number;
  example: string; // the id of its diagram
  bar: number;
  culprit: boolean;
}

export interface Header {
  end: number; // seconds
  unit: number; // nanoseconds of a tick
  mantissa: number; // bits of a duration
  total: number; // operations of the run
  count: number; // operations in the columns
  weights: number[]; // by outcome: how many operations each stands for
  functions: string[];
  lanes: Lane[];
  windows: Window[];
  leads: Lead[];
  logs: LogFile[];
  clocks: ClockLine[];
  marks: Mark[];
  told: number; // operations with details
  views: string[];
  between: string[]; // what separates told operations, and their fields
  columns: { name: string; bytes: number }[];
}

export const outcomes = ["ok", "failed", "unknown outcome", "unanswered"];
export const endless = 0xffff;

export interface Details {
  key: string;
  value: string;
  error: string;
  index: number;
}

// Run is the header with the operations, lane by lane, in each by their calls.
export class Run {
  readonly first: Int32Array; // of each lane, and the end
  readonly call: Uint32Array; // ticks
  readonly code: Uint16Array; // of the duration
  readonly kind: Uint8Array; // function * 4 + outcome
  readonly process: Int32Array;
  readonly nanos: Float64Array; // by code
  readonly tick: number; // seconds
  private readonly detail: Int32Array; // position among the told, -1 if not told
  private readonly told: string[];

  constructor(
    readonly head: Header,
    bytes: Uint8Array,
  ) {
    const columns = new Map<string, Uint8Array>();
    let at = 0;
    for (const c of head.columns) {
      columns.set(c.name, bytes.subarray(at, at + c.bytes));
      at += c.bytes;
    }
    const column = (name: string) => columns.get(name) ?? new Uint8Array();
    const n = head.count;
    this.first = new Int32Array(head.lanes.length + 1);
    head.lanes.forEach((l, i) => (this.first[i + 1] = this.first[i]! + l.ops));
    this.kind = column("kind");
    this.code = new Uint16Array(n);
    const low = column("code0");
    const high = column("code1");
    for (let i = 0; i < n; i++) this.code[i] = low[i]! | (high[i]! << 8);
    this.nanos = durations(head.mantissa);
    this.tick = head.unit * 1e-9;
    this.call = this.calls(planes(column, "gap", n));
    this.process = new Int32Array(n);
    const steps = planes(column, "process", n);
    for (let l = 0; l < head.lanes.length; l++) {
      let p = 0;
      for (let i = this.first[l]!; i < this.first[l + 1]!; i++) {
        p += signed(steps[i]!);
        this.process[i] = p;
      }
    }
    this.detail = new Int32Array(n).fill(-1);
    const jumps = planes(column, "told", head.told);
    for (let i = 0, op = 0; i < head.told; i++) {
      op += jumps[i]!;
      this.detail[op] = i;
    }
    const text = new TextDecoder().decode(column("text"));
    this.told = head.told === 0 ? [] : text.split(head.between[0]!);
  }

  private calls(gaps: Uint32Array): Uint32Array {
    const call = new Uint32Array(this.head.count);
    for (let l = 0; l < this.head.lanes.length; l++) {
      let end = 0;
      for (let i = this.first[l]!; i < this.first[l + 1]!; i++) {
        call[i] = end + signed(gaps[i]!);
        const code = this.code[i]!;
        const took = code === endless ? 0 : this.nanos[code]!;
        end = call[i]! + Math.floor(took / this.head.unit);
      }
    }
    return call;
  }

  get count(): number {
    return this.head.count;
  }

  start(op: number): number {
    return this.call[op]! * this.tick;
  }

  // until is when its client had an answer, or the end of the run.
  until(op: number): number {
    const code = this.code[op]!;
    return code === endless ? this.head.end : this.start(op) + this.nanos[code]! * 1e-9;
  }

  took(op: number): number | null {
    const code = this.code[op]!;
    return code === endless ? null : this.nanos[code]! * 1e-9;
  }

  outcome(op: number): number {
    return this.kind[op]! & 3;
  }

  fn(op: number): string {
    return this.head.functions[this.kind[op]! >> 2] ?? "other";
  }

  lane(op: number): number {
    let low = 0;
    let high = this.head.lanes.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.first[middle]! <= op) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  details(op: number): Details | null {
    const at = this.detail[op]!;
    if (at < 0) return null;
    const [index, key, value, error] = this.told[at]!.split(this.head.between[1]!);
    return { index: Number(index), key: key ?? "", value: value ?? "", error: error ?? "" };
  }

  // from is the position of the first operation of a lane that may end at or after a time.
  from(lane: number, seconds: number): number {
    const first = this.first[lane]!;
    let low = first;
    let high = this.first[lane + 1]!;
    const tick = seconds / this.tick;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.call[middle]! < tick) low = middle + 1;
      else high = middle;
    }
    return Math.max(first, low - 1);
  }

  // active are the faults at a time.
  active(from: number, to: number): Window[] {
    return this.head.windows.filter((w) => w.from <= to && (w.to < 0 || w.to >= from));
  }
}

function signed(v: number): number {
  return v & 1 ? -((v >>> 1) + 1) : v >>> 1;
}

// planes joins the four bytes of numbers that are stored apart: they are packed smaller.
function planes(column: (name: string) => Uint8Array, name: string, n: number): Uint32Array {
  const values = new Uint32Array(n);
  for (let p = 0; p < 4; p++) {
    const bytes = column(name + p);
    const shift = 8 * p;
    for (let i = 0; i < bytes.length; i++) values[i] = values[i]! | (bytes[i]! << shift);
  }
  return values;
}

// durations is the table of what each code means, in nanoseconds.
function durations(mantissa: number): Float64Array {
  const table = new Float64Array(0x10000);
  const one = 2 ** mantissa;
  for (let code = 0; code < table.length; code++) {
    const exponent = Math.max(0, (code >> mantissa) - 1);
    const rest = code < one ? code : (code & (one - 1)) + one;
    table[code] = rest * 2 ** exponent;
  }
  return table;
}

// load unpacks the data of this page. The browser does it beside its main thread.
export async function load(): Promise<Run> {
  const text = atob(document.getElementById("data")?.textContent ?? "");
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as Header;
  return new Run(head, bytes.subarray(4 + length));
}
