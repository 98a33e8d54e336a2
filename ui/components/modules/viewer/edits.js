// @ts-check
// What the user changes, the decision and the labels: shown at once, reported to Python once it is complete, and
// undone in the order it was done.

import { applyLabel } from "./store.js";
import { Steps } from "./steps.js";

/** @typedef {import("./draft.js").Decision} Decision */
/** @typedef {import("./message.js").LabelReport} LabelReport */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./steps.js").LabelValue} LabelValue */
/** @typedef {import("./steps.js").Step} Step */
/** @typedef {import("./store.js").Item} Item */

/**
 * What happens elsewhere when something is changed.
 *
 * @typedef {object} EditHooks
 * @property {() => void} draw in the next frame
 * @property {() => void} refresh everything
 * @property {() => void} arrange the images anew
 * @property {(id: string) => void} select
 * @property {(text?: string) => void} announce
 */

export class Edits {
  /**
   * @param {import("./store.js").Store} store
   * @param {import("./draft.js").Draft} draft
   * @param {import("./outbox.js").Outbox} outbox
   * @param {EditHooks} hooks
   */
  constructor(store, draft, outbox, hooks) {
    this.store = store;
    this.draft = draft;
    this.outbox = outbox;
    this.hooks = hooks;
    this.steps = new Steps();
  }

  /**
   * Take over the decision that Python sent, and drop the steps that it leaves without meaning.
   *
   * @param {Message} message which the store has already
   * @param {Message} former
   */
  takeOver(message, former) {
    const { offset, step } = message.quantizer;
    if (former.quantizer.offset !== offset || former.quantizer.step !== step) {
      this.steps.drop((one) => one.kind === "decision"); // levels of another scale
    }
    this.steps.drop((one) => one.kind === "label" && !this.store.ofHash(one.sha256).length);
    if (this.draft.moving || !this.outbox.isAnswered("decision")) return;
    const change = this.draft.takeOver(message.decision);
    if (change) this.steps.add({ kind: "decision", ...change });
  }

  // -- the decision ---------------------------------------------------------------------------------------

  /**
   * @param {Partial<Decision>} changes
   * @param {boolean} done whether the change is complete
   */
  change(changes, done) {
    this.draft.change(changes);
    this.hooks.draw();
    if (done) this.commit();
  }

  /** The change is complete. */
  commit() {
    const change = this.draft.commit();
    if (!change) return;
    this.steps.add({ kind: "decision", ...change });
    this._report();
  }

  /** The user has let go without having decided: what was, stays. */
  giveUp() {
    this.draft.giveUp();
    this.hooks.refresh();
  }

  /** @param {string} [words] announced before what the threshold promises */
  _report(words) {
    this.outbox.decide(this.draft.now, this.store.quantizer);
    this.hooks.announce(words);
    this.hooks.arrange();
    this.hooks.draw();
  }

  // -- labels ---------------------------------------------------------------------------------------------

  /**
   * Label an image, or take the label away where it has it.
   *
   * @param {Item} item
   * @param {"good" | "defect" | "kept"} label
   */
  label(item, label) {
    const field = label === "kept" ? "kept" : "label";
    const before = item[field];
    const value = label === "kept" ? !item.kept : item.label === label ? null : label;
    this._give(item, labelOf(field, value));
    this.steps.add({ kind: "label", sha256: item.sha256, field, before, after: item[field] });
  }

  /**
   * Label what is in this file, wherever it is shown, and report it.
   *
   * @param {Item} item
   * @param {LabelReport["label"]} label
   * @param {Pick<LabelReport, "instead_of" | "undo">} [more]
   */
  _give({ sha256 }, label, more = {}) {
    for (const one of this.store.ofHash(sha256)) applyLabel(one, label);
    this.outbox.label({ sha256, label, ...more });
    this.hooks.refresh();
  }

  // -- back and forth -------------------------------------------------------------------------------------

  /** Take back the last thing done, whatever it was. */
  undo() {
    if (this.draft.moving) return this.giveUp();
    const step = this.steps.back((one) => this._stands(one, "after"));
    if (step) this._replay(step, "before", "Undone");
  }

  redo() {
    if (this.draft.moving) return;
    const step = this.steps.forth((one) => this._stands(one, "before"));
    if (step) this._replay(step, "after", "Done again");
  }

  /**
   * Whether things still are as a step left them: a label that another session has given since is not ours.
   *
   * @param {Step} step
   * @param {"before" | "after"} side
   */
  _stands(step, side) {
    if (step.kind === "decision") return true;
    const [item] = this.store.ofHash(step.sha256);
    return item !== undefined && item[step.field] === step[side];
  }

  /**
   * @param {Step} step
   * @param {"before" | "after"} side
   * @param {string} words
   */
  _replay(step, side, words) {
    if (step.kind === "decision") {
      this.draft.replay(step[side]);
      const { level, minArea } = this.draft.now;
      const value = this.store.quantizer.toValue(level).toFixed(2);
      this._report(`${words}: threshold ${value}, smallest region ${minArea} px².`);
      return;
    }
    const [item] = this.store.ofHash(step.sha256);
    const replaced = step[side === "before" ? "after" : "before"];
    const insteadOf = replaced === "good" || replaced === "defect" ? replaced : null;
    this._give(item, labelOf(step.field, step[side]), { instead_of: insteadOf, undo: true });
    // What has changed is what is shown.
    this.hooks.select(item.id);
    this.hooks.announce(`${words}: ${item.name}, ${item.label ?? "no label"}${item.kept ? ", kept" : ""}.`);
    this.hooks.draw();
  }
}

/**
 * A label, or the mark "kept", as it is reported.
 *
 * @param {"label" | "kept"} field
 * @param {LabelValue} value
 */
function labelOf(field, value) {
  if (field === "kept") return value ? "kept" : "unkept";
  return value === "good" || value === "defect" ? value : null;
}
