// Displacements, their limits and the promise of both together, held to the engine's.

import assert from "node:assert/strict";
import test from "node:test";

import { HeldOut, partsNeeded } from "../../../ui/components/modules/viewer/calibration.js";
import { BEYOND, displacedLevel, displacements, jointLevel, limitAt } from "../../../ui/components/modules/viewer/joint.js";
import { Store } from "../../../ui/components/modules/viewer/store.js";
import { engine } from "./engine.js";

test("displacements as levels are the engine's, however uneven the scales", () => {
  for (const { sizes, statistics, found } of engine.joint) {
    sizes.forEach((one, i) => assert.equal(displacedLevel(one, statistics), found[i]));
  }
  const [{ statistics }] = engine.joint;
  assert.equal(displacedLevel({ shift: 2 ** 52, turn: 2 ** 52, scale: 2 ** 52 }, [{ ...statistics[0], top: "9".repeat(30) }]), BEYOND);
  assert.equal(displacedLevel({}, statistics), 0);
});

test("limits and reasons follow from the threshold as in the engine", () => {
  let told = 0;
  for (const { sizes, statistics, at } of engine.joint) {
    for (const { level, limits, reasons } of at) {
      for (const statistic of statistics) assert.equal(limitAt(level, statistic), limits[statistic.name]);
      sizes.forEach((one, i) => {
        assert.deepEqual(displacements(one, level, statistics), reasons[i]);
        told += reasons[i].length;
      });
    }
  }
  assert.ok(told > 50);
});

test("thresholds and rates count each part once, by whichever of its statistics is the largest", () => {
  for (const { scores, displaced, unsure, upper, joint, band, thresholds, at } of engine.joint) {
    const held = new HeldOut(Uint16Array.from(scores), scores.length, upper, displaced, unsure);
    scores.forEach((score, i) => assert.equal(jointLevel(score, displaced[i]), joint[i]));
    for (const [tenths, { level, supported, needed }] of Object.entries(thresholds)) {
      const permille = Number(tenths);
      assert.equal(held.threshold(permille, 1), level);
      assert.equal(held.supports(permille, 1), supported);
      if (!supported) assert.equal(partsNeeded(permille, held.lost), needed);
    }
    for (const { level, rejected, not_accepted: notAccepted } of at) {
      assert.deepEqual(held.rates(1, level, band), { rejected, notAccepted });
    }
    assert.equal(held.reviewsLost, unsure.includes(true));
  }
});

test("a part's displacement goes with its scores, whichever of its images shows it", () => {
  const held = HeldOut.ofImages(Uint16Array.of(9, 5, 8), { part: [0, 1, 0], parts: 2, upper: [], displaced: [0, 7] }, 1);
  assert.deepEqual([...held.sorted(1)], [7, 9]);
});

test("an image is judged by its score, its displacement, or not being found", () => {
  const statistics = [{ name: "shift", top: "10", bottom: "1", step: 0.5, unit: "px" }];
  const image = { held: -1, in_fit: false, group: "good", label: null, score: 30, lost: "", displacement: { shift: 6 }, displaced: 60 };
  const message = { areas: 1, band: 0, held: { in_fit: 0 }, joint: { statistics, on_lost: "review" }, quantizer: { offset: 0, step: 1 } };
  const store = new Store(/** @type {any} */ (message));
  const at = (level) => ({ level, minArea: 1 });
  store.items.set("moved", /** @type {any} */ (image));
  const lost = { ...image, score: 0, lost: "two parts", displacement: {}, displaced: 0 };
  store.items.set("lost", /** @type {any} */ (lost));
  assert.equal(store.verdictOf(image, at(59)), "reject");
  assert.deepEqual(store.checksOf(image, 59), ["shifted by 3 px, above the limit of 2.5 px"]);
  assert.equal(store.verdictOf(image, at(60)), "accept");
  assert.equal(store.jointOf(image, 1), 60);
  assert.equal(store.verdictOf(lost, at(60)), "review");
  assert.deepEqual(store.checksOf(lost, 60), ["part not found: two parts"]);
  assert.deepEqual(store.verdictsByGroup(at(59)).good, { accept: 0, review: 1, reject: 1 });
});
