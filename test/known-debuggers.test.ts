// The table against the programs that are installed here: a mark that no program holds finds nothing.

import assert from "node:assert/strict";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { describe, it } from "node:test";
import { debuggerNamed, INTERPRETERS, KNOWN_DEBUGGERS } from "../src/known-debuggers.ts";

const INSTALLED = KNOWN_DEBUGGERS.flatMap(({ name, files, marks }) =>
  files
    .map((file) => `/usr/bin/${file}`)
    .filter((path) => marks !== undefined && !path.includes("*") && existsSync(path))
    .map((path) => ({ name, path: realpathSync(path), marks: marks ?? [] })),
);

describe("marks stand in the program, and in no other that is installed", () => {
  it("gdb and strace are here to be looked into", () => {
    const names = INSTALLED.map(({ name }) => name);
    assert.ok(names.includes("gdb") && names.includes("strace"), `found ${names.join(", ")}; install gdb and strace`);
  });

  for (const { name, path, marks } of INSTALLED) {
    it(`${name} in ${path}`, () => {
      const bytes = readFileSync(path);
      for (const mark of marks) assert.ok(bytes.includes(mark), `${path} does not hold ${JSON.stringify(mark)}`);
      for (const other of KNOWN_DEBUGGERS) {
        if (other.name === name) continue;
        for (const mark of other.marks ?? [])
          assert.ok(!bytes.includes(mark), `${path} holds ${JSON.stringify(mark)} of ${other.name}`);
      }
    });
  }

  it("ordinary programs hold none", () => {
    const ordinary = [process.execPath, "/usr/bin/bash", "/usr/bin/git", "/usr/bin/readelf", "/usr/bin/perl"];
    for (const path of ordinary.filter((each) => existsSync(each))) {
      const bytes = readFileSync(path);
      for (const { name, marks = [] } of KNOWN_DEBUGGERS)
        assert.ok(!marks.some((mark) => bytes.includes(mark)), `${path} would be taken for ${name}`);
    }
  });
});

describe("names", () => {
  for (const [file, name] of [
    ["gdb", "gdb"],
    ["gdb-multiarch", "gdb"],
    ["lldb-19", "lldb"],
    ["perf_6.1", "perf"],
    ["gdbserver", "gdbserver"],
    ["frida-server", "frida"],
    ["pyrasite-memory-viewer", "pyrasite"],
    ["jmap", "JDK memory tools"],
  ] as const) {
    it(`${file} is ${name}`, () => assert.equal(debuggerNamed(file)?.name, name));
  }

  for (const file of ["gdbm_dump", "stracer", "xgdb", "GDB", "", "rrdtool", "editor", "performance", "node"]) {
    it(`${file || "nothing"} is none`, () => assert.equal(debuggerNamed(file), undefined));
  }

  it("each is written once, and no interpreter is one", () => {
    const all = KNOWN_DEBUGGERS.flatMap(({ files }) => files);
    assert.equal(new Set(all).size, all.length);
    assert.deepEqual(
      INTERPRETERS.filter((each) => debuggerNamed(each) !== undefined),
      [],
    );
  });
});
