// The arithmetic of decisions, held to the engine's.

import assert from "node:assert/strict";
import test from "node:test";

import { areaStops, nearestStop } from "../../../ui/components/modules/viewer/areas.js";
import { countAbove, HeldOut, partsNeeded, rank } from "../../../ui/components/modules/viewer/calibration.js";
import { LevelMap, Quantizer } from "../../../ui/components/modules/viewer/levels.js";
import { maskRows } from "../../../ui/components/modules/viewer/mask_file.js";
import { mapPixelAt, onScreen, sharesOf } from "../../../ui/components/modules/viewer/placing.js";
import { greyPng } from "../../../ui/components/modules/viewer/png.js";
import { findMask, Runs } from "../../../ui/components/modules/viewer/regions.js";
import { paletteOf, Scale } from "../../../ui/components/modules/viewer/scale.js";
import { unzip } from "../../../ui/components/modules/viewer/tables.js";
import { countVerdicts, verdictOf } from "../../../ui/components/modules/viewer/verdicts.js";
import { bytes, engine } from "./engine.js";

test("levels and values are the engine's", () => {
  for (const { offset, step, to_level: toLevel, to_value: toValue } of engine.quantizers) {
    const quantizer = new Quantizer({ offset, step });
    for (const [value, level] of toLevel) assert.equal(quantizer.toLevel(value), level, `${value} of ${step}`);
    for (const [level, value] of toValue) assert.equal(quantizer.toValue(level), value);
  }
});

test("ranks, bounds and the percentile that a threshold stands for are the engine's", () => {
  for (const { n, above, expected, upper, ranks, permille } of engine.rates) {
    const bounds = Array.from({ length: n + 1 }, () => 0);
    bounds[above] = upper;
    const held = new HeldOut(Uint16Array.from({ length: n }, (_, i) => i), n, bounds);
    const level = n - 1 - above;
    // A level cannot lie below 0: then all parts but the first, whose score is 0, would lie above.
    if (level >= 0) assert.deepEqual(held.falseRejects(level, 1), { above, n, expected, upper });
    assert.equal(held.permille(above), permille);
    for (const [tenths, found] of Object.entries(ranks)) assert.equal(rank(Number(tenths), n), found);
  }
  for (const [tenths, n] of Object.entries(engine.parts_needed)) assert.equal(partsNeeded(Number(tenths)), n);
});

test("thresholds at a percentile are the engine's", () => {
  for (const { scores, levels, above } of engine.thresholds) {
    const held = new HeldOut(Uint16Array.from(scores), scores.length, []);
    for (const [permille, level] of Object.entries(levels)) assert.equal(held.threshold(Number(permille), 1), level);
    for (const [level, n] of Object.entries(above)) assert.equal(countAbove(held.sorted(1), Number(level)), n);
  }
});

test("a part's score is the highest of its images', for every smallest region", () => {
  const images = Uint16Array.of(9, 5, 1, 7, 6, 2, 8, 3, 3); // three images, three areas
  const held = HeldOut.ofImages(images, { part: [0, 1, 0], parts: 2, upper: [0, 0, 0] }, 3);
  assert.deepEqual([1, 2, 3].map((area) => held.score(0, area)), [9, 5, 3]);
  assert.deepEqual([1, 2, 3].map((area) => held.score(1, area)), [7, 6, 2]);
  assert.equal(held.score(0, 99), 3, "beyond the last one the last one stands");
  assert.deepEqual([...held.sorted(2)], [5, 6]);
  assert.deepEqual([...held.sorted(1)], [7, 9], "another smallest region is sorted anew");
});

test("verdicts are the engine's, within the guard band too", () => {
  assert.ok(engine.verdicts.some(({ verdict }) => verdict === "review"));
  for (const { score, threshold, band, verdict } of engine.verdicts) {
    assert.equal(verdictOf(score, threshold, band), verdict, `${score} at ${threshold} ± ${band}`);
    const counts = countVerdicts([score], threshold, band);
    assert.equal(counts[verdict], 1);
    assert.equal(counts.accept + counts.review + counts.reject, 1);
  }
});

test("masks, regions and scores are the engine's, to the pixel", () => {
  const runs = new Runs(); // one for all, as in the viewer
  for (const { size, levels, scores, masks } of engine.maps) {
    const { width, height } = size;
    const map = new LevelMap(Uint16Array.from(scores), Uint16Array.from(levels), size);
    for (const { threshold, min_area: minArea, mask, regions } of masks) {
      findMask(map, threshold, minArea, runs);
      const drawn = new Uint8Array(width * height);
      for (let i = 0; i < runs.count; i++) {
        drawn.fill(1, runs.rows[i] * width + runs.starts[i], runs.rows[i] * width + runs.stops[i]);
      }
      assert.deepEqual(drawn, bytes(mask), `above ${threshold}, at least ${minArea}`);
      assert.equal(runs.regions, regions);
      assert.equal(map.score(minArea) > threshold, runs.count > 0, "rejected exactly when the mask is not empty");
    }
  }
});

test("runs grow beyond their first room", () => {
  const side = 128; // a checkerboard: 8,192 runs, all of one region by their corners
  const levels = Uint16Array.from({ length: side * side }, (_, i) => ((i + Math.floor(i / side)) % 2 ? 9 : 0));
  const runs = findMask(new LevelMap(Uint16Array.of(9), levels, { width: side, height: side }), 0, 8192, new Runs());
  assert.equal(runs.count, 8192);
  assert.equal(runs.regions, 1);
});

test("a mask's file has the engine's pixels, at the image's own size", async () => {
  for (const { size, levels, width, height, threshold, min_area: minArea, mask, ...at } of engine.mask_files) {
    const { box, placement = null } = at;
    const map = new LevelMap(new Uint16Array(8), Uint16Array.from(levels), size);
    const rows = maskRows(map, { box, placement, width, height }, threshold, minArea);
    const wanted = bytes(mask);
    for (let y = 0; y < height; y++) {
      const row = rows.subarray(y * (width + 1), (y + 1) * (width + 1));
      assert.equal(row[0], 0, "the filter's byte");
      assert.deepEqual(row.subarray(1), wanted.subarray(y * width, (y + 1) * width));
    }
    const file = new Uint8Array(await (await greyPng(width, height, rows)).arrayBuffer());
    assert.deepEqual([...file.subarray(1, 4)].map((code) => String.fromCharCode(code)).join(""), "PNG");
  }
});

test("the map pixel under a pixel of the image is the engine's, wherever the part lies", () => {
  let compared = 0;
  for (const { size, placement, width, height, at, under } of engine.map_pixels) {
    const box = { left: 0, top: 0, ...size };
    for (const [x, y] of under) {
      assert.deepEqual(mapPixelAt({ width, height, box, placement }, size, x, y), at);
      compared++;
    }
    assert.equal(mapPixelAt({ width, height, box, placement }, size, 1e6, 1e6), null, "beside the map");
  }
  assert.ok(compared > 20);
});

test("drawn on the screen, a map lies as on the image", () => {
  for (const { size, placement, width, height } of engine.map_pixels) {
    const box = { left: 0, top: 0, ...size };
    const [a, b, c, d, e, f] = onScreen(sharesOf({ width, height, box, placement }), 3 * width, 2 * height);
    const [m, n, o, p, q, r] = placement.matrix;
    for (const [u, v] of [[0, 0], [size.width, 0], [5.5, 31]]) {
      assert.ok(Math.abs(a * u + c * v + e - 3 * (m * u + n * v + o)) < 1e-9);
      assert.ok(Math.abs(b * u + d * v + f - 2 * (p * u + q * v + r)) < 1e-9);
    }
  }
});

test("packed tables come out as they went in", async () => {
  for (const { packed, shapes, tables } of engine.tables) {
    const found = await unzip(bytes(packed), shapes);
    assert.deepEqual(found?.map((table) => [...table]), tables);
    assert.equal(await unzip(bytes(packed), [[1000, 1000]]), null, "of another size");
  }
  assert.equal(await unzip(Uint8Array.of(1, 2, 3), [[1, 1]]), null, "no gzip");
});

test("colors of levels are the engine's", () => {
  const scale = new Scale(); // one for all thresholds, as in the viewer
  for (const { name, threshold, palette, colors } of engine.scales) {
    scale.set(threshold, paletteOf(palette), name, 0.5);
    for (const [level, [r, g, b]] of colors) {
      const pixel = scale.solid[level];
      assert.deepEqual([pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255, pixel >>> 24], [r, g, b, 255]);
    }
    assert.equal(scale.heat[0] >>> 24, 0, "no heat at the bottom");
    assert.equal(scale.heat[65535] >>> 24, 128, "the strength at the threshold and above");
  }
});

test("the slider of the smallest region reaches every end in small steps", () => {
  for (const most of [1, 2, 16, 17, 100, 256, 1000, 65536]) {
    const stops = areaStops(most);
    assert.equal(stops[0], 1);
    assert.equal(stops.at(-1), most);
    stops.forEach((stop, i) => {
      assert.equal(nearestStop(stops, stop), i);
      if (i) assert.ok(stop > stops[i - 1] && stop <= Math.max(stops[i - 1] + 1, Math.ceil(1.1 * stops[i - 1])));
    });
  }
  assert.equal(nearestStop([1, 2, 4], 9), 2);
});
