// @ts-check
// Mouse, pen and finger on the image: rectangles are drawn, moved, and altered by their corners.

import { dataOf } from "../dom.js";
import { between, isMeant, moved, pulled } from "./rectangles.js";

/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./message.js").Point} Point */

const STILL = 3; // screen pixels that a mark must be dragged before it moves

/**
 * Let the pointer draw.
 *
 * @param {Editor} editor
 */
export function listenToPointer(editor) {
  const { sheet } = editor;
  sheet.addEventListener("pointerdown", (event) => down(editor, event));
  sheet.addEventListener("pointermove", (event) => move(editor, event));
  sheet.addEventListener("pointerup", () => up(editor));
  sheet.addEventListener("pointercancel", () => editor.giveUp());
}

/**
 * Where in the image an event is; kept inside.
 *
 * @param {Editor} editor
 * @param {MouseEvent} event
 * @returns {Point}
 */
function placeOf(editor, event) {
  const box = editor.svg.getBoundingClientRect();
  const { width, height } = editor.message;
  return editor.within(
    ((event.clientX - box.left) / box.width) * width,
    ((event.clientY - box.top) / box.height) * height,
  );
}

/**
 * Which mark an event happened on; -1: none.
 *
 * @param {Event} event
 */
function markUnder({ target }) {
  const group = target instanceof SVGElement ? target.parentElement : null;
  const index = /** @type {Element | null} */ (group)?.getAttribute("data-index");
  return index === null || index === undefined ? -1 : Number(index);
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} event
 */
function down(editor, event) {
  const { sheet, sketch } = editor;
  if (event.button !== 0 || editor.message.locked) return;
  editor.stage.focus({ preventScroll: true });
  event.preventDefault();
  sheet.setPointerCapture(event.pointerId);
  editor.penByKey = false;
  editor.anchor = null;
  const at = placeOf(editor, event);
  const { corner } = dataOf(event);
  const under = markUnder(event);
  if (corner !== undefined && sketch.chosen) {
    editor.drag = { at, index: sketch.selected, corner: Number(corner), marks: sketch.marks, moved: false };
  } else if (under >= 0) {
    sketch.selected = under;
    editor.drag = { at, index: under, corner: null, marks: sketch.marks, moved: false };
  } else if (editor.kind === "end") {
    editor.add(between("end", at, at));
    return;
  } else {
    sketch.selected = -1;
    editor.anchor = at;
    editor.unfinished = between(editor.kind, at, at);
  }
  editor.draw();
}

/**
 * @param {Editor} editor
 * @param {PointerEvent} event
 */
function move(editor, event) {
  const { drag, message, sketch } = editor;
  if (drag) {
    const to = placeOf(editor, event);
    const far = Math.hypot(to[0] - drag.at[0], to[1] - drag.at[1]);
    if (!drag.moved && far < STILL * editor.unit) return;
    drag.moved = true;
    sketch.marks = drag.marks.map((mark, i) => {
      if (i !== drag.index) return mark;
      if (drag.corner !== null) return pulled(mark, drag.corner, to);
      return moved(mark, to[0] - drag.at[0], to[1] - drag.at[1], message);
    });
    editor.drawMarks();
  } else if (editor.anchor && !editor.penByKey) {
    editor.unfinished = between(editor.kind, editor.anchor, placeOf(editor, event));
    editor.drawMarks();
  }
}

/** @param {Editor} editor */
function up(editor) {
  const { drag, sketch, unfinished } = editor;
  if (drag) {
    const changed = sketch.marks;
    editor.drag = null;
    sketch.marks = drag.marks;
    if (drag.moved && isMeant(changed[drag.index])) editor.change(changed, drag.index);
    else editor.draw();
  } else if (unfinished && !editor.penByKey) {
    editor.anchor = editor.unfinished = null;
    editor.add(unfinished);
  }
}
