// All pictures as small multiples. Only tiles within sight exist.

const TILE = { picture: 132, caption: 42, gap: 10 };
const SMALL_SIDE = 128;

class Gallery {
  /**
   * @param {HTMLElement} host scrolls
   * @param {(item) => void} opened a tile was chosen
   * @param {() => void} scrolled other tiles are in sight
   */
  constructor(host, opened, scrolled) {
    this.host = host;
    this.opened = opened;
    this.scrolled = scrolled;
    this.inner = element("div", { class: "inner", role: "list" });
    host.replaceChildren(this.inner);
    this.items = [];
    this.tiles = new Map(); // item id -> tile
    this.small = new WeakMap(); // map -> reduced map
    this.active = null;
    host.addEventListener("scroll", () => this.layOut(), { passive: true });
    // What lies outside the window is not drawn until it comes into sight.
    this.watch = new IntersectionObserver((changes) => {
      for (const change of changes) {
        const tile = this.byRoot.get(change.target);
        if (tile) tile.seen = change.isIntersecting;
      }
      this.scrolled();
    });
    this.byRoot = new WeakMap(); // tile's element -> tile
  }

  dispose() {
    this.watch.disconnect();
  }

  setItems(items) {
    this.items = items;
    this.layOut();
  }

  setActive(id, follow) {
    this.active = id;
    for (const [other, tile] of this.tiles) this._mark(tile, other === id);
    const at = this.items.findIndex((item) => item.id === id);
    if (!follow || at < 0) return;
    const top = Math.floor(at / this.columns) * this.pitch;
    const { scrollTop, clientHeight } = this.host;
    if (top < scrollTop) this.host.scrollTop = top;
    else if (top + this.pitch > scrollTop + clientHeight) this.host.scrollTop = top + this.pitch - clientHeight;
  }

  _mark(tile, active) {
    tile.root.classList.toggle("active", active);
    if (active) tile.root.setAttribute("aria-current", "true");
    else tile.root.removeAttribute("aria-current");
  }

  get pitch() {
    return TILE.picture + TILE.caption + TILE.gap;
  }

  /** Make the tiles in sight, drop the others. */
  layOut() {
    const width = this.host.clientWidth;
    if (!width) return;
    this.columns = Math.max(1, Math.floor((width + TILE.gap) / (TILE.picture + TILE.gap)));
    const wide = (width - (this.columns - 1) * TILE.gap) / this.columns;
    const rows = Math.ceil(this.items.length / this.columns);
    this.inner.style.height = `${Math.max(0, rows * this.pitch - TILE.gap)}px`;
    const first = Math.max(0, Math.floor(this.host.scrollTop / this.pitch) - 1) * this.columns;
    const last = (Math.ceil((this.host.scrollTop + this.host.clientHeight) / this.pitch) + 1) * this.columns;
    const seen = this.items.slice(first, last);
    const wanted = new Set(seen.map((item) => item.id));
    for (const [id, tile] of this.tiles) {
      if (wanted.has(id)) continue;
      // The keys work where the focus is: it must not get lost with its tile.
      if (tile.root.matches(":focus-within")) this.host.focus({ preventScroll: true });
      this.watch.unobserve(tile.root);
      tile.root.remove();
      this.tiles.delete(id);
    }
    seen.forEach((item, i) => {
      const tile = this.tiles.get(item.id) ?? this._tile(item);
      const at = first + i;
      tile.root.style.transform = `translate(${(at % this.columns) * (wide + TILE.gap)}px, ${Math.floor(at / this.columns) * this.pitch}px)`;
      tile.root.style.width = `${wide}px`;
      tile.root.setAttribute("aria-posinset", at + 1);
      tile.root.setAttribute("aria-setsize", this.items.length);
    });
    this.scrolled();
  }

  _tile(item) {
    const image = element("img", { alt: "", draggable: "false", decoding: "async", "data-source": item.picture });
    if (item.picture) library.picture(item.picture).then((source) => source && (image.src = source));
    const heat = element("canvas", { class: "heat" });
    const note = element("span", { class: "note" });
    const name = element("b", { title: item.name }, item.name);
    const root = element(
      "div",
      { class: "tile", role: "listitem" },
      element("button", { type: "button", tabindex: -1, onclick: () => this.opened(item) },
        element("span", { class: "picture" }, image, heat), name, note),
    );
    root.querySelector(".picture").style.setProperty("--ratio", shownRatio(item));
    const tile = { root, heat, note, item, seen: false };
    this._mark(tile, item.id === this.active);
    this.tiles.set(item.id, tile);
    this.byRoot.set(root, tile);
    this.watch.observe(root);
    this.inner.append(root);
    return tile;
  }

  /**
   * Draw the tiles in sight for a threshold: all that happens while dragging.
   * @param {(item) => JudgedMap | undefined} mapOf
   * @param {(item) => {verdict, note, label}} told what a tile says
   */
  redraw({ level, minArea, scale, runs, scratch, layers }, mapOf, told) {
    for (const tile of this.tiles.values()) {
      const { verdict, note, label } = told(tile.item);
      if (tile.verdict !== verdict || tile.said !== note || tile.label !== label) {
        tile.root.dataset.verdict = verdict ?? "none";
        tile.note.textContent = note;
        tile.root.dataset.label = label ?? "";
        Object.assign(tile, { verdict, said: note, label });
      }
      if (!tile.seen) continue;
      const map = mapOf(tile.item);
      if (!map) {
        sized(tile.heat, 1, 1).clearRect(0, 0, 1, 1); // no heat rather than a former model's
        continue;
      }
      let small = this.small.get(map);
      if (!small) {
        const { box } = tile.item;
        const factor = Math.max(1, Math.ceil(Math.max(box.width, box.height) / SMALL_SIDE));
        this.small.set(map, (small = new SmallMap(map, box, factor)));
      }
      const marked = layers.contour && map.score(minArea) > level;
      if (marked) findMask(map, level, minArea, runs);
      small.paint(tile.heat, layers.heatmap ? scale.heat : scale.none, marked ? runs : null, scratch);
    }
  }
}
