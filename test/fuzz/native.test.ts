import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
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
  run(t, "native_fuzz", SOURCES, [], ITERATIONS);
});

test("what finds no memory on its way to JavaScript is told later, or counted; what is told is whole", (t) => {
  run(t, "memory_fuzz", [...SOURCES, "gate_told.c"], ["-Wl,--wrap=realloc"], 20_000);
});

/** Compiles a fuzzer of this folder with these files of native/, and runs it. */
function run(t: TestContext, name: string, sources: readonly string[], flags: readonly string[], iterations: number) {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const program = join(folder, name);
  const native = join(root, "native");
  const files = [join(root, "test", "fuzz", `${name}.c`), ...sources.map((source) => join(native, source))];
  const compiled = spawnSync(process.env["CC"] ?? "gcc", [...FLAGS, ...flags, "-I", native, "-o", program, ...files], {
    encoding: "utf8",
  });
  assert.equal(compiled.status, 0, `${compiled.error?.message ?? ""}${compiled.stderr}`);
  const seed = process.env["RIMON_FUZZ_SEED"] ?? String(Date.now());
  const ran = spawnSync(program, [String(iterations), seed], { encoding: "utf8", timeout: 120_000 });
  assert.equal(ran.status, 0, `run it again with RIMON_FUZZ_SEED=${seed}\n${ran.signal ?? ""}${ran.stderr}`);
}
