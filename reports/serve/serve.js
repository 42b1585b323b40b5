// What the pages gain from a script: keys, forms that go by themselves, and what changes
// while one looks. Everything here can be left out.
"use strict";
(() => {
  const form = document.querySelector("form[data-auto]");
  if (form) {
    for (const field of form.querySelectorAll("select, input[type=date]")) {
      field.addEventListener("change", () => form.requestSubmit());
    }
  }

  const rows = Array.from(document.querySelectorAll("tr[data-href]"));
  let current = -1;
  const choose = (i) => {
    if (i < 0 || i >= rows.length) { return; }
    if (current >= 0) { rows[current].classList.remove("current"); }
    current = i;
    rows[i].classList.add("current");
    rows[i].querySelector("a").focus();
    rows[i].scrollIntoView({ block: "nearest" });
  };
  rows.forEach((row, i) => row.addEventListener("focusin", () => {
    if (i !== current) {
      if (current >= 0) { rows[current].classList.remove("current"); }
      current = i;
      row.classList.add("current");
    }
  }));
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.altKey || e.metaKey || e.target.matches("input:not([type=checkbox]), select, textarea")) { return; }
    const search = document.querySelector("input[type=search]");
    if (e.key === "/" && search) { e.preventDefault(); search.focus(); search.select(); }
    if (e.key === "j") { choose(current + 1); }
    if (e.key === "k") { choose(current - 1); }
    if (e.key === "c" && current >= 0) { rows[current].querySelector("input[type=checkbox]").click(); }
  });
  // Two runs can be compared, not three: a third mark takes the first away.
  let marked = [];
  for (const box of document.querySelectorAll("input[name=run]")) {
    box.addEventListener("change", () => {
      marked = marked.filter((b) => b !== box);
      if (box.checked) { marked.push(box); }
      if (marked.length > 2) { marked.shift().checked = false; }
    });
  }

  const fresh = document.getElementById("fresh");
  if (fresh) {
    setInterval(async () => {
      if (document.hidden || fresh.childElementCount) { return; }
      try {
        const answer = await fetch("/api/v1/runs?limit=1");
        const newest = (await answer.json()).runs[0];
        if (newest && newest.id !== fresh.dataset.newest) {
          const a = document.createElement("a");
          a.href = location.href;
          a.textContent = "There are new runs: show them";
          fresh.append(a);
        }
      } catch { /* the server is gone: the page stays as it is */ }
    }, 5000);
  }

  const live = document.getElementById("live");
  if (live && live.dataset.state === "running") {
    const stream = new EventSource(live.dataset.stream);
    // What a reader has opened, moved aside and gone to stays so when the page changes.
    const stops = () => Array.from(live.querySelectorAll("a[href], summary, .scroll, .chart"));
    const show = (e) => {
      const open = Array.from(live.querySelectorAll("details"), (d) => d.open);
      const aside = Array.from(live.querySelectorAll(".scroll, .chart"), (d) => d.scrollLeft);
      const focused = stops().indexOf(document.activeElement);
      const at = JSON.parse(e.data);
      live.innerHTML = at.html;
      live.dataset.state = at.state;
      live.querySelectorAll("details").forEach((d, i) => { d.open = Boolean(open[i]); });
      live.querySelectorAll(".scroll, .chart").forEach((d, i) => { d.scrollLeft = aside[i] ?? 0; });
      if (focused >= 0 && stops()[focused]) { stops()[focused].focus({ preventScroll: true }); }
    };
    stream.addEventListener("status", show);
    stream.addEventListener("end", (e) => { show(e); stream.close(); });
  }
})();
