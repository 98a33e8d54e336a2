// @ts-check
// Types of the JSON that ui/region.py sends, and of what the editor reports back. Nothing here runs.

/** @typedef {[x: number, y: number]} Point in map pixels: x to the right, y down, pixel i covers [i, i + 1) */

/**
 * @typedef {object} Shape
 * @property {"polygon" | "brush"} kind
 * @property {"exclude" | "include"} mode
 * @property {Point[]} points
 * @property {number} radius of the brush; 0 for a polygon
 */

/**
 * The map of where good parts alarm.
 *
 * @typedef {object} FalseAlarmMap
 * @property {string} url
 * @property {string[]} colors of its scale
 * @property {string} least what stands at the scale's beginning
 * @property {string} most what stands at its end
 */

/**
 * All that Python sends.
 *
 * @typedef {object} Message
 * @property {string} model its id
 * @property {number} width of the map, in map pixels
 * @property {number} height
 * @property {number} handled serial number of the latest drawing that Python knows
 * @property {Shape[]} shapes
 * @property {string} mean URL of the good parts' mean image
 * @property {string | null} mask URL of an image, opaque where nothing counts; null where everything does
 * @property {string} share how much of the map counts, in words
 * @property {FalseAlarmMap | null} false_alarms
 * @property {string | null} calm what stands in for that map where there is none
 * @property {number} most_shapes
 * @property {number} most_points over all shapes
 * @property {number} most_corners of one shape
 */

/** @typedef {{ model: string, width: number, height: number, serial: number, shapes: Shape[] }} DrawingReport */

export {};
