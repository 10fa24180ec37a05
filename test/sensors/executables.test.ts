// Debuggers under another name: real ones, copied.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { deviceOf, mountsIn } from "../../src/mountinfo.ts";
import type { ObservationOf, Process } from "../../src/observation.ts";
import { createExecutables } from "../../src/sensors/executables.ts";
import { compile } from "../fixtures/compile.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { start, until } from "../native/child.ts";
import { createContext } from "./context.ts";

function running(path: string): ObservationOf<"process.seen"> {
  const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
  // A pid beyond the greatest: the process is gone, the file is not.
  const process: Process = {
    pid: 4_194_304,
    startTime: 1,
    parentPid: 1,
    comm: "x",
    kernelThread: false,
    exe: path,
    exeFile: { dev: Number(dev), inode: Number(ino), size: Number(size), mtimeNs: String(mtimeNs) },
  };
  return { kind: "process.seen", at: 1, sensor: "s", by: "exec", process };
}

function identify(paths: readonly string[], hashed: readonly string[] = []) {
  return identified(paths.map(running), hashed);
}

async function identified(seen: readonly ObservationOf<"process.seen">[], hashed: readonly string[] = []) {
  const context = createContext();
  const sensor = createExecutables(context, () => hashed);
  await sensor.start();
  for (const each of seen) sensor.notice?.(each);
  await sensor.settled?.();
  await sensor.stop();
  context.close();
  return context.of("executable.identified");
}

describe("a debugger by another name", () => {
  const DEBUGGERS = ["gdb", "strace", "perf", "ltrace", "gdbserver"].filter((name) => existsSync(`/usr/bin/${name}`));
  for (const name of DEBUGGERS) {
    it(name, async () => {
      const copy = join(temporaryDirectory("copy"), "innocent");
      // perf is a script that runs the perf of this kernel in some distributions.
      copyFileSync(realpathSync(`/usr/bin/${name}`), copy);
      const [found] = await identify([copy]);
      assert.equal(found?.path, copy);
      assert.deepEqual(found.traits.marks, [name]);
    });
  }
});

/** As the process table has one that runs. */
function alive(pid: number): ObservationOf<"process.seen"> {
  const seen = running(`/proc/${pid}/exe`);
  return { ...seen, process: { ...seen.process, pid, exe: readlinkSync(`/proc/${pid}/exe`) } };
}

describe("a file system without a device of its own", () => {
  it("an overlay of several, whose files stat says to be on another superblock than they are", async (t) => {
    const folder = temporaryDirectory("overlay");
    const at = (name: string): string => join(folder, name);
    for (const name of ["lower", "upper", "root"]) mkdirSync(at(name));
    const mount = (...args: string[]): void => {
      execFileSync("mount", args);
      t.after(() => execFileSync("umount", ["-l", args.at(-1) ?? ""]));
    };
    mount("-t", "tmpfs", "rimon-test", at("lower"));
    mount("-t", "tmpfs", "rimon-test", at("upper"));
    for (const name of ["upper/files", "upper/work"]) mkdirSync(at(name));
    copyFileSync("/usr/bin/strace", at("lower/innocent"));
    const options = `lowerdir=${at("lower")},upperdir=${at("upper/files")},workdir=${at("upper/work")},xino=off`;
    mount("-t", "overlay", "-o", options, "overlay", at("root"));
    const child = start(t, at("root/innocent"), ["-o", "/dev/null", "cat"]);
    const seen = alive(await until("the program", () => (readlinkSync(`/proc/${child.pid}/exe`) === at("root/innocent") ? child.pid : undefined))); // prettier-ignore
    // Else this proves nothing.
    const devices = mountsIn(readFileSync("/proc/self/mountinfo", "utf8")).map(({ device }) => device);
    assert.ok(!devices.includes(deviceOf(seen.process.exeFile?.dev ?? 0)));
    const [found] = await identified([seen]);
    assert.deepEqual(found?.traits.marks, ["strace"]);
  });

  it("a memfd, which is mounted nowhere", async (t) => {
    const script = `import os, sys
fd = os.memfd_create("innocent")
os.write(fd, open("/usr/bin/strace", "rb").read())
os.execve(fd, ["innocent", "-o", "/dev/null", "cat"], os.environ)`;
    const child = start(t, "python3", ["-c", script]);
    const exe = "/memfd:innocent (deleted)";
    await until("the program", () => readlinkSync(`/proc/${child.pid}/exe`) === exe || undefined);
    const [found] = await identified([alive(child.pid)]);
    assert.deepEqual(found?.traits.marks, ["strace"]);
  });
});

describe("what a file is", () => {
  it("an own dumper is told by its imports", async () => {
    const [found] = await identify([compile("readv")]);
    assert.deepEqual(found?.traits.marks, []);
    assert.ok(found.traits.imports.includes("process_vm_readv"));
  });

  it("an ordinary program has no traits, and neither has a script", async () => {
    const script = join(temporaryDirectory("script"), "script");
    writeFileSync(script, "#!/bin/sh\n# GNU gdb %s%s\n");
    for (const path of ["/usr/bin/ls", realpathSync("/usr/bin/bash"), script]) {
      const [found] = await identify([path]);
      assert.deepEqual([path, found?.traits], [path, { imports: [], needed: [], marks: [] }]);
    }
  });

  it("is told once per file", async () => {
    assert.equal((await identify(["/usr/bin/ls", "/usr/bin/ls"])).length, 1);
  });

  it("is told anew when the file was written", async () => {
    const path = join(temporaryDirectory("rewritten"), "program");
    copyFileSync("/usr/bin/ls", path);
    const context = createContext();
    const sensor = createExecutables(context, () => []);
    sensor.notice?.(running(path));
    await sensor.settled?.();
    copyFileSync("/usr/bin/strace", path);
    sensor.notice?.(running(path));
    await sensor.settled?.();
    assert.deepEqual(
      context.of("executable.identified").map(({ traits }) => traits.marks),
      [[], ["strace"]],
    );
    context.close();
  });

  it("cannot be told of a file that is gone, which is no trouble", async () => {
    const seen = running("/usr/bin/ls");
    const context = createContext();
    const sensor = createExecutables(context, () => []);
    sensor.notice?.({ ...seen, process: { ...seen.process, exe: "/nowhere/at/all" } });
    await sensor.settled?.();
    assert.deepEqual(context.of("executable.identified"), []);
    context.close();
  });
});

describe("the hash of an exception's file", () => {
  const sha256 = createHash("sha256").update(readFileSync("/usr/bin/ls")).digest("hex");

  it("is there before it runs", async () => {
    const [found] = await identify([], ["/usr/bin/ls"]);
    assert.equal(found?.sha256, sha256);
  });

  it("is not read of any other file, and a missing one is no trouble", async () => {
    const found = await identify(["/usr/bin/cat"], ["/nowhere/at/all"]);
    assert.deepEqual(
      found.map(({ sha256 }) => sha256),
      [undefined],
    );
  });
});
