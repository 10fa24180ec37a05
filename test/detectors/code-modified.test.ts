// The rule code-modified, and what it takes a change of code for.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { codeModified } from "../../src/detectors/code-modified.ts";
import { classifyPatch } from "../../src/detectors/code-patches.ts";
import type { Machine } from "../../src/observation.ts";
import { aProcess, codeChange, codePage, seen } from "./observations.ts";
import { check } from "./table.ts";

const VAULT = seen(aProcess(41));
const NGINX = seen(aProcess(50, { comm: "nginx" }));
const LIBCRYPTO = "/usr/lib/libcrypto.so.3";

check(codeModified, [
  {
    when: "a jump at the beginning of a function",
    observed: [VAULT, codePage(41, [codeChange("e910203040", "f30f1efa55")])],
    says: `critical: vault (41, root): 5 bytes of EVP_DecryptUpdate+0x0 in ${LIBCRYPTO} differ from the file: found e9 10 20 30 40, expected f3 0f 1e fa 55 (a jump was put there)`,
    technique: "detour",
    target: 41,
  },
  {
    when: "a breakpoint",
    observed: [VAULT, codePage(41, [codeChange("cc", "55")])],
    says: `critical: vault (41, root): 1 byte of EVP_DecryptUpdate+0x0 in ${LIBCRYPTO} differs from the file: found cc, expected 55 (a breakpoint or uprobe)`,
    technique: "breakpoint",
    target: 41,
  },
  {
    when: "one bit",
    observed: [VAULT, codePage(41, [codeChange("88", "89", { place: { name: "f", offset: 26 } })])],
    says: `critical: vault (41, root): 1 byte of f+0x1a in ${LIBCRYPTO} differs from the file: found 88, expected 89 (one bit)`,
    technique: "bit-flip",
    target: 41,
  },
  {
    when: "several changes: the gravest names the whole",
    observed: [
      VAULT,
      codePage(41, [
        codeChange("cc", "55"),
        codeChange("e800000000", "0f1f440000", { place: { name: ".text", offset: 16 } }),
        codeChange("1234", "5678"),
        codeChange("cc", "41"),
      ]),
    ],
    says: `critical: vault (41, root): 1 byte of EVP_DecryptUpdate+0x0 in ${LIBCRYPTO} differs from the file: found cc, expected 55 (a breakpoint or uprobe); 5 bytes of .text+0x10: found e8 00 00 00 00, expected 0f 1f 44 00 00 (a call was put there); 2 bytes of EVP_DecryptUpdate+0x0: found 12 34, expected 56 78; and 1 more`,
    technique: "detour",
    target: 41,
  },
  {
    when: "more bytes than are shown, in no function or section",
    observed: [
      VAULT,
      codePage(41, [
        { address: "7f0000003010", offset: 0x2010, length: 600, found: "01".repeat(32), expected: "00".repeat(32) },
      ]),
    ],
    says: `critical: vault (41, root): 600 bytes of offset 0x2010 in ${LIBCRYPTO} differ from the file: found ${"01 ".repeat(16)}.., expected ${"00 ".repeat(16)}..`,
    technique: "patch",
    target: 41,
  },
  {
    when: "changed and put back",
    observed: [VAULT, codePage(41, [])],
    says: `high: vault (41, root): code of ${LIBCRYPTO} was changed and put back: the page at offset 0x2000 is a copy whose bytes are the file's`,
    technique: "restored",
    target: 41,
  },
  {
    when: "what was written is not known",
    observed: [VAULT, codePage(41, undefined)],
    says: `high: vault (41, root): code of ${LIBCRYPTO} was written to: the page at offset 0x2000 is a copy that could not be compared with the file`,
    technique: "patch",
    target: 41,
  },
  {
    when: "whose instructions they are is not known",
    observed: [VAULT, codePage(41, [codeChange("cc", "55")], {}, [])],
    says: `critical: vault (41, root): 1 byte of EVP_DecryptUpdate+0x0 in ${LIBCRYPTO} differs from the file: found cc, expected 55`,
    technique: "patch",
    target: 41,
  },
  {
    when: "a file that is patched on purpose",
    observed: [VAULT, codePage(41, [codeChange("cc", "55")], { path: `${LIBCRYPTO} (deleted)` })],
    allow: [LIBCRYPTO],
    says: undefined,
  },
  {
    when: "a process that nobody protects",
    observed: [NGINX, codePage(50, [codeChange("cc", "55")])],
    says: undefined,
  },
  { when: "a process that nobody knows", observed: [codePage(60, [codeChange("cc", "55")])], says: undefined },
  {
    when: "a process that has the pid of another",
    observed: [VAULT, codePage(41, [codeChange("cc", "55")], { startTime: 9 })],
    says: undefined,
  },
]);

const X64 = "x86-64";
/** What is found, what was there, and what it is taken for: "technique: says". */
const PATCHES: readonly (readonly [machine: Machine | undefined, found: string, expected: string, taken: string])[] = [
  [X64, "cc", "f3", "breakpoint: a breakpoint or uprobe"],
  // One bit of 4c, but nobody flips that one by chance so often.
  [X64, "cc", "4c", "breakpoint: a breakpoint or uprobe"],
  // Two breakpoints, two bytes apart.
  [X64, "cc89cc", "5589e5", "breakpoint: a breakpoint or uprobe"],
  ["x86", "cc", "55", "breakpoint: a breakpoint or uprobe"],
  [X64, "ccccccc3", "554889e5", "patch"],
  [X64, "e9fbffffff", "554889e541", "detour: a jump was put there"],
  ["x86", "e9fbffffff", "5589e55383", "detour: a jump was put there"],
  [X64, "eb05", "5548", "detour: a jump was put there"],
  [X64, "f30f1efae910203040", "554889e54157415641", "detour: a jump was put there"],
  [X64, "ff2500000000", "554889e54157", "detour: a jump was put there"],
  [X64, "48b8efcdab9078563412ffe0", "554889e54157415641554154", "detour: a jump was put there"],
  [X64, "49bbefcdab907856341241ffe3", "554889e5415741564155415453", "detour: a jump was put there"],
  ["x86", "b878563412ffe0", "5589e557565383", "detour: a jump was put there"],
  [X64, "6878563412c7442404efbeaddec3", "554889e541574156415541545348", "detour: a jump was put there"],
  [X64, "48b8efcdab907856341250c3", "554889e54157415641554154", "detour: a jump was put there"],
  [X64, "e800000000", "0f1f440000", "detour: a call was put there"],
  [X64, "ff1510000000", "660f1f440000", "detour: a call was put there"],
  [X64, "48b8efcdab9078563412ffd0", "554889e54157415641554154", "detour: a call was put there"],
  [X64, "75", "74", "bit-flip: one bit, which reverses a condition"],
  [X64, "7c", "74", "bit-flip: one bit"],
  [X64, "89", "88", "bit-flip: one bit"],
  ["arm64", "fd7bbfa8", "fd7bbfa9", "bit-flip: one bit"],
  [undefined, "00", "80", "bit-flip: one bit"],
  [X64, "eb", "74", "patch: a condition always holds"],
  [X64, "c3", "55", "patch: it returns at once"],
  [X64, "31c0c3", "554889", "patch: it returns at once"],
  [X64, "b801000000c3", "554889e54157", "patch: it returns at once"],
  [X64, "9090909090", "e810203040", "patch: it does nothing"],
  [X64, "0102", "0304", "patch"],
  [undefined, "e9fbffffff", "554889e541", "patch"],
  // brk #0, brk #1
  ["arm64", "000020d4", "fd7bbfa9", "breakpoint: a breakpoint or uprobe"],
  ["arm64", "200020d4fd030091000020d4", "fd7bbfa9fd030091f30b00f9", "breakpoint: a breakpoint or uprobe"],
  // b, bl, ldr x16 + br x16, adrp x16 + add + br x16, bti c + b, movz x17 + blr x17
  ["arm64", "00010014", "fd7bbfa9", "detour: a jump was put there"],
  ["arm64", "00010094", "fd7bbfa9", "detour: a call was put there"],
  ["arm64", "5000005800021fd6efcdab9078563412", "fd7bbfa9fd030091f30b00f9f3030091", "detour: a jump was put there"],
  ["arm64", "100000901002009100021fd6", "fd7bbfa9fd030091f30b00f9", "detour: a jump was put there"],
  ["arm64", "5f2403d500010014", "3f2303d5fd7bbfa9", "detour: a jump was put there"],
  ["arm64", "f1ff9fd220023fd6", "fd7bbfa9fd030091", "detour: a call was put there"],
  // ret; mov w0, #1 + ret; mov x0, xzr + ret
  ["arm64", "c0035fd6", "fd7bbfa9", "patch: it returns at once"],
  ["arm64", "20008052c0035fd6", "fd7bbfa9fd030091", "patch: it returns at once"],
  ["arm64", "e0031faac0035fd6", "fd7bbfa9fd030091", "patch: it returns at once"],
  ["arm64", "1f2003d5", "fd7bbfa9", "patch"],
];

describe("a change of code is taken for", () => {
  for (const [machine, found, expected, taken] of PATCHES) {
    it(`${machine ?? "unknown"}: ${found} instead of ${expected}: ${taken}`, () => {
      const { technique, says } = classifyPatch({ length: found.length / 2, found, expected }, machine);
      assert.equal(says === undefined ? technique : `${technique}: ${says}`, taken);
    });
  }

  it("of which not all is known, never a breakpoint, a bit or nothing", () => {
    const known = (byte: string, was: string) => ({ length: 33, found: byte.repeat(32), expected: was.repeat(32) });
    for (const change of [
      known("cc", "55"),
      { ...known("00", "00"), found: `01${"00".repeat(31)}` },
      known("90", "55"),
    ])
      assert.deepEqual(classifyPatch(change, X64), { technique: "patch" });
  });
});
