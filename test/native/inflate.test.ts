// inflate.c against zlib: what that packs comes out as it was, and a byte less or more is told.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { constants, deflateRawSync } from "node:zlib";
import fc from "fast-check";

const NATIVE = fileURLToPath(new URL("../../native", import.meta.url));

/** Reads frames of packed length, wanted length and packed bytes; writes the result and what came out of each. */
const PROGRAM = `
#include <stdio.h>
#include <stdlib.h>
#include "rimon.h"
int main(void)
{
	uint32_t sizes[2];

	while (fread(sizes, sizeof(sizes), 1, stdin) == 1) {
		unsigned char *packed = malloc(sizes[0] + 1), *data = calloc(1, sizes[1] + 1);
		int32_t ret;

		if (sizes[0] && fread(packed, sizes[0], 1, stdin) != 1)
			return 1;
		ret = inflate_raw(packed, sizes[0], data, sizes[1]);
		fwrite(&ret, sizeof(ret), 1, stdout);
		fwrite(data, sizes[1], 1, stdout);
		free(packed);
		free(data);
	}
	return 0;
}
`;

test("what zlib packs comes out as it was, and no other length of it", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [source, program] = [join(folder, "unpack.c"), join(folder, "unpack")];
  writeFileSync(source, PROGRAM);
  const flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  const compiled = spawnSync("gcc", [...flags, "-I", NATIVE, "-o", program, source, join(NATIVE, "inflate.c")], {
    encoding: "utf8",
  });
  assert.equal(compiled.status, 0, compiled.stderr);

  function unpack(frames: readonly (readonly [packed: Buffer, size: number])[]): { result: number; data: Buffer }[] {
    const input = frames.flatMap(([packed, size]) => {
      const head = Buffer.alloc(8);
      head.writeUInt32LE(packed.length, 0);
      head.writeUInt32LE(size, 4);
      return [head, packed];
    });
    const run = spawnSync(program, { input: Buffer.concat(input), maxBuffer: 1 << 28 });
    assert.equal(run.status, 0, run.stderr.toString());
    let at = 0;
    return frames.map(([, size]) => {
      const result = run.stdout.readInt32LE(at);
      const data = run.stdout.subarray(at + 4, at + 4 + size);
      at += 4 + size;
      return { result, data };
    });
  }

  const piece = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 400 }));
  const bytes = fc
    .array(piece, { maxLength: 12 })
    .map((pieces) => Buffer.concat(pieces.flatMap(([part, times]) => Array.from({ length: times }, () => part))));
  const how = fc.record({
    level: fc.integer({ min: 0, max: 9 }),
    memLevel: fc.integer({ min: 1, max: 9 }),
    strategy: fc.constantFrom(
      constants.Z_DEFAULT_STRATEGY,
      constants.Z_FIXED,
      constants.Z_HUFFMAN_ONLY,
      constants.Z_RLE,
    ),
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(bytes, how), { minLength: 1, maxLength: 8 }), (cases) => {
      const packed = cases.map(([raw, options]) => ({ raw, short: deflateRawSync(raw, options) }));
      const whole = unpack(packed.map(({ raw, short }) => [short, raw.length]));
      for (const [index, { raw }] of packed.entries()) {
        assert.equal(whole[index]?.result, 0);
        assert.ok(whole[index]?.data.equals(raw));
      }
      const others = packed.flatMap(({ raw, short }): [Buffer, number][] => [
        [short, raw.length + 1],
        ...(raw.length === 0 ? [] : [[short, raw.length - 1] as [Buffer, number]]),
        [short.subarray(0, short.length >> 1), raw.length + 1],
      ]);
      for (const { result } of unpack(others)) assert.ok(result < 0);
    }),
    { numRuns: 60, endOnFailure: true },
  );
});
