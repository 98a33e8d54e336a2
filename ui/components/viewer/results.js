// The results as a table. Only lines within sight exist; which one is marked is the viewer's to say.

const LINE = 52; // heights in pixels: of a line, of the line above all, of the whole at most
const HEAD = 34;
const TALLEST = 480;
const COLUMNS = ["", "Name", "Score / threshold", "Verdict", "Regions", "Size (px)"];

class ResultTable {
  /**
   * @param {HTMLElement} host scrolls
   * @param {(item) => void} opened a line was chosen
   */
  constructor(host, opened) {
    this.host = host;
    this.opened = opened;
    this.items = [];
    this.lines = new Map(); // item id -> line
    this.active = null;
    this.before = element("tr", { "aria-hidden": "true" });
    this.after = element("tr", { "aria-hidden": "true" });
    this.body = element("tbody", {}, this.before, this.after);
    this.table = element(
      "table",
      { class: "results", "aria-label": "Results" },
      element("thead", {}, element("tr", { "aria-rowindex": 1 }, ...COLUMNS.map((title) => element("th", { scope: "col" }, title)))),
      this.body,
    );
    host.replaceChildren(this.table);
    host.addEventListener("scroll", () => this.layOut(), { passive: true });
  }

  setItems(items) {
    this.items = items;
    this.table.setAttribute("aria-rowcount", items.length + 1);
    this.layOut();
  }

  setActive(id, follow) {
    this.active = id;
    for (const [other, line] of this.lines) this._mark(line, other === id);
    const at = this.items.findIndex((item) => item.id === id);
    if (!follow || at < 0) return;
    const { scrollTop, clientHeight } = this.host;
    const below = (at + 1) * LINE + HEAD;
    if (at * LINE < scrollTop) this.host.scrollTop = at * LINE;
    else if (below > scrollTop + clientHeight) this.host.scrollTop = below - clientHeight;
  }

  _mark(line, active) {
    line.root.classList.toggle("active", active);
    if (active) line.root.setAttribute("aria-current", "true");
    else line.root.removeAttribute("aria-current");
  }

  /** Make the lines in sight, drop the others. */
  layOut() {
    if (this.host.hidden) return;
    const tall = Math.min(TALLEST, this.items.length * LINE + HEAD);
    this.host.style.height = `${tall + 2}px`; // and its border
    const first = Math.max(0, Math.min(Math.floor(this.host.scrollTop / LINE) - 2, this.items.length - 1));
    const seen = this.items.slice(first, first + Math.ceil(tall / LINE) + 4);
    const wanted = new Set(seen.map((item) => item.id));
    for (const [id, line] of this.lines) {
      if (wanted.has(id)) continue;
      line.root.remove();
      this.lines.delete(id);
    }
    this.before.style.height = `${first * LINE}px`;
    this.after.style.height = `${(this.items.length - first - seen.length) * LINE}px`;
    let behind = this.before;
    seen.forEach((item, i) => {
      const line = this.lines.get(item.id) ?? this._line(item);
      if (behind.nextSibling !== line.root) behind.after(line.root);
      behind = line.root;
      line.root.setAttribute("aria-rowindex", first + i + 2);
    });
    this.redraw();
  }

  _line(item) {
    const image = element("img", { alt: "", draggable: "false", decoding: "async" });
    if (item.picture) library.picture(item.picture).then((source) => source && (image.src = source));
    const cells = {
      picture: element("td", { class: "thumb" }, image),
      name: element("td", { class: "file", title: item.name }, item.name),
      score: element("td", { class: "number" }),
      verdict: element("td"),
      regions: element("td", { class: "number" }),
      size: element("td", { class: "number" }, `${item.width} × ${item.height}`),
    };
    const root = element("tr", { onclick: () => this.opened(item) }, ...Object.values(cells));
    const line = { root, item, ...cells };
    this._mark(line, item.id === this.active);
    this.lines.set(item.id, line);
    return line;
  }

  /**
   * What the lines in sight say.
   * @param {(item) => {verdict, words, times}} told
   */
  redraw(told = this.told) {
    this.told = told;
    if (!told) return;
    for (const { root, item, score, verdict, regions } of this.lines.values()) {
      const { verdict: kind, words, times } = told(item);
      root.dataset.verdict = kind;
      for (const [cell, text] of [[score, times], [verdict, words], [regions, String(item.regions)]]) {
        if (cell.textContent !== text) cell.textContent = text;
      }
    }
  }
}
