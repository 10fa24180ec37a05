// The rule of dependency: imports run toward the words. Checked on what the files of src/ really import.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const MAX_LINES = 500;

interface Import {
  readonly from: string;
  /** A file of src/, or the name of a package or builtin. */
  readonly to: string;
  readonly ours: boolean;
  /** Only types: nothing is loaded. */
  readonly types: boolean;
}

const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .toSorted();
const imports = files.flatMap(importsOf);

function textOf(file: string): string {
  return readFileSync(join(root, "src", file), "utf8");
}

function importsOf(from: string): Import[] {
  const found: Import[] = [];
  const statement =
    /^(?:import|export)\s+(type\s)?(?:[^;"']*?\sfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/gm;
  for (const [, type, fixed, lazy] of textOf(from).matchAll(statement)) {
    const name = fixed ?? lazy ?? "";
    const ours = name.startsWith(".");
    found.push({ from, to: ours ? normalize(join(dirname(from), name)) : name, ours, types: type !== undefined });
  }
  return found;
}

/** The words everything else is said in: pure, and they know only each other. */
const WORDS = new Set(
  ["errors", "observation", "observation-shape", "finding", "configuration", "protection", "known-holders"]
    .concat([
      "known-debuggers",
      "known-managers",
      "program-executed",
      "mountinfo",
      "record",
      "state",
      "identifier",
      "package",
      "isolation-changed",
      "baseline-refused",
      "state-changed",
      "exec-judged",
      "file-changed",
      "file-touched",
    ])
    .map((name) => `${name}.ts`),
);
/** Where the stages meet. */
const SPINE = new Set(
  ["index", "monitor", "analysis", "rehearsal", "rimon", "answering", "survey", "replay"].map((name) => `${name}.ts`),
);

/** What is made of the whole. */
const ABOVE = new Set(["cli", "drill", "bench"]);

const folderOf = (file: string): string => (file.includes("/") ? file.slice(0, file.indexOf("/")) : file);

interface Rule {
  /** Files and folders of ours, besides its own folder. */
  readonly ours: readonly string[];
  /** Builtins and packages; "node:*" for every builtin. */
  readonly others: readonly string[];
}

const NODE = "node:*";
const RULES: Readonly<Record<string, Rule>> = {
  detectors: { ours: ["words"], others: [] },
  policy: { ours: ["words"], others: ["yaml", "zod"] },
  "function-map": { ours: ["words"], others: [] },
  baselines: { ours: ["words"], others: ["node:crypto"] },
  "isolation.ts": { ours: ["words", "baselines", "native.ts", "records.ts"], others: [NODE] },
  "machine.ts": { ours: ["words", "baselines"], others: [NODE] },
  files: { ours: ["words", "baselines", "native.ts", "machine.ts", "named-files.ts", "store"], others: [NODE] },
  sensors: {
    ours: [
      "words",
      "records.ts",
      "native.ts",
      "function-map",
      "baselines",
      "isolation.ts",
      "files",
      "exec-gate.ts",
      "named-files.ts",
      "served-files.ts",
    ],
    others: [NODE],
  },
  responders: { ours: ["words", "native.ts", "store", "served-files.ts"], others: [NODE] },
  "named-files.ts": { ours: ["words", "baselines"], others: [NODE] },
  "served-files.ts": { ours: ["words"], others: [NODE] },
  store: { ours: ["words", "baselines", "machine.ts", "named-files.ts"], others: [NODE] },
  "records.ts": {
    ours: ["words", "record-reader.ts", "record-maps.ts", "record-process.ts", "record-gate.ts"],
    others: [],
  },
  "exec-gate.ts": { ours: ["words", "baselines", "machine.ts", "named-files.ts"], others: [NODE] },
  "record-gate.ts": { ours: ["words", "record-reader.ts"], others: ["node:util"] },
  "record-process.ts": { ours: ["words", "record-reader.ts"], others: [] },
  "record-maps.ts": { ours: ["words", "record-reader.ts"], others: [] },
  "record-reader.ts": { ours: ["words"], others: ["node:os"] },
  "native.ts": { ours: ["errors.ts", "package.ts"], others: ["node:module", "node:path"] },
  "custody.ts": { ours: [], others: [NODE] },
};

function mayImport({ ours, others }: Rule, { from, to, ours: isOurs, types }: Import): boolean {
  if (!isOurs) return others.includes(to) || (to.startsWith("node:") && others.includes(NODE));
  if (folderOf(to) === folderOf(from)) return true;
  if (ours.includes("words") && WORDS.has(to)) return true;
  if (from === "custody.ts" && types && WORDS.has(to)) return true;
  return ours.includes(folderOf(to));
}

const shown = (broken: readonly Import[]): string[] => broken.map(({ from, to }) => `src/${from} imports ${to}`);

describe("imports run toward the words", () => {
  it("words know only words", () => {
    const builtins: Readonly<Record<string, readonly string[]>> = {
      "identifier.ts": ["node:crypto"],
      // It reads package.json.
      "package.ts": ["node:fs", "node:path", "node:url"],
    };
    const broken = imports.filter(
      ({ from, to, ours }) => WORDS.has(from) && (ours ? !WORDS.has(to) : builtins[from]?.includes(to) !== true),
    );
    assert.deepEqual(shown(broken), []);
  });

  for (const [place, rule] of Object.entries(RULES)) {
    it(`${place}: ${[...rule.ours, ...rule.others].join(", ") || "nothing"}`, () => {
      const broken = imports.filter((each) => folderOf(each.from) === place && !mayImport(rule, each));
      assert.deepEqual(shown(broken), []);
    });
  }

  it("only the spine, the command line and the drill know the stages", () => {
    const STAGES = new Set(["detectors", "policy", "sensors", "responders", "store"]);
    const KNOWING = new Set(["cli", "drill", "bench", "serve"]);
    const broken = imports.filter(({ from, to, ours }) => {
      if (!ours || !STAGES.has(folderOf(to)) || folderOf(to) === folderOf(from)) return false;
      if (["responders", "files"].includes(folderOf(from)) && folderOf(to) === "store") return false;
      return !SPINE.has(from) && !KNOWING.has(folderOf(from));
    });
    assert.deepEqual(shown(broken), []);
  });

  it("of these the drill knows no other, and the bench not the command line", () => {
    const known: Readonly<Record<string, readonly string[]>> = { drill: ["drill"], bench: ["bench", "drill"] };
    const broken = imports.filter(
      ({ from, to, ours }) =>
        ours && ABOVE.has(folderOf(to)) && known[folderOf(from)]?.includes(folderOf(to)) === false,
    );
    assert.deepEqual(shown(broken), []);
  });

  it("nothing below imports the spine, the command line, the drill or the bench", () => {
    const broken = imports.filter(({ from, to, ours }) => {
      const above = ABOVE.has(folderOf(to)) || SPINE.has(to);
      return ours && above && !SPINE.has(from) && !ABOVE.has(folderOf(from));
    });
    assert.deepEqual(shown(broken), []);
  });

  it("every file has its place in this rule", () => {
    const placed = (file: string): boolean =>
      WORDS.has(file) || SPINE.has(file) || folderOf(file) in RULES || ABOVE.has(folderOf(file));
    assert.deepEqual(
      files.filter((file) => !placed(file)),
      [],
    );
  });

  it("never in a circle", () => {
    const next = new Map(files.map((file) => [file, imports.filter(({ from, ours }) => ours && from === file)]));
    const done = new Set<string>();
    function walk(file: string, path: readonly string[]): void {
      assert.ok(!path.includes(file), [...path, file].join(" -> "));
      if (done.has(file)) return;
      for (const { to } of next.get(file) ?? []) walk(to, [...path, file]);
      done.add(file);
    }
    for (const file of files) walk(file, []);
  });

  it("of a file that is there", () => {
    assert.deepEqual(shown(imports.filter(({ to, ours }) => ours && !files.includes(to))), []);
  });
});

describe("who may do what", () => {
  const mentioning = (what: RegExp): string[] => files.filter((file) => what.test(textOf(file)));

  it("only native.ts loads a binary", () => {
    assert.deepEqual(mentioning(/node-gyp-build/), ["native.ts"]);
    // The decoy has itself attacked with a library that comes late.
    assert.deepEqual(mentioning(/process\.dlopen/), ["drill/decoy.ts"]);
    assert.deepEqual(mentioning(/createRequire/), ["native.ts"]);
  });

  it("no clock in the pure middle: time comes with the observations", () => {
    const pure =
      /^(?:detectors|policy|function-map|baselines)\/|^(?:analysis|replay|state|finding|protection|known-\w+)\.ts$/;
    const clocks = mentioning(/Date\.now\(|new Date\(\)|performance\.|hrtime|setTimeout|setInterval/);
    assert.deepEqual(
      clocks.filter((file) => pure.test(file)),
      [],
    );
  });
});

it(`no file of ours is longer than ${MAX_LINES} lines`, () => {
  const native = readdirSync(join(root, "native"), { recursive: true, encoding: "utf8" })
    .filter((file) => /\.(?:c|cc|h)$/.test(file) && !file.endsWith(".lskel.h"))
    .map((file) => join("native", file));
  const long = [...files.map((file) => join("src", file)), ...native]
    .map((file) => `${file}: ${readFileSync(join(root, file), "utf8").split("\n").length - 1}`)
    .filter((entry) => Number(entry.slice(entry.lastIndexOf(" "))) > MAX_LINES);
  assert.deepEqual(long, []);
});
