// What is in prebuilds/: made from the present native/, small, and for every Linux that Node itself runs on.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { ADDONS, PREBUILT, madeFrom, nativeSourceHash, prebuiltPath } from "../../scripts/native-source.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const MAX_BYTES = 300_000;

/** The newest of each that an addon may ask for; the Node 20 of nodejs.org asks for GLIBC_2.28 and GLIBCXX_3.4.21. */
const FLOOR: Readonly<Record<string, string>> = { GLIBC: "2.28", GLIBCXX: "3.4.21", CXXABI: "1.3.9", GCC: "3.0" };

/** What every Node has loaded already. */
const LIBRARIES = ["ld-linux-aarch64.so.1", "libc.so.6", "libgcc_s.so.1", "libstdc++.so.6"];

const readelf = (...args: readonly string[]): string => execFileSync("readelf", [...args], { encoding: "utf8" });

function isNewer(version: string, floor: string): boolean {
  return version.localeCompare(floor, "en", { numeric: true }) > 0;
}

/** What an addon takes from the program that loads it. */
const FROM_NODE = /^(?:napi_\w+|uv_(?:err_name|strerror)|EVP_\w+)$/;

for (const [arch, addon] of PREBUILT.flatMap((each) => ADDONS.map((name) => [each.arch, name] as const))) {
  const path = prebuiltPath(root, arch, addon);

  describe(`the prebuilt addon ${addon} for ${arch}`, () => {
    it("is from the present native/", () => {
      const source = nativeSourceHash(root);
      assert.equal(madeFrom(path)?.source, source, `${path} is not from the present native/; run: npm run prebuilds`);
    });

    it(`is smaller than ${MAX_BYTES / 1000} kB`, () => {
      assert.ok(statSync(path).size < MAX_BYTES, `${path} has ${statSync(path).size} bytes`);
    });

    it("needs no newer glibc and libstdc++ than Node does", () => {
      const imports = [...readelf("--dyn-syms", "--wide", path).matchAll(/ UND (\w+)@(\w+?)_([\d.]+)/g)];
      assert.ok(imports.length > 50);
      const tooNew = imports.filter(([, , library = "", version = ""]) => isNewer(version, FLOOR[library] ?? "0"));
      assert.deepEqual(
        tooNew.map(([, symbol, library, version]) => `${symbol}@${library}_${version}`),
        [],
        "give these an older version in native/glibc_floor.c",
      );
    });

    it("asks Node for N-API, the names of errors and ciphers, and lacks nothing of its own", () => {
      const symbols = readelf("--dyn-syms", "--wide", path).matchAll(/ GLOBAL DEFAULT +UND (\w+)$/gm);
      const unversioned = [...symbols].map(([, name = ""]) => name);
      assert.ok(unversioned.length > 10);
      assert.deepEqual(
        unversioned.filter((name) => !FROM_NODE.test(name)),
        [],
        "list the source that has it in binding.gyp",
      );
    });

    it("needs no library that Node does not need", () => {
      const needed = [...readelf("--dynamic", "--wide", path).matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(
        ([, name]) => name,
      );
      assert.ok(needed.length > 0);
      assert.deepEqual(
        needed.filter((name) => !LIBRARIES.includes(name ?? "")),
        [],
      );
    });
  });
}
