// @ts-check
// Types of the JSON that ui/review_desk.py sends, and of what the desk reports back. Nothing here runs.

/** @typedef {"accept" | "reject" | "unsure"} Decision */

/**
 * One inspection to look at.
 *
 * @typedef {object} Item
 * @property {number} id
 * @property {string} name
 * @property {string} image URL of the image, or of its small copy
 * @property {number} width of the image in pixels
 * @property {number} height
 * @property {string} heat URL of its level map in colours; empty if the map is not kept
 * @property {number[]} matrix from map pixels to image pixels: a, b, c, d, e, f as in SVG
 * @property {number} mapWidth of the map in pixels
 * @property {number} mapHeight
 * @property {[x: number, y: number, width: number, height: number][]} regions in image pixels, strongest first
 * @property {string} verdict
 * @property {string} said the verdict in words
 * @property {string[]} reasons
 * @property {[label: string, value: string][]} facts
 * @property {string[]} history
 * @property {string} note what cannot be shown, and why
 */

/**
 * What became of an action that was not carried out.
 *
 * @typedef {object} Refusal
 * @property {number} serial of the action
 * @property {number} id of the inspection
 * @property {string} text
 */

/**
 * All that Python sends.
 *
 * @typedef {object} Message
 * @property {string} list identifies the list; another one is another list
 * @property {Item[]} items the next ones, in order
 * @property {number} total how many there are
 * @property {number} done how many this browser has decided in this session
 * @property {string[]} types known types of defects
 * @property {number} handled serial number of the latest action that Python has dealt with
 * @property {Refusal[]} refusals of the latest actions
 * @property {{ serial: number, id: number } | null} returned the inspection that an undo has put back
 * @property {boolean} locked whether nothing can be decided
 */

/**
 * What the user did.
 *
 * @typedef {object} Action
 * @property {number} serial
 * @property {string} uid
 * @property {"decide" | "comment" | "undo" | "more"} kind
 * @property {number | null} id of the inspection
 * @property {Decision} [decision]
 * @property {string} [type]
 * @property {string} [text]
 */

export {};
