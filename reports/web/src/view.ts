// What part of the run is looked at, shared by all charts: zooming one zooms all.

import type { Run } from "./data.js";

export class View {
  from = 0;
  to: number;
  selected = -1;
  gutter = 0; // left of the lanes, in pixels
  version = 0; // counts the changes, so that others see what is drawn already
  // shown is by kind of operation: what the filters leave.
  readonly shown = new Uint8Array(256).fill(1);
  private readonly drawers: (() => void)[] = [];
  private waiting = false;

  constructor(readonly run: Run) {
    this.to = run.head.end;
  }

  get end(): number {
    return this.run.head.end;
  }

  get whole(): boolean {
    return this.from <= 0 && this.to >= this.end;
  }

  // each calls a function once a frame when something has changed.
  each(draw: () => void): void {
    this.drawers.push(draw);
  }

  changed(): void {
    this.version++;
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      for (const draw of this.drawers) draw();
    });
  }

  // look moves to a part of the run, at least a few ticks and at most all of it.
  look(from: number, to: number): void {
    const least = Math.min(this.end, Math.max(20 * this.run.tick, 2e-6));
    const width = Math.min(this.end, Math.max(least, to - from));
    const middle = (from + to) / 2;
    this.from = Math.min(Math.max(0, middle - width / 2), this.end - width);
    this.to = this.from + width;
    this.changed();
  }

  all(): void {
    this.look(0, this.end);
  }

  zoom(factor: number, at = (this.from + this.to) / 2): void {
    this.look(at - (at - this.from) / factor, at + (this.to - at) / factor);
  }

  pan(share: number): void {
    const by = (this.to - this.from) * share;
    if (this.from + by < 0) this.look(0, this.to - this.from);
    else if (this.to + by > this.end) this.look(this.end - (this.to - this.from), this.end);
    else this.look(this.from + by, this.to + by);
  }

  // select makes an operation the one that is told about, and brings it into sight.
  select(op: number): void {
    this.selected = op;
    if (op >= 0) {
      const start = this.run.start(op);
      const until = Math.min(this.run.until(op), start + (this.to - this.from) / 2);
      if (start < this.from || until > this.to) {
        const width = this.to - this.from;
        this.look(start - width / 3, start + (2 * width) / 3);
      }
    }
    this.changed();
  }

  // near shows an operation and what was around it.
  near(op: number): void {
    const took = Math.min(this.run.until(op) - this.run.start(op), 1);
    const around = Math.max(10 * took, 0.02);
    this.selected = op;
    this.look(this.run.start(op) - around, this.run.start(op) + took + around);
  }
}

// keys moves a view by the keyboard.
export function moveByKey(view: View, e: KeyboardEvent): boolean {
  if (e.ctrlKey || e.metaKey || e.altKey) return false;
  switch (e.key) {
    case "+":
    case "=":
      view.zoom(2);
      break;
    case "-":
      view.zoom(0.5);
      break;
    case "ArrowLeft":
      view.pan(-0.2);
      break;
    case "ArrowRight":
      view.pan(0.2);
      break;
    case "Home":
    case "0":
      view.all();
      break;
    default:
      return false;
  }
  e.preventDefault();
  return true;
}

// moveByWheel zooms with a wheel and Ctrl or Shift (or two fingers), and moves with a
// wheel that goes sideways. A plain wheel scrolls the page, as everywhere.
export function moveByWheel(view: View, e: WheelEvent, at: number): void {
  if (e.ctrlKey || e.metaKey || (e.shiftKey && e.deltaX === 0)) {
    view.zoom(Math.exp(-Math.max(-200, Math.min(200, e.deltaY)) / 250), at);
  } else if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
    view.pan(e.deltaX / 1000);
  } else {
    return;
  }
  e.preventDefault();
}
