// @ts-check
// The desk on the screen: the image, what is known of it, and what can be done.

import { CommentForm, TypeForm } from "./forms.js";
import { listenToKeys } from "./keys.js";
import { Queue } from "./queue.js";
import { Stage, VIEWS } from "./stage.js";

/** @typedef {import("./message.js").Decision} Decision */
/** @typedef {import("./message.js").Message} Message */

const DONE = { accept: "Accepted", reject: "Rejected", unsure: "Unsure about" };
/** How many images are loaded before they are shown. */
const AHEAD = 8;

export class Screen {
  /**
   * @param {ShadowRoot} root
   * @param {(actions: import("./message.js").Action[]) => void} send
   */
  constructor(root, send) {
    this.host = /** @type {HTMLElement} */ (root.querySelector(".desk"));
    this.queue = new Queue(send);
    this.stage = new Stage(this._find(".stage"));
    this.types = new TypeForm(this._find(".types"), (type) => this._decide("reject", type), () => this._close());
    this.comment = new CommentForm(this._find(".ask.comment"), (text) => this._comment(text), () => this._close());
    /** @type {Message | null} */
    this.message = null;
    this._readRefusals = 0;
    this._saidOf = -1;
    this._build();
    this._stopKeys = listenToKeys(this.host, () => this._keys());
  }

  dispose() {
    this._stopKeys();
  }

  /** @param {Message} message */
  update(message) {
    this.message = message;
    this.queue.update(message);
    for (const { serial, text } of message.refusals) {
      if (serial <= this._readRefusals) continue;
      this._readRefusals = serial;
      this._refuse(text);
    }
    this._draw();
  }

  /**
   * @template {Element} [T=HTMLElement]
   * @param {string} selector
   * @returns {T}
   */
  _find(selector) {
    return /** @type {T} */ (/** @type {unknown} */ (this.host.querySelector(selector)));
  }

  _build() {
    for (const [view, label] of VIEWS) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.dataset.view = view;
      button.setAttribute("role", "radio");
      button.title = "Change with V";
      button.addEventListener("click", () => this._look(view));
      this._find(".views").append(button);
    }
    this._find(".zoom .in").addEventListener("click", () => this.stage.magnify(1.6));
    this._find(".zoom .out").addEventListener("click", () => this.stage.magnify(1 / 1.6));
    this._find(".zoom .whole").addEventListener("click", () => this.stage.whole());
    for (const button of this.host.querySelectorAll("[data-act]")) {
      const name = /** @type {HTMLElement} */ (button).dataset.act ?? "";
      button.addEventListener("click", () => this._acts()[name]?.());
    }
  }

  /** @returns {Record<string, () => void>} what the buttons do */
  _acts() {
    return {
      accept: () => this._decide("accept"),
      reject: () => this._decide("reject"),
      unsure: () => this._decide("unsure"),
      type: () => this._open(() => this.types.open(this.queue.types(this.message?.types ?? []))),
      comment: () => this._open(() => this.comment.open()),
      undo: () => this._undo(),
      back: () => this._go(-1),
      on: () => this._go(1),
    };
  }

  /** @returns {import("./keys.js").Acts} */
  _keys() {
    const acts = this._acts();
    const views = VIEWS.map(([view]) => view);
    const next = views[(views.indexOf(this.stage.view) + 1) % views.length];
    return {
      a: acts.accept, r: acts.reject, u: acts.unsure, d: acts.type, n: acts.comment, z: acts.undo,
      ArrowLeft: acts.back, ArrowRight: acts.on,
      v: () => this._look(next),
      "+": () => this.stage.magnify(1.6), "=": () => this.stage.magnify(1.6),
      "-": () => this.stage.magnify(1 / 1.6), 0: () => this.stage.whole(),
      "?": () => this._find(".keys").toggleAttribute("open"),
      Escape: () => this._close(),
    };
  }

  /**
   * @param {Decision} decision
   * @param {string} type
   */
  _decide(decision, type = "") {
    if (this.message?.locked) return;
    this._close();
    const item = this.queue.decide(decision, type);
    if (!item) return;
    this._find(".refused").hidden = true;
    this._draw();
    this._say(`${DONE[decision]} ${item.name}${type ? `, ${type}` : ""}.`);
  }

  _undo() {
    if (this.message?.locked) return;
    this._close();
    this.queue.undo();
    this._draw();
    this._say("Undone.");
  }

  /** @param {number} steps */
  _go(steps) {
    this._close();
    this.queue.go(steps);
    this._draw();
  }

  /** @param {import("./stage.js").View} view */
  _look(view) {
    this.stage.view = view;
    this._draw();
  }

  /** @param {() => void} open shows a form */
  _open(open) {
    if (this.message?.locked || !this.queue.shown) return;
    this._close();
    open();
  }

  _close() {
    // The keys are the desk's again.
    if (this.types.close() || this.comment.close()) this._find(".stage").focus({ preventScroll: true });
  }

  /** @param {string} text */
  _comment(text) {
    this.queue.comment(text);
    this._close();
    this._draw();
    this._say("Comment added.");
  }

  // -- drawing ---------------------------------------------------------------------------------------

  /** @param {string} text */
  _refuse(text) {
    const line = this._find(".refused");
    line.textContent = text;
    line.hidden = false;
  }

  /** @param {string} text */
  _say(text) {
    const item = this.queue.shown;
    this._find(".spoken").textContent = item ? `${text} Next: ${item.name}, ${item.said}.` : `${text} None is left.`;
  }

  _draw() {
    const { queue, message } = this;
    const item = queue.shown;
    const open = queue.open;
    this.stage.hold(item ? open.slice(Math.max(0, open.indexOf(item) - 1)).slice(0, AHEAD) : []);
    this.stage.show(item);
    const rate = queue.pace ?? 0;
    const pace = !rate ? "" : rate < 1 ? ` · ${Math.round(60 * rate)} an hour` : ` · ${Math.round(rate)} a minute`;
    const onTheWay = queue.outbox.filter((one) => one.kind !== "more").length;
    const done = (message?.done ?? 0) + queue.decided.size;
    const [left, decided] = [queue.left, done].map((number) => number.toLocaleString("en"));
    this._find(".progress").textContent = `${left} left · ${decided} decided${pace}`;
    this._find(".saved").textContent = onTheWay ? `Saving ${onTheWay} …` : done ? "All saved" : "";
    for (const button of this.host.querySelectorAll("[data-view]")) {
      const mine = /** @type {HTMLElement} */ (button).dataset.view === this.stage.view;
      button.setAttribute("aria-checked", String(mine));
    }
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (this.host.querySelectorAll("[data-act]"))) {
      const act = button.dataset.act ?? "";
      button.disabled = (!item && act !== "undo") || Boolean(message?.locked && !["back", "on"].includes(act));
    }
    this._find(".name").textContent = item?.name ?? "None is left";
    const verdict = this._find(".verdict");
    verdict.textContent = item?.said ?? "";
    verdict.dataset.verdict = item?.verdict ?? "";
    this._find(".reasons").replaceChildren(...lines(item?.reasons));
    this._find(".history").replaceChildren(...lines(item?.history));
    this._find(".note").textContent = item?.note ?? "";
    this._find(".facts").replaceChildren(
      ...(item?.facts ?? []).flatMap(([label, value]) => [element("dt", label), element("dd", value)]),
    );
  }
}

/** @param {string[] | undefined} texts */
function lines(texts) {
  return (texts ?? []).map((text) => element("li", text));
}

/**
 * @param {string} name
 * @param {string} text
 */
function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
