// @ts-check
// Types of the JSON that ui/marking.py sends, and of what the editor of marks reports back. Nothing here runs.

/** @typedef {"place" | "background" | "end"} Kind a distinctive place, an area of background, the first end */

/** @typedef {[x: number, y: number]} Point in pixels of the image: x to the right, y down, pixel i covers [i, i + 1) */

/**
 * A rectangle on the reference part; for an end, a point, which has no size.
 *
 * @typedef {object} Mark
 * @property {Kind} kind
 * @property {number} x of its left side
 * @property {number} y of its upper side
 * @property {number} width
 * @property {number} height
 */

/**
 * What Python says of a mark.
 *
 * @typedef {object} Answer
 * @property {string} text
 * @property {boolean} refused
 */

/**
 * All that Python sends.
 *
 * @typedef {object} Message
 * @property {string} id of the image; marks of another image are others
 * @property {string} url of the image
 * @property {string} name of the image
 * @property {number} width of the image
 * @property {number} height
 * @property {number} handled serial number of the latest marks that Python knows
 * @property {Kind[]} kinds that can be drawn
 * @property {Mark[]} marks
 * @property {Answer[]} answers one for each mark
 * @property {Point[] | null} frame corners of what the model would see
 * @property {string} said about all of it: what was found, or why nothing was
 * @property {boolean} refused whether that is a refusal
 * @property {boolean} locked whether nothing can be changed
 */

/** @typedef {{ id: string, serial: number, marks: Mark[] }} MarksReport */

export {};
