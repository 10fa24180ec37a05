import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ITERATIONS = 1_000_000;
const FLAGS =
  "-std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -pthread -fsanitize=address,undefined -fno-sanitize-recover=all".split(
    " ",
  );
const SOURCES = [
  "batch.c",
  "bpf.c",
  "file_events.c",
  "file_folders.c",
  "file_parse.c",
  "file_queue.c",
  "file_rules.c",
  "gate_cache.c",
  "gate_table.c",
  "inflate.c",
  "kallsyms.c",
  "proc_events.c",
  "proc_memory.c",
  "proc_parse.c",
  "proc_text.c",
  "proc_files.c",
  "procfs.c",
  "skeleton.c",
  "tasks.c",
  "uprobes.c",
];

test("no bytes make a parser of native/ read or write out of bounds", (t) => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const program = join(folder, "native_fuzz");
  const native = join(root, "native");
  const compiled = spawnSync(
    process.env["CC"] ?? "gcc",
    [
      ...FLAGS,
      "-I",
      native,
      "-o",
      program,
      join(root, "test", "fuzz", "native_fuzz.c"),
      ...SOURCES.map((source) => join(native, source)),
    ],
    { encoding: "utf8" },
  );
  assert.equal(compiled.status, 0, `${compiled.error?.message ?? ""}${compiled.stderr}`);
  const seed = process.env["RIMON_FUZZ_SEED"] ?? String(Date.now());
  const run = spawnSync(program, [String(ITERATIONS), seed], { encoding: "utf8", timeout: 120_000 });
  assert.equal(run.status, 0, `run it again with RIMON_FUZZ_SEED=${seed}\n${run.signal ?? ""}${run.stderr}`);
});
