// @ts-check
// The keyboard: shortcuts, and a pen for those who draw without a pointer.

import { leadStroke, setCorner, within } from "./pointer.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./message.js").Point} Point */

/** @type {Record<string, [number, number]>} */
const STEPS = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };
const LARGE_STEP = 10; // map pixels

/**
 * Let the keyboard draw.
 *
 * @param {Editor} editor
 */
export function listenToKeys(editor) {
  editor.host.addEventListener("keydown", (event) => {
    const act = actOf(editor, event);
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  });
}

/**
 * What a key does; undefined where it is not ours.
 *
 * @param {Editor} editor
 * @param {KeyboardEvent} event
 * @returns {(() => unknown) | undefined}
 */
function actOf(editor, event) {
  const letter = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (letter === "y" || (letter === "z" && event.shiftKey)) return () => editor.redo();
    return letter === "z" ? () => editor.undo() : undefined;
  }
  if (event.altKey) return undefined;
  const { chosen } = editor;
  const radius = chosen?.radius || editor.radius;
  switch (letter) {
    case "p": return () => editor.setTool("polygon");
    case "b": return () => editor.setTool("brush");
    case "s": return () => editor.setTool("select");
    case "x": return () => editor.setMode((chosen?.mode ?? editor.mode) === "exclude" ? "include" : "exclude");
    case "+":
    case "=": return () => editor.setRadius(radius + 1, true);
    case "-": return () => editor.setRadius(radius - 1, true);
    case "delete":
    case "backspace": return () => editor.remove();
    case "escape": return () => editor.giveUp();
  }
  // The rest is for the image alone: a button and the slider have uses of their own for these keys.
  if (event.target !== editor.stage) return undefined;
  if (letter === "enter") return () => (editor.unfinished ? editor.finish() : editor.penByKey && press(editor));
  if (letter === " ") return () => press(editor);
  if (!Object.hasOwn(STEPS, letter)) return undefined;
  return () => steer(editor, STEPS[letter], event.shiftKey ? LARGE_STEP : 1);
}

/**
 * Where the pen is; at first in the middle.
 *
 * @param {Editor} editor
 * @returns {Point}
 */
function penOf({ pen, sketch: { width, height } }) {
  return pen ?? [width / 2, height / 2];
}

/**
 * Set a corner, or set the brush down and lift it again.
 *
 * @param {Editor} editor
 */
function press(editor) {
  editor.penByKey = true;
  const at = (editor.pen = penOf(editor));
  if (editor.tool === "polygon") setCorner(editor, at);
  else if (editor.tool === "brush") {
    if (editor.unfinished) editor.finish();
    else {
      editor.unfinished = [at];
      editor.penDown = true;
      editor.draw();
    }
  }
}

/**
 * Move the pen, or with Select the shape.
 *
 * @param {Editor} editor
 * @param {[number, number]} step
 * @param {number} by map pixels
 */
function steer(editor, [dx, dy], by) {
  if (editor.tool === "select") {
    const { chosen } = editor;
    if (!chosen) return;
    editor.alter({ points: chosen.points.map(/** @returns {Point} */ ([x, y]) => [x + dx * by, y + dy * by]) });
    return;
  }
  const [x, y] = penOf(editor);
  editor.pen = within(editor, x + dx * by, y + dy * by);
  editor.penByKey = true;
  if (editor.penDown && editor.unfinished) leadStroke(editor, editor.pen);
  editor.layer.drawFront(editor);
}
