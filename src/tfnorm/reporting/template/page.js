"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const data = JSON.parse($("data").textContent);
  const list = $("entries");
  const entries = list ? [...list.children] : [];
  const text = new Map(entries.map((one) => [one, {
    name: one.querySelector(".name").textContent,
    what: one.querySelector(".what").textContent,
  }]));

  // The theme: the system's, until a person chooses. Where storage is closed (file://, some browsers), it is not remembered.
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("tfnorm-theme", value);
      return localStorage.getItem("tfnorm-theme");
    } catch { return null; }
  };
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const say = () => { $("theme").textContent = dark() ? "Light" : "Dark"; $("theme").setAttribute("aria-pressed", String(dark())); };
  const turn = () => { root.dataset.theme = dark() ? "light" : "dark"; remembered(root.dataset.theme); say(); };
  if (remembered()) root.dataset.theme = remembered();
  say();
  $("theme").addEventListener("click", turn);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  if (!list) return;

  // Details of the first columns are written out; those of the others are packed together and unpacked when one is opened.
  const unpacked = new Map();
  const unpack = (part) => {
    if (!unpacked.has(part)) {
      const bytes = Uint8Array.from(atob(data.packed[part]), (letter) => letter.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      unpacked.set(part, new Response(stream).json());
    }
    return unpacked.get(part);
  };
  const fill = async (one) => {
    const body = one.querySelector(".body"), at = Number(one.dataset.at) - data.first;
    if (at < 0 || body.firstChild) return;
    try {
      const bodies = await unpack(Math.floor(at / data.together));
      if (!body.firstChild) body.innerHTML = bodies[at % data.together]; // escaped when it was written
    } catch {
      body.textContent = "This browser cannot unpack it. A newer one can.";
    }
  };
  list.addEventListener("toggle", (event) => { if (event.target.open) fill(event.target); }, true);

  // Search, filter, sort.
  const chosen = new Set();
  const shown = () => entries.filter((one) => !one.hidden);
  const narrow = () => {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const one of entries) {
      const said = text.get(one), all = (said.name + " " + said.what).toLowerCase();
      const flags = one.dataset.flags.split(",");
      one.hidden = !(words.every((word) => all.includes(word)) && [...chosen].every((flag) => flags.includes(flag)));
      count += !one.hidden;
    }
    const of = entries.length.toLocaleString("en");
    $("count").textContent = count === entries.length ? `${of} columns` : `${count.toLocaleString("en")} of ${of} columns`;
    $("none").hidden = count > 0;
  };
  const byText = new Intl.Collator("en", { numeric: true });
  const sort = () => {
    const by = $("sort").value;
    const place = (one) => Number(one.dataset.place);
    const compare = by === "name" || by === "what"
      ? (a, b) => byText.compare(text.get(a)[by], text.get(b)[by])
      : by === "place" ? () => 0 : (a, b) => Number(b.dataset[by]) - Number(a.dataset[by]);
    entries.sort((a, b) => compare(a, b) || place(a) - place(b));
    list.replaceChildren(...entries);
  };
  const reset = () => {
    $("search").value = "";
    chosen.clear();
    document.querySelectorAll(".filter").forEach((button) => button.setAttribute("aria-pressed", "false"));
    narrow();
  };
  let waiting = 0;
  $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(narrow, entries.length > 500 ? 80 : 0); });
  $("sort").addEventListener("change", sort);
  $("tools").addEventListener("submit", (event) => event.preventDefault());
  $("reset").addEventListener("click", () => { reset(); $("search").focus(); });
  document.querySelectorAll(".filter").forEach((button) => button.addEventListener("click", () => {
    const flag = button.dataset.flag, on = !chosen.has(flag);
    if (on) chosen.add(flag); else chosen.delete(flag);
    button.setAttribute("aria-pressed", String(on));
    narrow();
  }));
  $("open-all").addEventListener("click", () => {
    const all = shown(), open = !all.slice(0, 200).every((one) => one.open);
    for (const one of open ? all.slice(0, 200) : all) one.open = open;
    $("open-all").textContent = open ? "Close all shown" : "Open all shown";
  });

  // Links to a column, also from outside: open it.
  const follow = () => {
    const one = /^#c[0-9]+$/.test(location.hash) && document.querySelector(location.hash);
    if (!one) return;
    if (one.hidden) reset();
    one.open = true;
    one.scrollIntoView({ block: "start" });
    one.firstElementChild.focus({ preventScroll: true });
  };
  addEventListener("hashchange", follow);
  follow();

  // The keyboard: / to search, j and k or arrows to go through the list, Enter opens as everywhere.
  const go = (by) => {
    const all = shown();
    const at = all.indexOf(document.activeElement.closest?.(".entry"));
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
    if (!next) return;
    next.firstElementChild.focus();
    next.firstElementChild.scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    const inList = event.target.matches("summary");
    if (event.key === "Escape" && event.target === $("search")) { $("search").value = ""; narrow(); $("search").blur(); return; }
    if (event.target === $("search") && event.key === "Enter") { go(1); event.preventDefault(); return; }
    if (typing) return;
    const step = { j: 1, k: -1 }[event.key] ?? (inList ? { ArrowDown: 1, ArrowUp: -1 }[event.key] : undefined);
    if (step) go(step);
    else if (event.key === "/") { $("search").focus(); $("search").select(); }
    else if (event.key === "t") turn();
    else return;
    event.preventDefault();
  });
})();
