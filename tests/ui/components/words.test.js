// Numbers in words, and the histogram's arithmetic.

import assert from "node:assert/strict";
import test from "node:test";

import { Axis, binned, spanOf } from "../../../ui/components/modules/viewer/bins.js";
import { CONTOUR_STYLE, MARK } from "../../../ui/components/modules/viewer/scale.js";
import { HeldOut } from "../../../ui/components/modules/viewer/calibration.js";
import { Quantizer } from "../../../ui/components/modules/viewer/levels.js";
import { countVerdicts, limitsOf } from "../../../ui/components/modules/viewer/verdicts.js";
import {
  areaInImage,
  counted,
  howExpected,
  inHundred,
  percent,
  multipleOf,
  promised,
  promisedByVerdict,
} from "../../../ui/components/modules/viewer/words.js";
import { engine } from "./engine.js";

test("the promise is the engine's sentence", () => {
  for (const { sentence, ...rate } of engine.rates) {
    assert.equal(promised(rate), sentence);
  }
});

test("with a guard band the promise names both shares and their limits, in the engine's words", () => {
  assert.ok(engine.promises.some(({ sentence }) => sentence.includes("in review")));
  for (const { scores, upper, threshold, band, offset, step, limits, counts, sentence } of engine.promises) {
    assert.deepEqual(limitsOf(threshold, band), limits);
    assert.deepEqual(countVerdicts(scores, threshold, band), counts);
    const held = new HeldOut(Uint16Array.from(scores), scores.length, upper);
    const rejected = held.falseRejects(limits.rejectAbove, 1);
    const notAccepted = held.falseRejects(limits.acceptUpTo, 1);
    assert.equal(rejected.above, counts.reject, "headline and table count the same");
    assert.equal(notAccepted.above, counts.reject + counts.review);
    if (!band) {
      assert.equal(promised(rejected), sentence);
      continue;
    }
    const quantizer = new Quantizer({ offset, step });
    const inUnits = {
      rejectAbove: quantizer.toValue(limits.rejectAbove),
      reviewAbove: quantizer.toValue(Math.max(0, limits.acceptUpTo)),
    };
    assert.equal(promisedByVerdict(rejected, notAccepted, inUnits), sentence);
    assert.ok(howExpected(rejected, notAccepted).includes(`(${counts.reject} + 1) of (${scores.length} + 1) good parts rejected`));
  }
});

test("shares, multiples and counts are written as the engine writes them", () => {
  for (const [share, up, text] of engine.words.in_hundred) assert.equal(inHundred(share, up), text, `${share} ${up}`);
  for (const [area, perPixel, mm, text] of engine.words.areas) assert.equal(areaInImage(area, perPixel, mm), text);
  for (const [share, up, text] of engine.words.percent) assert.equal(percent(share, up), text, `${share} ${up}`);
  for (const [score, threshold, text] of engine.words.multiple) assert.equal(multipleOf(score, threshold), text);
  for (const [n, text] of engine.words.count) assert.equal(counted(n, "part"), text);
});

test("a multiple is never rounded across the threshold", () => {
  for (let i = 1; i < 400; i++) {
    const threshold = 1 + i / 7;
    assert.equal(multipleOf(threshold * (1 + 1e-9), threshold), "1.01 ×");
    assert.equal(multipleOf(threshold * (1 - 1e-9), threshold), "0.99 ×");
    assert.equal(multipleOf(threshold, threshold), "1.00 ×");
  }
});

test("the outline's color is the engine's", () => {
  const [r, g, b] = engine.contour;
  assert.equal(CONTOUR_STYLE, `rgb(${r},${g},${b})`);
  assert.equal(MARK, ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
});

test("scores are counted in the bins of exact arithmetic", () => {
  for (const { low, top, scores, bins } of engine.histogram) assert.deepEqual(binned(scores, low, top), bins);
});

test("the histogram spans the good parts and both thresholds", () => {
  const none = { normal: [], kept: [], good: [], defect: [], unknown: [] };
  const [low, top] = spanOf({ ...none, normal: [300, 500], defect: [400, 60000] }, 450, 700);
  assert.ok(low < 300 && top > 700);
  assert.equal(top, Math.ceil(1.08 * 2.5 * 700), "defects far above do not press the good parts together");
  const [least, most] = spanOf({ ...none, unknown: [40] }, 450, null);
  assert.ok(least < 40 && most > 450);
  assert.deepEqual(spanOf(none, 65535, null)[1], 65535, "levels end there");
});

test("a place on the axis and the level there belong together", () => {
  const axis = new Axis(100, 4321, 8, 900);
  for (let level = 100; level <= 4321; level += 13) {
    assert.ok(Math.abs(axis.levelAt(axis.xOf(level)) - level) <= 1);
  }
  assert.equal(axis.levelAt(-50), 100);
  assert.equal(axis.levelAt(5000), 4321);
  assert.equal(new Axis(0, 65535, 0, 10).levelAt(10), 65534, "nothing could exceed the highest level");
  assert.equal(new Axis(5, 5, 0, 10).span, 1, "never empty");
});
