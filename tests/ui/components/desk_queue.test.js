// The queue of the review desk: what is shown after each step, and what is sent to Python.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chosen, matching } from "../../../ui/components/modules/desk/forms.js";
import { Queue } from "../../../ui/components/modules/desk/queue.js";

const item = (id) => ({ id, name: `part ${id}`, said: "" });
const message = (ids, more = {}) => ({
  list: "one", items: ids.map(item), total: ids.length, done: 0, types: [], handled: 0, refusals: [], returned: null,
  locked: false, ...more,
});

function desk(ids, more) {
  const sent = [];
  let clock = 1000;
  const queue = new Queue((actions) => sent.push(actions), () => (clock += 1000));
  queue.update(message(ids, more));
  return { queue, sent };
}

test("a decision shows the next one at once, and is sent with all that is on its way", () => {
  const { queue, sent } = desk([1, 2, 3]);
  queue.decide("reject", "scratch");
  assert.equal(queue.shown.id, 2);
  assert.equal(queue.left, 2);
  queue.decide("accept");
  assert.deepEqual(sent.map((actions) => actions.map((one) => one.id)), [[1], [1, 2]]);
  assert.deepEqual([sent[1][0].decision, sent[1][0].type, sent[1][1].decision], ["reject", "scratch", "accept"]);
  assert.match(sent[1][0].uid, /^[0-9a-f]{32}$/);
  assert.ok(sent[1][0].serial < sent[1][1].serial);
});

test("an answer from before the latest decision does not undo it", () => {
  const { queue, sent } = desk([1, 2, 3]);
  queue.decide("accept");
  const first = sent[0][0].serial;
  queue.decide("accept");
  queue.update(message([2, 3], { total: 2, handled: first })); // Python knows of the first one only
  assert.equal(queue.shown.id, 3);
  assert.deepEqual(queue.outbox.map((one) => one.id), [2]);
  assert.equal(queue.left, 1);
});

test("what was not recorded comes back", () => {
  const { queue, sent } = desk([1, 2, 3]);
  queue.decide("accept");
  queue.update(message([1, 2, 3], { total: 3, handled: sent[0][0].serial })); // it was refused: still in the queue
  assert.deepEqual(queue.open.map((one) => one.id), [1, 2, 3]);
  assert.equal(queue.left, 3);
});

test("undo shows it again at once while it is on its way, or when Python has put it back", () => {
  const { queue, sent } = desk([1, 2, 3]);
  queue.decide("accept");
  queue.undo();
  assert.equal(queue.shown.id, 1);
  const undo = sent.at(-1).at(-1);
  assert.deepEqual([undo.kind, undo.id], ["undo", 1]);
  const later = desk([2, 3]);
  later.queue.undo();
  assert.equal(later.sent[0][0].id, null, "the latest step of this person, wherever it was made");
  later.queue.update(message([9, 2, 3], { handled: later.sent[0][0].serial, returned: { serial: later.sent[0][0].serial, id: 9 } }));
  assert.equal(later.queue.shown.id, 9);
  later.queue.go(1);
  later.queue.update(message([9, 2, 3], { handled: later.sent[0][0].serial, returned: { serial: later.sent[0][0].serial, id: 9 } }));
  assert.equal(later.queue.shown.id, 2, "said once");
});

test("one that somebody else has decided gives way to the one that followed it", () => {
  const { queue } = desk([1, 2, 3, 4]);
  queue.go(1);
  assert.equal(queue.shown.id, 2);
  queue.update(message([1, 3, 4]));
  assert.equal(queue.shown.id, 3);
});

test("one can look on without deciding, and more is asked for once near the end", () => {
  const { queue, sent } = desk([1, 2, 3], { total: 9 });
  queue.go(-1);
  assert.equal(queue.shown.id, 1);
  queue.go(1);
  queue.go(1);
  assert.equal(queue.shown.id, 3);
  assert.deepEqual(sent.map((actions) => actions.at(-1).kind), ["more"]);
});

test("the last one can be decided, and then there is none", () => {
  const { queue } = desk([1]);
  queue.decide("unsure");
  assert.equal(queue.shown, null);
  assert.equal(queue.decide("accept"), null);
  assert.equal(queue.left, 0);
});

test("a server that was started again is told anew what it had not answered", () => {
  const { queue, sent } = desk([1, 2], { handled: 5 });
  queue.decide("accept");
  queue.update(message([1, 2], { handled: 0 }));
  assert.equal(sent.length, 2);
  assert.deepEqual(sent[0], sent[1]);
  assert.equal(queue.shown.id, 2);
});

test("another list begins at its first one", () => {
  const { queue } = desk([1, 2, 3]);
  queue.go(2);
  queue.update(message([7, 8, 3], { list: "another" }));
  assert.equal(queue.shown.id, 7);
});

test("the pace is that of the latest decisions", () => {
  const { queue } = desk([1, 2, 3, 4]);
  assert.equal(queue.pace, null);
  queue.decide("accept");
  assert.equal(queue.pace, null);
  queue.decide("accept");
  assert.ok(queue.pace > 0 && queue.pace <= 60);
});

test("a type is a known one, the only one that fits, or a new one", () => {
  const types = ["Scratch", "Dent", "Deep dent"];
  assert.deepEqual(matching("dent", types), ["Dent", "Deep dent"]);
  assert.equal(chosen("scr", types), "Scratch");
  assert.equal(chosen("dent", types), "Dent");
  assert.equal(chosen("den", types), "den");
  assert.equal(chosen(" chip ", types), "chip");
  assert.equal(chosen("  ", types), "");
});

test("undo takes back a comment before the decision that came before it", () => {
  const { queue, sent } = desk([1, 2, 3]);
  queue.decide("accept");
  queue.comment("odd");
  queue.undo();
  assert.deepEqual([sent.at(-1).at(-1).id, queue.shown.id], [2, 2]);
  queue.undo();
  assert.deepEqual([sent.at(-1).at(-1).id, queue.shown.id], [1, 1]);
});

test("a type named here can be chosen again before Python knows of it", () => {
  const { queue, sent } = desk([1, 2, 3]);
  queue.decide("reject", "scratch");
  queue.decide("reject", "dent");
  assert.deepEqual(queue.types(["dent"]), ["dent", "scratch"]);
  queue.update(message([3], { handled: sent.at(-1).at(-1).serial }));
  assert.deepEqual(queue.types(["dent"]), ["dent"]);
});
