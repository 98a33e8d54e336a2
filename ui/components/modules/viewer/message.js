// @ts-check
// Types of the JSON that ui/viewing.py sends, and of what the viewer reports back. Nothing here runs.

/** @typedef {"image" | "pixel" | "manual"} Basis */
/** @typedef {"accept" | "review" | "reject"} Verdict */
/** @typedef {"normal" | "kept" | "good" | "defect" | "unknown"} Group */
/** @typedef {"good" | "defect"} Label */
/** @typedef {"decision" | "selected" | "labels"} Kind what is counted, and acknowledged by Python */

/**
 * @typedef {object} SentDecision
 * @property {Basis} basis
 * @property {number} permille
 * @property {number} level
 * @property {number} min_area
 */

/**
 * One image as Python sends it.
 *
 * @typedef {object} SentItem
 * @property {string} id unique on the page
 * @property {string} sha256 of its file
 * @property {string} name
 * @property {Group} group
 * @property {Label | null} label
 * @property {boolean} kept off the list of changes
 * @property {number} width
 * @property {number} height
 * @property {[number, number, number, number]} box left, top, width and height within the map
 * @property {import("./placing.js").Placement | null} placement of the map on the image, if the part was located
 * @property {number} score a level, for the smallest region that Python knows of
 * @property {boolean} in_fit a test image that the model was fitted on: marked, and not counted
 * @property {number} held which of the good parts' images it is; -1 for a tested one
 * @property {string | null} image URL of a small copy
 * @property {string | null} map URL of its level map
 * @property {string | null} full URL of the image as it came
 * @property {Record<string, number>} displacement sizes of shift, turn and change of scale, in steps
 * @property {number} displaced the displacement as a level of the map; 0: none is judged
 * @property {string} lost why the part was not found; empty: it was, or is not looked for
 * @property {string[]} notes sentences on what is unlike the good parts in its shape, size or colors
 * @property {number} [regions] of its mask, at the threshold in use
 * @property {string} [mask_name] file name of its mask
 */

/**
 * The good parts' held-out scores as Python sends them.
 *
 * @typedef {object} SentHeldOut
 * @property {string | null} url
 * @property {number[]} part by image, which part it shows
 * @property {number} parts
 * @property {number} in_fit how many of the parts, the first ones, are in the fit
 * @property {number[]} displaced by part, its displacement as a level of the map
 * @property {boolean[]} unsure by part, whether it was not found and that calls for review
 * @property {number[]} upper the 95 % bound of the false-reject rate with 0, 1, ... parts above
 */

/**
 * A displacement that is judged: a size in steps times top over bottom is a level of the map.
 *
 * @typedef {object} SentStatistic
 * @property {string} name shift, turn or scale
 * @property {string} top digits of a whole number
 * @property {string} bottom digits of a whole number
 * @property {number} step a step in the unit
 * @property {string} unit
 */

/**
 * @typedef {object} Look
 * @property {number} opacity of the heat over the image, 0 to 1
 * @property {string} colormap
 */

/**
 * All that Python sends.
 *
 * @typedef {object} Message
 * @property {"calibrate" | "inspect"} mode
 * @property {boolean} arranged whether the images come filtered and in order
 * @property {boolean} table whether they are listed in a table too
 * @property {import("./levels.js").MapSize} map_size of every level map
 * @property {number} areas the largest "smallest region" that scores are known for
 * @property {number} map_pixel_area original pixels that a map pixel shows
 * @property {number | null} pixel_mm side of an original pixel in mm, where it is known
 * @property {string | null} roi URL of the region of interest
 * @property {{ offset: number, step: number }} quantizer
 * @property {SentDecision} decision
 * @property {string | null} selected
 * @property {SentDecision | null} saved the decision in use
 * @property {Record<Kind, number>} handled the latest count of each kind that Python has acted on
 * @property {boolean} listing show the list alone until an image is chosen
 * @property {boolean} labeling whether images can be labelled here
 * @property {string | null} wanted id of an image to show large whatever is shown now, once
 * @property {string | null} follower begins the keys of containers that are about one image
 * @property {Look} look
 * @property {number} band levels to either side of the threshold that call for a second look
 * @property {{ statistics: SentStatistic[], on_lost: "review" | "reject" } | null} joint null: parts are not looked for
 * @property {Record<string, string>} palettes by colormap, 256 x 3 bytes in base 64
 * @property {SentHeldOut} held
 * @property {number[] | null} pixel_levels by percentile in tenths, from 0.1 %
 * @property {SentItem[]} items
 */

/**
 * A label as it is reported: "kept" and "unkept" put an image off the list of changes and back on it.
 *
 * @typedef {object} LabelReport
 * @property {string} sha256
 * @property {Label | "kept" | "unkept" | null} label
 * @property {number} count
 * @property {Label | null} [instead_of] the label that is undone; another one is left alone
 * @property {boolean} [undo]
 */

/**
 * How the viewer reports to Python.
 *
 * @typedef {object} Reporter
 * @property {(decision: SentDecision & { scale: [number, number], count: number }) => void} decision
 * @property {(look: Look) => void} look
 * @property {(selected: { id: string, count: number }) => void} selected
 * @property {(labels: LabelReport[]) => void} labels
 */

export {};
