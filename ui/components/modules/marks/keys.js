// @ts-check
// The keyboard: shortcuts, and a pen for those who draw without a pointer.

import { between, moved } from "./rectangles.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./message.js").Point} Point */

/** @type {Record<string, [number, number]>} */
const STEPS = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };
const STEP = 4; // screen pixels
const LARGE_STEP = 24;

/**
 * Let the keyboard draw.
 *
 * @param {Editor} editor
 */
export function listenToKeys(editor) {
  editor.host.addEventListener("keydown", (event) => {
    const act = editor.message.locked ? undefined : actOf(editor, event);
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
  switch (letter) {
    case "+":
    case "=": return () => editor.zoomBy(1);
    case "-": return () => editor.zoomBy(-1);
    case "delete":
    case "backspace": return () => editor.remove();
    case "escape": return () => editor.giveUp();
  }
  if (event.target !== editor.stage) return undefined;
  if (letter === "enter" || letter === " ") return () => press(editor);
  if (!Object.hasOwn(STEPS, letter)) return undefined;
  const by = Math.max(1, Math.round((event.shiftKey ? LARGE_STEP : STEP) * editor.unit));
  return () => steer(editor, STEPS[letter], by);
}

/**
 * Where the pen is; at first in the middle.
 *
 * @param {Editor} editor
 * @returns {Point}
 */
function penOf({ pen, message: { width, height } }) {
  return pen ?? [Math.round(width / 2), Math.round(height / 2)];
}

/**
 * Set the first corner, or the opposite one.
 *
 * @param {Editor} editor
 */
function press(editor) {
  const at = (editor.pen = penOf(editor));
  editor.penByKey = true;
  if (editor.kind === "end") {
    editor.add(between("end", at, at));
  } else if (editor.anchor) {
    const mark = between(editor.kind, editor.anchor, at);
    editor.anchor = editor.unfinished = null;
    editor.add(mark);
  } else {
    editor.sketch.selected = -1;
    editor.anchor = at;
    editor.unfinished = between(editor.kind, at, at);
    editor.draw();
  }
}

/**
 * Move the mark that was chosen, or else the pen.
 *
 * @param {Editor} editor
 * @param {[number, number]} step
 * @param {number} by image pixels
 */
function steer(editor, [dx, dy], by) {
  const { message, sketch } = editor;
  if (sketch.chosen) {
    const { selected } = sketch;
    const change = moved(sketch.chosen, dx * by, dy * by, message);
    editor.change(sketch.marks.map((mark, i) => (i === selected ? change : mark)), selected);
    return;
  }
  const [x, y] = penOf(editor);
  editor.pen = editor.within(x + dx * by, y + dy * by);
  editor.penByKey = true;
  if (editor.anchor) editor.unfinished = between(editor.kind, editor.anchor, editor.pen);
  editor.drawMarks();
}
