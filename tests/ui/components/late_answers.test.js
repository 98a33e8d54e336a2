// What the user did stands until Python has answered it; and every step can be taken back.

import assert from "node:assert/strict";
import test from "node:test";

import { alike, pathOf, pulled, tidy } from "../../../ui/components/modules/region/shapes.js";
import { Sketch } from "../../../ui/components/modules/region/sketch.js";
import { Draft } from "../../../ui/components/modules/viewer/draft.js";
import { Outbox } from "../../../ui/components/modules/viewer/outbox.js";
import { Steps } from "../../../ui/components/modules/viewer/steps.js";

const SENT = { basis: "manual", permille: 950, level: 100, min_area: 4 };
const shape = (x) => ({ kind: "polygon", mode: "exclude", points: [[x, 0], [x + 5, 0], [x, 5]], radius: 0 });
const message = (handled, shapes, model = "m") => ({ model, width: 48, height: 64, handled, shapes });

function outbox() {
  const reports = [];
  const reporter = Object.fromEntries(
    ["decision", "look", "selected", "labels"].map((kind) => [kind, (value) => reports.push([kind, value])]),
  );
  return { box: new Outbox(reporter), reports };
}

test("an answer from before the latest action is not the latest", () => {
  const { box, reports } = outbox();
  const quantizer = { offset: 0.5, step: 0.25 };
  const decision = { basis: "manual", permille: 950, level: 7, minArea: 3 };
  assert.equal(box.acknowledge({ decision: 0, selected: 0, labels: 0 }), false);
  assert.ok(box.isAnswered("decision"));
  box.decide(decision, quantizer);
  box.decide({ ...decision, level: 8 }, quantizer);
  const [first, second] = reports.map(([, value]) => value);
  assert.ok(second.count > first.count);
  assert.deepEqual(second, {
    basis: "manual", permille: 950, level: 8, min_area: 3, scale: [0.5, 0.25], count: second.count,
  });
  box.acknowledge({ decision: first.count, selected: 0, labels: 0 });
  assert.equal(box.isAnswered("decision"), false);
  box.acknowledge({ decision: second.count, selected: 0, labels: 0 });
  assert.ok(box.isAnswered("decision"));
});

test("labels are sent again until they are answered, in order", () => {
  const { box, reports } = outbox();
  box.label({ sha256: "a", label: "good" });
  box.label({ sha256: "b", label: "defect" });
  const [[, one], [, both]] = reports;
  assert.deepEqual(one.map(({ sha256 }) => sha256), ["a"]);
  assert.deepEqual(both.map(({ sha256 }) => sha256), ["a", "b"]);
  box.acknowledge({ decision: 0, selected: 0, labels: both[0].count });
  assert.deepEqual(box.labels.map(({ sha256 }) => sha256), ["b"]);
});

test("a server that has restarted has forgotten, and a page opened anew counts on", () => {
  const { box, reports } = outbox();
  const far = Date.now() + 1e9; // another computer's clock
  assert.equal(box.acknowledge({ decision: far, selected: 0, labels: 0 }), false);
  box.label({ sha256: "a", label: "good" });
  assert.ok(reports[0][1][0].count > far);
  assert.equal(box.acknowledge({ decision: 0, selected: 0, labels: 0 }), true);
  assert.deepEqual(box.labels, []);
  assert.ok(box.isAnswered("labels"));
});

test("a draft is reported once, when it is complete, and given up without a trace", () => {
  const store = { message: { decision: SENT }, levelOf: ({ basis, permille, level }) => (basis === "image" ? permille : level) };
  const draft = new Draft(store);
  draft.change({ level: 120 });
  draft.change({ level: 130 });
  assert.ok(draft.moving);
  draft.giveUp();
  assert.equal(draft.now.level, 100);
  assert.equal(draft.commit(), null, "nothing was decided");
  draft.change({ basis: "image", permille: 900 });
  const step = draft.commit();
  assert.deepEqual([step.before.level, step.after.level], [100, 900]);
  assert.equal(draft.commit(), null);
  assert.equal(draft.takeOver({ ...SENT, basis: "image", permille: 900, level: 900 }), null, "its own echo");
  const other = draft.takeOver({ ...SENT, level: 5 });
  assert.deepEqual([other.before.level, other.after.level], [900, 5], "another one is a step that can be undone");
});

test("steps go back and forth, and those that no longer stand are passed over", () => {
  const steps = new Steps();
  const step = (sha256) => ({ kind: "label", sha256, field: "label", before: null, after: "good" });
  for (const name of ["a", "b", "c"]) steps.add(step(name));
  assert.equal(steps.back(() => true).sha256, "c");
  assert.equal(steps.back(({ sha256 }) => sha256 !== "b").sha256, "a");
  assert.equal(steps.back(() => true), null);
  assert.equal(steps.forth(() => true).sha256, "a");
  assert.deepEqual([steps.backward, steps.forward], [1, 1]);
  steps.add(step("d"));
  assert.equal(steps.forward, 0, "what was undone before another step is gone");
  steps.drop(({ sha256 }) => sha256 === "a");
  assert.equal(steps.backward, 1);
});

test("a late answer does not take a drawing away", () => {
  const sketch = new Sketch();
  assert.equal(sketch.takeOver(message(3, [shape(1)]), false), "model");
  sketch.change([shape(1), shape(2)]);
  assert.equal(sketch.isAnswered, false);
  assert.equal(sketch.takeOver(message(3, [shape(1)]), false), "same");
  assert.equal(sketch.shapes.length, 2);
  assert.equal(sketch.takeOver(message(4, [shape(1), shape(2)]), false), "same");
  assert.ok(sketch.isAnswered);
});

test("what Python puts in its place can be undone; a restart and another model cannot", () => {
  const sketch = new Sketch();
  sketch.takeOver(message(0, [shape(1)]), false);
  sketch.change([shape(2)]);
  assert.equal(sketch.takeOver(message(1, []), true), "same", "not while a shape is being dragged");
  assert.equal(sketch.takeOver(message(1, []), false), "replaced");
  assert.deepEqual(sketch.shapes, []);
  assert.ok(sketch.undo());
  assert.deepEqual(sketch.shapes, [shape(2)]);
  assert.ok(sketch.redo());
  assert.equal(sketch.redo(), false);
  assert.equal(sketch.takeOver(message(0, [shape(9)]), false), "restart");
  assert.equal(sketch.undo(), false);
  assert.equal(sketch.takeOver(message(0, [shape(9)], "other"), false), "model");
});

test("the oldest steps of a drawing are forgotten", () => {
  const sketch = new Sketch();
  sketch.takeOver(message(0, []), false);
  for (let i = 0; i < 250; i++) sketch.change([shape(i)]);
  let undone = 0;
  while (sketch.undo()) undone++;
  assert.equal(undone, 200);
});

test("shapes are moved in eighths, and by one corner", () => {
  assert.equal(tidy(1.06), 1);
  assert.equal(tidy(1.07), 1.125);
  assert.deepEqual(pulled(shape(0), [0, 0], [1.06, 2], null).points, [[1, 2], [6, 2], [1, 7]]);
  assert.deepEqual(pulled(shape(0), [0, 0], [9, 9], 1).points, [[0, 0], [9, 9], [0, 5]]);
  assert.equal(pathOf([[1, 2]], false), "M1 2L1 2", "a dot");
  assert.equal(pathOf([[1, 2], [3, 4]], true), "M1 2L3 4Z");
  assert.ok(alike([shape(1)], [{ ...shape(1), note: "not part of the drawing" }]));
  assert.equal(alike([shape(1)], [shape(2)]), false);
});
