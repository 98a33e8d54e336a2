// @ts-check
// What stands around the image: tools, buttons, hint, list of shapes, and the images behind the drawing.

import { dataOf, element, find } from "../dom.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./message.js").Message} Message */

const HINTS = {
  polygon: "Click corners; double click or Enter closes, Escape gives up.",
  brush: "Press and paint. Every stroke is a shape of its own.",
  select: "Click a shape to choose it. Drag it, or one of its corners; Delete takes it away.",
};

export class Panel {
  /** @param {ShadowRoot} root */
  constructor(root) {
    const button = (/** @type {string} */ selector) => find(root, selector, HTMLButtonElement);
    const part = (/** @type {string} */ selector) => find(root, selector, HTMLElement);
    this.tools = part(".tools");
    this.modes = part(".modes");
    this.radius = find(root, ".radius input", HTMLInputElement);
    this.undo = button(".undo");
    this.redo = button(".redo");
    this.delete = button(".delete");
    this.clear = button(".clear");
    this.list = part(".list");
    this.mean = find(root, ".mean", HTMLImageElement);
    this.alarms = find(root, ".alarms", HTMLImageElement);
    this.alarmsShown = find(root, ".alarms-toggle input", HTMLInputElement);
    this._alarmsToggle = part(".alarms-toggle");
    this._radiusLabel = part(".radius");
    this._radiusText = part(".radius output");
    this._hint = part(".hint");
    this._share = part(".share");
    this._calm = part(".calm");
    this._scale = part(".scale");
    this._scaleBar = part(".scale b");
    this._least = part(".least");
    this._most = part(".most");
    /** @type {string | null} URL of the map of where good parts alarm */
    this._alarmsUrl = null;
    this._listed = "";
    this.alarmsShown.addEventListener("change", () => this._showAlarms());
  }

  /**
   * Show the images behind the drawing.
   *
   * @param {Message} message
   */
  showImages({ mean, false_alarms: alarms, calm }) {
    show(this.mean, mean, true);
    this._alarmsUrl = alarms?.url ?? null;
    this._showAlarms();
    this._alarmsToggle.hidden = this._scale.hidden = !alarms?.url;
    this._calm.hidden = !calm;
    this._calm.textContent = calm ?? "";
    if (!alarms) return;
    this._scaleBar.style.background = `linear-gradient(to right, ${alarms.colors.join(", ")})`;
    this._least.textContent = alarms.least;
    this._most.textContent = alarms.most;
  }

  _showAlarms() {
    show(this.alarms, this._alarmsUrl, this.alarmsShown.checked);
  }

  /**
   * Bring all of it in line with the editor.
   *
   * @param {Editor} editor
   * @param {number | null} [radius] that is being chosen
   */
  draw(editor, radius = null) {
    const { tool, sketch, chosen, unfinished } = editor;
    const mode = chosen?.mode ?? editor.mode;
    for (const button of this.tools.querySelectorAll("button")) check(button, button.dataset.tool === tool);
    for (const button of this.modes.querySelectorAll("button")) check(button, button.dataset.mode === mode);
    const brush = tool === "brush" || chosen?.kind === "brush";
    const shown = radius ?? (chosen?.kind === "brush" ? chosen.radius : editor.radius);
    this.radius.disabled = !brush;
    this.radius.value = String(shown);
    this._radiusLabel.toggleAttribute("data-idle", !brush);
    this._radiusText.textContent = `${Math.round(shown)} px`;
    this.undo.disabled = !sketch.past.length && !unfinished;
    this.redo.disabled = !sketch.future.length || unfinished !== null;
    this.delete.disabled = sketch.selected < 0;
    this.clear.disabled = !sketch.shapes.length;
    this._share.textContent = editor.settled ? editor.message.share : "Working out what is scored …";
    this.hint(editor);
    this._drawList(editor);
  }

  /**
   * Show how the tool is used, or a message.
   *
   * @param {Editor} editor
   * @param {string | null} [text]
   */
  hint({ mode, sketch, tool }, text = null) {
    const alone = mode === "include" && !sketch.shapes.length && tool !== "select";
    this._hint.textContent = text ?? HINTS[tool] + (alone ? " Drawn first: it alone is scored." : "");
    this._hint.toggleAttribute("data-urgent", text !== null);
  }

  /** @param {Editor} editor */
  _drawList({ sketch: { shapes, selected } }) {
    const key = shapes.map(({ kind, mode }) => kind + mode).join();
    if (key !== this._listed) {
      this._listed = key;
      this.list.replaceChildren(
        ...shapes.map(({ kind, mode }, i) =>
          element("button", { type: "button", "data-index": i, "data-mode": mode },
            `${i + 1} ${mode === "exclude" ? "Exclude" : "Include"}, ${kind}`)),
      );
    }
    [...this.list.children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === selected)));
  }
}

/**
 * Let the buttons, the slider and the list of shapes steer the editor.
 *
 * @param {Editor} editor
 */
export function listenToPanel(editor) {
  const { panel, sketch } = editor;
  panel.tools.addEventListener("click", (event) => {
    const { tool } = dataOf(event);
    if (tool) editor.setTool(/** @type {import("./editor.js").Tool} */ (tool));
  });
  panel.modes.addEventListener("click", (event) => {
    const { mode } = dataOf(event);
    if (mode) editor.setMode(/** @type {import("./message.js").Shape["mode"]} */ (mode));
  });
  panel.radius.addEventListener("input", () => editor.setRadius(panel.radius.valueAsNumber, false));
  panel.radius.addEventListener("change", () => editor.setRadius(panel.radius.valueAsNumber, true));
  panel.undo.addEventListener("click", () => editor.undo());
  panel.redo.addEventListener("click", () => editor.redo());
  panel.delete.addEventListener("click", () => editor.remove());
  panel.clear.addEventListener("click", () => {
    editor.unfinished = null;
    editor.change([]);
  });
  panel.list.addEventListener("click", (event) => {
    const { index } = dataOf(event);
    if (index === undefined) return;
    editor.unfinished = null;
    editor.tool = "select";
    sketch.selected = sketch.selected === Number(index) ? -1 : Number(index);
    editor.draw();
  });
}

/**
 * @param {HTMLElement} button
 * @param {boolean} on
 */
function check(button, on) {
  button.setAttribute("aria-checked", String(on));
}

/**
 * @param {HTMLImageElement} image
 * @param {string | null} url
 * @param {boolean} wanted
 */
function show(image, url, wanted) {
  if (url && image.getAttribute("src") !== url) image.src = url;
  image.hidden = !url || !wanted;
}
