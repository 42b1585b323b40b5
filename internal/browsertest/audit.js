// What every page owes its readers. The value is a list of what is wrong.
(() => {
  const bad = new Set();
  const brief = (e) => e.outerHTML.replace(/\s+/g, " ").slice(0, 90);
  const shown = (e) => e.checkVisibility({ visibilityProperty: true });
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);

  // Colors: computed ones are rgb(), rgba() or color(srgb …).
  const parse = (color) => {
    const n = color.match(/[\d.e-]+/g).map(Number);
    return color.startsWith("color(") ? [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1]
      : [n[0], n[1], n[2], n[3] ?? 1];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [most, least] = [light(a), light(b)].sort((x, y) => y - x);
    return (most + 0.05) / (least + 0.05);
  };
  const paper = matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches
    ? [18, 18, 18] : [255, 255, 255];
  const ground = (e) => {
    if (!e) { return paper; }
    const color = parse(getComputedStyle(e).backgroundColor);
    return color[3] === 1 ? color.slice(0, 3) : over(color, ground(e.parentElement));
  };

  // Text: its size and its contrast.
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, what = walk.currentNode.data.trim().slice(0, 40);
    if (!what || !shown(e) || e.closest("noscript, option, script, style, title")) { continue; }
    if (/^inset/.test(getComputedStyle(e).clipPath)) { continue; } // for screen readers only
    const style = getComputedStyle(e), svg = e instanceof SVGElement;
    let under = ground(e);
    for (const below of e.parentElement.querySelectorAll(":scope > .strip, :scope > .pill")) {
      const s = getComputedStyle(below); // what a label of a picture stands on
      under = over([...parse(s.fill).slice(0, 3), +s.fillOpacity], under);
    }
    const ratio = contrast(over(parse(svg ? style.fill : style.color), under), under);
    if (ratio < 4.5) { bad.add(`contrast ${ratio.toFixed(2)}: ${what}`); }
    const scale = svg && e.getScreenCTM() ? e.getScreenCTM().a : 1; // pictures are scaled
    const size = parseFloat(style.fontSize) * scale;
    if (size < 11.99) { bad.add(`${size.toFixed(1)} pixels: ${what}`); }
    texts++;
  }
  if (texts < 5) { bad.add(`only ${texts} texts were looked at`); }

  // Controls: their texts, and their edges (3 to 1 where nothing else tells them apart).
  for (const e of all("input:not([type=checkbox], [type=radio], [type=hidden]), select, textarea")) {
    const s = getComputedStyle(e), under = over(parse(s.backgroundColor), ground(e.parentElement));
    if (contrast(over(parse(s.color), under), under) < 4.5) { bad.add("contrast in " + brief(e)); }
    if (e.placeholder) {
      const p = getComputedStyle(e, "::placeholder");
      const c = parse(p.color);
      c[3] *= +p.opacity;
      if (contrast(over(c, under), under) < 4.5) { bad.add("contrast of a placeholder: " + brief(e)); }
    }
    const edge = over(parse(s.borderTopColor), ground(e.parentElement));
    if (contrast(edge, ground(e.parentElement)) < 3) { bad.add("edge of " + brief(e)); }
  }

  // Names.
  const byId = (e, attribute) => (e.getAttribute(attribute) ?? "").split(/\s+/).filter(Boolean)
    .map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
  const name = (e) => (byId(e, "aria-labelledby") || e.getAttribute("aria-label") ||
    [...(e.labels ?? [])].map((l) => l.textContent).join(" ") || e.getAttribute("alt") ||
    e.title || (e.matches("input, select, canvas, table") ? "" : e.textContent)).trim();
  const named = "a[href], button, input:not([type=hidden]), select, textarea, summary, iframe, " +
    "canvas, progress, [role=img], [role=group], [role=region], [role=application], " +
    "[role=search], [tabindex='0']";
  for (const e of all(named)) {
    if (e.matches("form[role=search], pre")) { continue; } // the page has one of these
    const part = e.matches("canvas:not([tabindex])") && e.closest("[role=group]");
    if (!name(part || e)) { bad.add("no name: " + brief(e)); }
    if (e.tabIndex > 0) { bad.add("out of order: " + brief(e)); }
  }
  for (const e of all("svg:not([aria-hidden=true])")) {
    const role = e.getAttribute("role");
    if (!["img", "group"].includes(role) || name(e).length < 8 || !e.getAttribute("aria-label")) {
      bad.add("a picture without words: " + brief(e));
    }
  }
  for (const e of all("img")) {
    if (!e.hasAttribute("alt")) { bad.add("an image without alt: " + brief(e)); }
  }
  for (const e of all("[aria-hidden=true] *, [aria-hidden=true]")) {
    if (e.tabIndex >= 0 && e.hasAttribute("tabindex")) { bad.add("hidden, but stops: " + brief(e)); }
  }

  // Every chart has its table: beside it, in the same figure, article or section.
  for (const e of all("canvas, svg:not([aria-hidden=true])")) {
    const home = e.closest("figure, article, .moving, section");
    if (!home || !home.querySelector("table")) { bad.add("a chart without a table: " + brief(e)); }
  }
  for (const e of all("table")) {
    if (!e.querySelector("th")) { bad.add("a table without heads: " + brief(e)); }
    for (const row of e.querySelectorAll("thead th")) {
      if (!row.textContent.trim() && !row.getAttribute("aria-label")) {
        bad.add("an empty head: " + brief(e));
      }
    }
  }

  // The page: language, title, headings, landmarks, lists, identifiers.
  if (!document.documentElement.lang) { bad.add("no language"); }
  if (!document.title.trim()) { bad.add("no title"); }
  const viewport = document.querySelector("meta[name=viewport]")?.content ?? "";
  if (!viewport || /user-scalable=no|maximum-scale/.test(viewport)) { bad.add("no zoom: " + viewport); }
  const headings = all("h1, h2, h3, h4, h5, h6");
  if (headings.filter((h) => h.matches("h1")).length !== 1) { bad.add("not one h1"); }
  let level = 0;
  for (const h of headings) {
    const now = +h.tagName[1];
    if (now > level + 1) { bad.add(`h${now} after h${level}: ${h.textContent.trim().slice(0, 40)}`); }
    if (!h.textContent.trim()) { bad.add("an empty heading"); }
    level = now;
  }
  if (all("main").length !== 1) { bad.add("not one main"); }
  for (const e of document.body.children) {
    if (shown(e) && e.innerText?.trim() && !e.matches("main, nav, header, footer, aside, .skip")) {
      bad.add("outside of the landmarks: " + brief(e));
    }
  }
  for (const e of all("ul > *, ol > *")) {
    if (!e.matches("li, script, template")) { bad.add("in a list: " + brief(e)); }
  }
  const ids = new Map();
  for (const e of document.querySelectorAll("[id]")) { ids.set(e.id, (ids.get(e.id) ?? 0) + 1); }
  for (const [id, n] of ids) { if (n > 1) { bad.add(`${n} times: #${id}`); } }
  for (const a of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
    for (const e of document.querySelectorAll(`[${a}]`)) {
      for (const id of e.getAttribute(a).split(/\s+/)) {
        if (!ids.has(id)) { bad.add(`${a} of nothing: ${brief(e)}`); }
      }
    }
  }

  // Nothing has to be scrolled sideways but what says so.
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) {
    const out = all("body *").filter((e) => !e.closest("svg svg, svg *") &&
      e.getBoundingClientRect().right > page.clientWidth + 0.5);
    bad.add(`the page is ${page.scrollWidth} wide, the window ${page.clientWidth}: ` +
      out.slice(0, 3).map(brief).join(" | "));
  }
  return [...bad];
})()
