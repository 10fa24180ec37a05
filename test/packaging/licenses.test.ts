// What is shipped under another license than the package's own says so, and its text is shipped with it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Texts are told by their first words and their last. */
const TEXTS: Readonly<Record<string, readonly [path: string, begins: RegExp, ends: RegExp]>> = {
  "Apache-2.0": ["LICENSE", /^\s*Apache License\s+Version 2\.0/, /limitations under the License\.\s*$/],
  "GPL-2.0-only": [
    "LICENSES/GPL-2.0-only.txt",
    /^\s*GNU GENERAL PUBLIC LICENSE\s+Version 2, June 1991/,
    /END OF TERMS AND CONDITIONS[^]*Lesser General\s+Public License instead of this License\.\s*$/,
  ],
  // Of the packages whose code is in dist/; a checkout has the file once it is built.
  MIT: [
    "dist/LICENSES.txt",
    /^Parts of these packages /,
    /\(The MIT License\)[^]*MIT License\s+Copyright[^]*SOFTWARE\.\s*$/,
  ],
  ISC: ["dist/LICENSES.txt", /^yaml \d[\d.]*, ISC$/m, /PERFORMANCE OF\s+THIS SOFTWARE\.$/m],
  "BSD-2-Clause": [
    "LICENSES/BSD-2-Clause.txt",
    /^Copyright \(c\) \d+ .*\n\nRedistribution and use/,
    /1\. Redistributions of source[^]*2\. Redistributions in binary[^]*POSSIBILITY OF SUCH DAMAGE\.\s*$/,
  ],
};

// Without scripts: what is packed is asked for, not whether it is current.
const [packed] = JSON.parse(
  execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" }),
) as [{ files: { path: string }[] }];
const shipped = packed.files.map(({ path }) => path);

function alternatives(expression: string): string[] {
  return expression.replace(/[()]/g, "").split(/ OR | AND /);
}

test("every license of the package's expression is shipped as a whole text", () => {
  const { license } = JSON.parse(read("package.json")) as { license: string };
  assert.deepEqual(alternatives(license).sort(), Object.keys(TEXTS).sort());
  for (const [path, begins, ends] of Object.values(TEXTS)) {
    assert.ok(shipped.includes(path), path);
    assert.match(read(path), begins);
    assert.match(read(path), ends);
  }
});

test("what native/bpf/ ships says its license, and nothing else says one", () => {
  const sources = shipped.filter((path) => /\.(?:c|h|cc|ts|mjs|gyp)$/.test(path));
  assert.ok(sources.some((path) => path.startsWith("native/bpf/")));
  for (const path of sources) {
    const [, expression] = /SPDX-License-Identifier: (.+?)(?: \*\/)?$/m.exec(read(path)) ?? [];
    if (!path.startsWith("native/bpf/")) assert.equal(expression, undefined, path);
    // bpftool marks what it makes "LGPL-2.1 OR BSD-2-Clause", of which the second is what is meant here.
    else if (path.endsWith(".lskel.h")) assert.ok(alternatives(expression ?? "").includes("BSD-2-Clause"), path);
    else assert.equal(expression, "GPL-2.0-only OR BSD-2-Clause", path);
  }
});
