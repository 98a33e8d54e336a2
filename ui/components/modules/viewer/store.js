// @ts-check
// What Python has sent, and what follows from it: scores, verdicts, groups, levels.

import { HeldOut } from "./calibration.js";
import { displacements, jointLevel } from "./joint.js";
import { LevelMap, Quantizer } from "./levels.js";
import { fetchCurves, library } from "./library.js";
import { fetchTables } from "./tables.js";
import { verdictOf } from "./verdicts.js";

/** @typedef {import("./draft.js").Decision} Decision */
/** @typedef {import("./message.js").Group} Group */
/** @typedef {import("./message.js").LabelReport} LabelReport */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./message.js").SentItem} SentItem */

/**
 * One image.
 *
 * @typedef {Omit<SentItem, "box"> & {
 *   box: import("./mask_file.js").Box, arrival: number, curve: Uint16Array | null,
 * }} Item `curve` has its scores for smallest regions of 1, 2, ... pixels, once its map is here
 */

export class Store {
  /** @param {Message} message */
  constructor(message) {
    this.message = message;
    this.quantizer = new Quantizer(message.quantizer);
    /** @type {Map<string, Item>} by id; an image is the same object as long as Python sends it */
    this.items = new Map();
    this.held = HeldOut.none();
    /** @type {Uint16Array | null} the scores of the good parts' images, for every smallest region */
    this.imageCurves = null;
    /** @type {LevelMap | null} of interest, as a map of ones and zeros; null: everywhere */
    this.region = null;
  }

  /**
   * Take over what Python sent.
   *
   * @param {Message} message
   * @param {LabelReport[]} unanswered labels given here that Python did not know of yet: they stand
   */
  take(message, unanswered) {
    this.message = message;
    this.quantizer = new Quantizer(message.quantizer);
    library.failed.clear(); // what could not be fetched once may be there now
    const found = new Map();
    for (const sent of message.items) {
      const before = this.items.get(sent.id);
      const [left, top, width, height] = sent.box;
      const curve = before && before.map === sent.map ? before.curve : library.get(sent.map)?.scores.slice() ?? null;
      const news = { ...sent, box: { left, top, width, height }, arrival: found.size, curve };
      const item = before ? Object.assign(before, news) : news;
      for (const one of unanswered) if (one.sha256 === sent.sha256) applyLabel(item, one.label);
      found.set(item.id, item);
    }
    this.items = found;
  }

  /**
   * Fetch the good parts' held-out scores.
   *
   * @param {boolean} anew whether those that are here are of another model
   * @returns {Promise<boolean>} false when newer data have overtaken this
   */
  async takeHeld(anew) {
    const { held, areas } = this.message;
    if (anew) {
      this.held = HeldOut.none();
      this.imageCurves = null;
    }
    const images = held.url ? await fetchCurves(held.url, held.part.length, areas) : null;
    if (this.message.held.url !== held.url) return false;
    this.imageCurves = images;
    this.held = images ? HeldOut.ofImages(images, held, areas) : HeldOut.none();
    return true;
  }

  /**
   * Fetch the region of interest.
   *
   * @returns {Promise<boolean>} false when newer data have overtaken this
   */
  async takeRegion() {
    const { map_size: size, roi } = this.message;
    const tables = roi ? await fetchTables(roi, [[size.height, size.width]]) : null;
    if (this.message.roi !== roi) return false;
    this.region = tables ? new LevelMap(new Uint16Array(1), tables[0], size) : null;
    return true;
  }

  // -- scores and verdicts --------------------------------------------------------------------------------

  /**
   * @param {Item} item
   * @param {number} minArea
   */
  scoreOf(item, minArea) {
    const at = Math.min(minArea, this.message.areas) - 1;
    if (item.held >= 0 && this.imageCurves) return this.imageCurves[item.held * this.message.areas + at];
    return item.curve ? item.curve[at] : item.score;
  }

  /**
   * @param {Item} item
   * @param {Pick<Decision, "level" | "minArea">} decision
   */
  verdictOf(item, { level, minArea }) {
    const { joint, band } = this.message;
    if (item.lost) return joint?.on_lost ?? "reject";
    return verdictOf(this.scoreOf(item, minArea), level, band, item.displaced);
  }

  /**
   * What decides about an image: its score, unless a displacement weighs more.
   *
   * @param {Item} item
   * @param {number} minArea
   */
  jointOf(item, minArea) {
    return jointLevel(this.scoreOf(item, minArea), item.displaced);
  }

  /**
   * Why an image is not accepted, besides its score: phrases.
   *
   * @param {Item} item
   * @param {number} level the threshold
   */
  checksOf(item, level) {
    if (item.lost) return [`part not found: ${item.lost}`];
    return displacements(item.displacement, level, this.message.joint?.statistics ?? []);
  }

  /**
   * Whether an image's verdict is another one than under the threshold in use.
   *
   * @param {Item} item
   * @param {Decision} decision
   */
  flips(item, decision) {
    const { saved } = this.message;
    if (saved === null) return false;
    return this.verdictOf(item, decision) !== this.verdictOf(item, { level: saved.level, minArea: saved.min_area });
  }

  /**
   * What an image is: as it was labelled, where people may label it.
   *
   * @param {Item} item
   * @returns {Group}
   */
  groupOf({ group, label }) {
    return group === "normal" || group === "kept" ? group : label ?? group;
  }

  /**
   * Which error a verdict is: a good part rejected, a defect accepted; null if it is none or nothing is known.
   *
   * @param {Item} item
   * @param {Pick<Decision, "level" | "minArea">} decision
   * @returns {"false_reject" | "miss" | null}
   */
  errorOf(item, decision) {
    const group = this.groupOf(item);
    const verdict = this.verdictOf(item, decision);
    if (group === "defect") return verdict === "accept" ? "miss" : null;
    return group !== "unknown" && verdict === "reject" ? "false_reject" : null;
  }

  /**
   * Joint levels by group: of the good parts one a part, else one an image.
   *
   * @param {number} minArea
   */
  scoresByGroup(minArea) {
    /** @type {Record<Group, number[]>} */
    const scores = { normal: [], kept: [], good: [], defect: [], unknown: [] };
    for (let part = 0; part < this.held.n; part++) {
      scores[part < this.message.held.in_fit ? "normal" : "kept"].push(this.held.joint(part, minArea));
    }
    for (const item of this._counted()) scores[this.groupOf(item)].push(this.jointOf(item, minArea));
    return scores;
  }

  /**
   * Verdicts by group: of the good parts one a part, else one an image.
   *
   * @param {Pick<Decision, "level" | "minArea">} decision
   */
  verdictsByGroup(decision) {
    const { level, minArea } = decision;
    const none = () => ({ accept: 0, review: 0, reject: 0 });
    /** @type {Record<Group, Record<import("./message.js").Verdict, number>>} */
    const counts = { normal: none(), kept: none(), good: none(), defect: none(), unknown: none() };
    for (let part = 0; part < this.held.n; part++) {
      const of = counts[part < this.message.held.in_fit ? "normal" : "kept"];
      of[this.held.verdict(part, minArea, level, this.message.band)]++;
    }
    for (const item of this._counted()) counts[this.groupOf(item)][this.verdictOf(item, decision)]++;
    return counts;
  }

  /** The tested images; one that was in the fit scores lower than a new one. */
  _counted() {
    return [...this.items.values()].filter((item) => item.held < 0 && !item.in_fit);
  }

  /**
   * The level that a decision comes to.
   *
   * @param {Decision} decision
   */
  levelOf({ basis, permille, level, minArea }) {
    if (basis === "image" && this.held.n) return this.held.threshold(permille, minArea);
    if (basis === "pixel" && this.message.pixel_levels) return this.message.pixel_levels[permille - 1];
    return level;
  }

  /**
   * The images with one content.
   *
   * @param {string} sha256
   */
  ofHash(sha256) {
    return [...this.items.values()].filter((item) => item.sha256 === sha256);
  }

  /** How many images' maps are still to come: their verdicts do not yet follow the smallest region. */
  get left() {
    let left = 0;
    for (const item of this.items.values()) if (item.map && !item.curve && !library.failed.has(item.map)) left++;
    return left;
  }
}

/**
 * Label an image, or set its mark "kept", which is no label.
 *
 * @param {Item} item
 * @param {LabelReport["label"]} label
 */
export function applyLabel(item, label) {
  if (label === "kept" || label === "unkept") item.kept = label === "kept";
  else item.label = label;
}
