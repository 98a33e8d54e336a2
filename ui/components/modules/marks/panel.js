// @ts-check
// What stands around the image: what is drawn, buttons, hint, the list of marks, and what Python says of them.

import { dataOf, element, find } from "../dom.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./message.js").Kind} Kind */
/** @typedef {import("./message.js").Message} Message */

const NAMES = { place: "Place", background: "Background", end: "First end" };
const HINTS = {
  place: "Drag a rectangle around a distinctive place: a hole, a corner, a print. One or two.",
  background: "Drag a rectangle where only background is seen.",
  end: "Click the end of the part that is to come first.",
};

export class Panel {
  /** @param {ShadowRoot} root */
  constructor(root) {
    const part = (/** @type {string} */ selector) => find(root, selector, HTMLElement);
    const button = (/** @type {string} */ selector) => find(root, selector, HTMLButtonElement);
    this.tools = part(".tools");
    this.list = part(".list");
    this.undo = button(".undo");
    this.redo = button(".redo");
    this.delete = button(".delete");
    this.in = button(".in");
    this.out = button(".out");
    this.zoom = part(".zoom output");
    this._hint = part(".hint");
    this._said = part(".said");
    this._drawn = "";
  }

  /**
   * Offer the kinds of marks that can be drawn.
   *
   * @param {Kind[]} kinds
   */
  offer(kinds) {
    this.tools.hidden = kinds.length < 2;
    if (kinds.join() === this._drawn) return;
    this._drawn = kinds.join();
    this.tools.replaceChildren(
      ...kinds.map((kind) => element("button", { type: "button", role: "radio", "data-kind": kind }, NAMES[kind])),
    );
  }

  /**
   * Bring all of it in line with the editor.
   *
   * @param {Editor} editor
   */
  draw(editor) {
    const { message, sketch } = editor;
    for (const button of this.tools.querySelectorAll("button")) {
      button.setAttribute("aria-checked", String(button.dataset.kind === editor.kind));
      button.disabled = message.locked;
    }
    this.undo.disabled = !sketch.past.length || message.locked;
    this.redo.disabled = !sketch.future.length || message.locked;
    this.delete.disabled = sketch.selected < 0 || message.locked;
    this.in.disabled = !editor.canZoom(1);
    this.out.disabled = !editor.canZoom(-1);
    this._said.textContent = sketch.isAnswered ? message.said : "Looking at it …";
    this._said.toggleAttribute("data-refused", message.refused && sketch.isAnswered);
    this.hint(editor);
    this._drawList(editor);
  }

  /**
   * Show how to draw, or a message.
   *
   * @param {Editor} editor
   * @param {string | null} [text]
   */
  hint({ anchor, kind, penByKey }, text = null) {
    this._hint.textContent = text ?? (anchor && penByKey ? "Move to the opposite corner, then Space." : HINTS[kind]);
    this._hint.toggleAttribute("data-urgent", text !== null);
  }

  /** @param {Editor} editor */
  _drawList({ message, sketch }) {
    this.list.replaceChildren(
      ...sketch.marks.map(({ kind, width, height }, i) => {
        const answer = sketch.isAnswered ? message.answers[i] : undefined;
        const name = kind === "place" ? `${NAMES.place} ${i + 1}` : NAMES[kind];
        const size = kind === "end" ? "" : `, ${width} × ${height} px`;
        const pressed = String(i === sketch.selected);
        return element("li", { "data-refused": answer?.refused ?? false },
          element("button", { type: "button", "data-index": i, "aria-pressed": pressed }, name + size),
          element("span", {}, answer?.text ?? ""));
      }),
    );
  }
}

/**
 * Let the buttons and the list of marks steer the editor.
 *
 * @param {Editor} editor
 */
export function listenToPanel(editor) {
  const { panel, sketch } = editor;
  panel.tools.addEventListener("click", (event) => {
    const { kind } = dataOf(event);
    if (kind) editor.setKind(/** @type {Kind} */ (kind));
  });
  panel.undo.addEventListener("click", () => editor.undo());
  panel.redo.addEventListener("click", () => editor.redo());
  panel.delete.addEventListener("click", () => editor.remove());
  panel.in.addEventListener("click", () => editor.zoomBy(1));
  panel.out.addEventListener("click", () => editor.zoomBy(-1));
  panel.list.addEventListener("click", (event) => {
    const { index } = dataOf(event);
    if (index === undefined || editor.message.locked) return;
    sketch.selected = sketch.selected === Number(index) ? -1 : Number(index);
    editor.draw();
    editor.stage.focus({ preventScroll: true });
  });
}
