"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);
  all(".controls").forEach((controls) => { controls.hidden = false; });
  all("form.controls").forEach((form) => form.addEventListener("submit", (e) => e.preventDefault()));

  // Theme: what the system says until the reader chooses.
  const theme = one("theme");
  const root = document.documentElement;
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  // Slices.
  const slides = all(".slide");
  const filter = () => {
    const patient = one("by-patient"), size = one("by-size").value;
    const outcomes = new Set(all("[name=outcome]:checked").map((box) => box.value));
    for (const slide of slides) {
      const tokens = slide.dataset.tokens.split(" ").filter(Boolean).map((t) => t.split(":"));
      const fits = tokens.some(([outcome, stratum]) => outcomes.has(outcome) && (!size || stratum === size));
      const nothing = !tokens.length && outcomes.has("nothing") && !size;
      const his = patient.selectedIndex === 0 || slide.dataset.patient === patient.value;
      slide.hidden = !(his && (fits || nothing));
    }
    const shown = slides.filter((slide) => !slide.hidden).length;
    one("shown").textContent = `${shown} of these ${slides.length} ${one("shown").dataset.noun}`;
    one("no-slides").hidden = shown > 0;
  };
  const clear = () => { one("filters").reset(); boxes(); filter(); };
  const boxes = () => { document.body.classList.toggle("no-boxes", !one("overlay").checked); };
  if (slides.length) {
    one("filters").addEventListener("change", filter);
    one("overlay").addEventListener("change", boxes);
    one("all-slices").addEventListener("click", clear);
    boxes();
    filter(); // a browser may have kept the filters of an earlier visit
  }

  // One slice, large.
  const large = one("large"), stage = large.querySelector(".stage");
  let at = null, zoom = 1;
  const scale = (value) => { zoom = Math.min(8, Math.max(1, value)); stage.style.setProperty("--zoom", zoom); };
  const show = (slide) => {
    at = slide;
    stage.replaceChildren(slide.querySelector(".picture").cloneNode(true));
    one("large-title").textContent = slide.querySelector("figcaption").innerText.replace(/\s*\n\s*/g, ": ").trim();
    scale(1);
  };
  const step = (by) => {
    const visible = slides.filter((slide) => !slide.hidden);
    const next = visible[visible.indexOf(at) + by];
    if (next) show(next);
  };
  const actions = {
    previous: () => step(-1), next: () => step(1), in: () => scale(zoom * 2), out: () => scale(zoom / 2),
    close: () => large.close(),
  };
  for (const slide of slides) {
    slide.querySelector(".open").addEventListener("click", () => { show(slide); large.showModal(); });
  }
  large.addEventListener("click", (event) => {
    const action = event.target.closest("[data-do]")?.dataset.do;
    if (action) actions[action]();
    else if (event.target === large) large.close();
  });
  large.addEventListener("keydown", (event) => {
    const action = { ArrowLeft: "previous", ArrowRight: "next", "+": "in", "-": "out" }[event.key];
    if (action) { actions[action](); event.preventDefault(); }
  });
  large.addEventListener("close", () => at?.querySelector(".open").focus());

  // Tables.
  const value = (row, column) => {
    const cell = row.cells[column];
    return (cell.dataset.sort ?? cell.textContent).trim();
  };
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    if (a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    return a.localeCompare(b, "en", { numeric: true });
  };
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table), body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = [...body.rows].map((row) => [value(row, column), row]);
        keyed.sort(([a], [b]) => {
          if ((a === "") !== (b === "")) return a === "" ? 1 : -1; // unknown values last
          return down ? compare(b, a) : compare(a, b);
        });
        body.append(...keyed.map(([, row]) => row));
      });
    });
  }
  const find = one("find");
  if (find) {
    const rows = [...one("lesion-table").tBodies[0].rows];
    const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
    const search = () => {
      const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, k) => {
        row.hidden = !words.every((word) => texts[k].includes(word));
        shown += !row.hidden;
      });
      one("found").textContent = shown ? `${shown} of ${rows.length} rows` : "no row matches";
    };
    find.addEventListener("input", search);
    search();
  }
  // The contents show where the reader is.
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) links.get(target.id)?.toggleAttribute("data-here", isIntersecting);
  }, { rootMargin: "-10% 0px -60% 0px" });
  all("section[id]").forEach((section) => seen.observe(section));
  // A link to a slice that the filters hide brings it back.
  document.addEventListener("click", (event) => {
    const target = event.target.closest?.('a[href^="#slice-"]')?.hash.slice(1);
    if (target && one(target)?.hidden) clear();
  });
})();
