// The engine's own numbers, which pytest has written to the file that PADIM_ENGINE_VALUES names.

import { readFileSync } from "node:fs";

const file = process.env.PADIM_ENGINE_VALUES;
if (!file) throw new Error("run these tests by pytest: tests/ui/components/test_modules.py");

export const engine = JSON.parse(readFileSync(file, "utf8"));

/** Bytes from base 64. */
export function bytes(text) {
  return new Uint8Array(Buffer.from(text, "base64"));
}
