// The colors of page.css, for canvases. They follow the reader's scheme, and paper.

export interface Colors {
  text: string;
  dim: string;
  page: string;
  card: string;
  line: string;
  outcomes: string[]; // ok, failed, unknown outcome, unanswered
  invalid: string;
  bands: string[];
  lines: string[];
}

let known: Colors | null = null;

export function colors(): Colors {
  if (known) return known;
  const style = getComputedStyle(document.documentElement);
  const get = (name: string) => style.getPropertyValue("--" + name).trim();
  const bands: string[] = [];
  for (let i = 0; i < 8; i++) bands.push(get("band" + i));
  known = {
    text: get("text"),
    dim: get("dim"),
    page: get("page"),
    card: get("card"),
    line: get("line"),
    outcomes: [get("ok"), get("fail"), get("info"), get("info")],
    invalid: get("invalid"),
    bands,
    lines: [get("text"), get("valid"), get("invalid")],
  };
  return known;
}

// whenColorsChange calls a function after the reader's scheme has changed, and before and
// after printing.
export function whenColorsChange(f: () => void): void {
  const again = () => {
    known = null;
    f();
  };
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    window.matchMedia(query).addEventListener("change", again);
  }
}

// rgb is a color of the form #rrggbb as numbers.
export function rgb(color: string): [number, number, number] {
  const n = parseInt(color.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}
