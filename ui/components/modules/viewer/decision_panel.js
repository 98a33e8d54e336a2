// @ts-check
// The controls of the threshold, on Calibrate: fields, histogram, what it promises, what it counts.

import { dataOf, find } from "../dom.js";
import { areaStops, nearestStop } from "./areas.js";
import { spanOf } from "./bins.js";
import { partsNeeded } from "./calibration.js";
import { CountsTable } from "./counts.js";
import { decisionOf } from "./draft.js";
import { NumberField } from "./fields.js";
import { Histogram } from "./histogram.js";
import { MAX_LEVEL } from "./levels.js";
import { PercentileSlider } from "./percentile_slider.js";
import { limitsOf } from "./verdicts.js";
import { areaInImage, howExpected, promised, promisedByVerdict, whole } from "./words.js";

/** @typedef {import("./draft.js").Decision} Decision */
/** @typedef {import("./message.js").Basis} Basis */

/**
 * @typedef {object} DecisionActions
 * @property {(changes: Partial<Decision>, done: boolean) => void} change
 * @property {() => void} commit
 * @property {() => void} giveUp
 * @property {() => void} undo
 * @property {() => void} redo
 * @property {() => void} draw in the next frame
 */

const LEAST_WIDTH = 280; // pixels of the histogram

/** @param {number} percent */
const permilleOf = (percent) => Math.min(999, Math.max(1, Math.round(percent * 10)));

export class DecisionPanel {
  /**
   * @param {ShadowRoot} root
   * @param {import("./store.js").Store} store
   * @param {import("./draft.js").Draft} draft
   * @param {DecisionActions} actions
   */
  constructor(root, store, draft, actions) {
    this.root = root;
    this.store = store;
    this.draft = draft;
    this.actions = actions;
    this.areaSize = find(root, ".area-size", HTMLElement);
    this.areaSlide = find(root, ".area-slide", HTMLInputElement);
    this.undo = find(root, ".undo", HTMLButtonElement);
    this.redo = find(root, ".redo", HTMLButtonElement);
    this.back = find(root, ".back", HTMLButtonElement);
    this.promise = find(root, ".promise", HTMLElement);
    this.spoken = find(root, ".spoken", HTMLElement);
    this.warning = find(root, ".warning", HTMLElement);
    this.shareLabel = find(root, ".share-label", HTMLElement);
    this.how = find(root, ".how-expected", HTMLElement);
    this.bases = [...root.querySelectorAll("button[data-basis]")].filter((one) => one instanceof HTMLButtonElement);
    this.counts = new CountsTable(find(root, ".counts", HTMLTableElement));
    this.histogram = new Histogram(find(root, ".hist-host", HTMLElement), (level, done) =>
      actions.change({ basis: "manual", level }, done),
    );
    this.slider = new PercentileSlider(root, (percent) => actions.change(this._at(percent), false), actions.commit);
    this.fields = this._fields();
    this._listen();
    /** @type {number[]} sizes that the slider of the smallest region offers */
    this.stops = [];
    this.offerAreas();
    /** @type {import("./bins.js").ScoresByGroup} */
    this.scores = store.scoresByGroup(1);
    /** @type {[number, number]} */
    this.span = [0, 1];
    this._spanIsOld = true;
    /** @type {number | null} the smallest region that the scores are for; null: they are out of date */
    this._scoredFor = null;
    /** @type {string | null} announced once, before the promise; null: nothing new */
    this._announcement = "";
  }

  _fields() {
    const { draft, actions, store, root } = this;
    /** @param {string} selector @param {(value: number) => Partial<Decision>} read */
    const field = (selector, read) =>
      new NumberField(find(root, selector, HTMLInputElement), {
        take: (value, done) => actions.change(read(value), done),
        giveUp: actions.giveUp,
        isMoving: () => draft.moving,
        draw: actions.draw,
      });
    return {
      percentile: field(".percentile", (value) => this._at(value)),
      share: field(".share", (value) => ({ basis: "image", permille: permilleOf(100 - value) })),
      threshold: field(".threshold", (value) => ({
        basis: "manual",
        level: Math.min(MAX_LEVEL - 1, store.quantizer.toLevel(value)),
      })),
      area: field(".area-type", (value) => ({
        minArea: Math.min(store.message.areas, Math.max(1, Math.round(value))),
      })),
    };
  }

  /**
   * @param {number} percent
   * @returns {Partial<Decision>} the threshold at a percentile; one set by hand becomes one by parts
   */
  _at(percent) {
    const { basis } = this.draft.now;
    return { basis: basis === "manual" ? "image" : basis, permille: permilleOf(percent) };
  }

  _listen() {
    const { actions, areaSlide } = this;
    find(this.root, ".basis", HTMLElement).addEventListener("click", (event) => {
      const { basis } = dataOf(event);
      if (basis) actions.change({ basis: /** @type {Basis} */ (basis) }, true);
    });
    areaSlide.addEventListener("input", () => actions.change({ minArea: this.stops[areaSlide.valueAsNumber] }, false));
    areaSlide.addEventListener("change", () => actions.commit());
    this.undo.addEventListener("click", () => actions.undo());
    this.redo.addEventListener("click", () => actions.redo());
    this.back.addEventListener("click", () => {
      const { saved } = this.store.message;
      if (saved) actions.change(decisionOf(saved), true);
    });
  }

  /** Another model may know scores for other smallest regions. */
  offerAreas() {
    const { areas } = this.store.message;
    this.stops = areaStops(areas);
    Object.assign(this.areaSlide, { min: 0, max: this.stops.length - 1, step: 1 });
    this.fields.area.input.max = String(areas);
  }

  /**
   * Scores have changed.
   *
   * @param {boolean} respan whether the histogram may span other levels now
   */
  scoresChanged(respan) {
    this._scoredFor = null;
    this._spanIsOld ||= respan;
  }

  /**
   * Announce something to screen readers, with what the threshold now promises: once a change is complete, not in
   * every frame of it.
   *
   * @param {string} [text]
   */
  announce(text = "") {
    this._announcement = text;
  }

  /**
   * One frame.
   *
   * @param {import("./steps.js").Steps} steps
   */
  draw(steps) {
    const { store, draft } = this;
    const { message, quantizer } = store;
    const { level, minArea } = draft.now;
    const { saved, band } = message;
    if (this._scoredFor !== minArea) this._score();
    this.histogram.setThreshold({ level, saved: saved?.level ?? null, band, quantizer });
    this._drawFields();
    this._drawPromise();
    const reviewed = band > 0 || message.joint?.on_lost === "review";
    this.counts.draw(store.verdictsByGroup(draft.now), reviewed);
    this.undo.disabled = !steps.backward && !draft.moving;
    this.redo.disabled = !steps.forward;
    this.back.disabled = !saved || (saved.level === level && saved.min_area === minArea);
  }

  _score() {
    const { store, draft } = this;
    const { level, minArea } = draft.now;
    this.scores = store.scoresByGroup(minArea);
    this._scoredFor = minArea;
    if (this._spanIsOld) this.span = spanOf(this.scores, level, store.message.saved?.level ?? null);
    this._spanIsOld = false;
    const width = Math.max(LEAST_WIDTH, this.histogram.host.clientWidth);
    this.histogram.setScores(this.scores, this.span, width, store.quantizer);
  }

  _drawFields() {
    const { store, areaSlide, fields } = this;
    const { basis, permille, level, minArea } = this.draft.now;
    const { held } = store;
    const rate = held.n ? held.falseRejects(level, minArea) : null;
    const percentile = rate && basis === "manual" ? held.permille(rate.above) : permille;
    fields.percentile.fill(rate ? (percentile / 10).toFixed(1) : "", !held.n);
    this.slider.show(rate ? percentile : null);
    fields.threshold.fill(store.quantizer.toValue(level).toFixed(2));
    // The field sets the threshold itself, around which the band lies.
    this.shareLabel.textContent = store.message.band ? "Good parts above the threshold" : "Expected false rejects";
    fields.share.fill(rate ? (100 * rate.expected).toFixed(1) : "", !held.n);
    fields.area.fill(String(minArea));
    if (this.root.activeElement !== areaSlide || !areaSlide.matches(":active")) {
      areaSlide.value = String(nearestStop(this.stops, minArea));
    }
    const { map_pixel_area: perPixel, pixel_mm: mm } = store.message;
    const size = areaInImage(minArea, perPixel, mm);
    if (this.areaSize.textContent !== size) this.areaSize.textContent = size;
    areaSlide.setAttribute("aria-valuetext", `${minArea} px² of the map, ${size}`);
    for (const button of this.bases) {
      button.setAttribute("aria-pressed", String(button.dataset.basis === basis));
      button.disabled =
        (button.dataset.basis === "image" && !held.n) ||
        (button.dataset.basis === "pixel" && !store.message.pixel_levels);
    }
  }

  _drawPromise() {
    const { store, promise, spoken, warning } = this;
    const { basis, permille, level, minArea } = this.draft.now;
    const { held } = store;
    const { acceptUpTo, rejectAbove } = limitsOf(level, store.message.band);
    const { band } = store.message;
    const rates = held.n ? held.rates(minArea, level, band) : null;
    const rejected = rates && rates.rejected;
    const notAccepted = rates && (band || held.reviewsLost) ? rates.notAccepted : null;
    this.how.hidden = rejected === null;
    if (rejected) this.how.textContent = howExpected(rejected, notAccepted);
    promise.textContent = rejected
      ? notAccepted
        ? promisedByVerdict(rejected, notAccepted, {
            rejectAbove: store.quantizer.toValue(rejectAbove),
            reviewAbove: store.quantizer.toValue(Math.max(0, acceptUpTo)),
          })
        : promised(rejected)
      : store.message.held.url
        ? "Reading the good parts’ scores …"
        : "Nothing can be promised for this threshold: scores of good parts, each judged without itself, take at least 3.";
    if (this._announcement !== null) {
      spoken.textContent = [this._announcement, promise.textContent].filter(Boolean).join(" ");
      this._announcement = null;
    }
    const short = basis === "image" && held.n > 0 && !held.supports(permille, minArea);
    warning.hidden = !short;
    if (!short) return;
    warning.textContent =
      `${permille / 10} % asks for at least ${whole.format(partsNeeded(permille, held.lost))} good parts` +
      `${held.lost ? ", because the part was not found in some of them" : ""}; there are ` +
      `${whole.format(held.n)}. The highest score of a good part stands in for it. ` +
      "Fit with more, or choose a lower percentile.";
  }
}
