import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { requireAddon, requireDrillAddon } from "../../src/native.ts";
import { exitOf, lineOf, startNode } from "./child.ts";

const { addon, path } = requireAddon();

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

test("two hundred watches and procfs leave no descriptor behind", async () => {
  const round = async () => {
    const procfs = addon.openProcfs();
    const watch = addon.openWatch({ connector: true, files: true }, procfs, () => {});
    watch.markProcfs("/proc");
    watch.watchMounts("/proc/self/mountinfo", 1);
    const scan = procfs.scan(255, Uint32Array.of(process.pid));
    const files = procfs.openFiles(["/nothing"], Uint32Array.of(process.ppid));
    await Promise.all([scan, files, procfs.maps(process.pid)]);
    watch.close();
    watch.close();
    procfs.close();
  };
  await round();
  const before = descriptors();
  for (let i = 0; i < 200; i++) await round();
  // Fewer is the test runner's doing.
  assert.ok(descriptors() <= before);
});

test("twenty walks of the tasks leave no descriptor behind", async () => {
  const round = async () => {
    const procfs = addon.openProcfs();
    await Promise.all([procfs.walk(255), procfs.walk(0)]);
    procfs.close();
  };
  await round();
  const before = descriptors();
  for (let i = 0; i < 20; i++) await round();
  assert.ok(descriptors() <= before);
});

test("what only a start needed is given back, and the program goes on", async (t) => {
  const child = startNode(
    t,
    `const { readFileSync } = require("node:fs");
     const residentOf = () => Number(/^RssFile:\\s+(\\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1]);
     const [before] = [residentOf(), addon.giveBack()];
     const after = residentOf();
     // Relocated tables, code and constants are where they were.
     new Intl.DateTimeFormat("de", { dateStyle: "full" }).format(new Date(0));
     for (const name of require("node:module").builtinModules) require(name);
     addon.openProcfs().close();
     console.log(after < before ? "less" : "as much: " + after + " of " + before);`,
  );
  assert.equal(await lineOf(child), "less");
  assert.deepEqual(await exitOf(child), { code: 0, signal: null });
});

test("a procfs that is closed first serves its watch to the end", async (t) => {
  const procfs = addon.openProcfs();
  const batches: Buffer[] = [];
  const watch = addon.openWatch({ connector: true, files: false }, procfs, (batch) => batches.push(batch));
  t.after(() => watch.close());
  procfs.close();
  const child = startNode(t, "");
  await exitOf(child);
  assert.equal(watch.status().connector.live, true);
});

test("what is forgotten is collected", async (t) => {
  const script = `
    const fs = require("fs");
    const count = () => fs.readdirSync("/proc/self/fd").length;
    addon.openProcfs().close();
    const before = count();
    for (let i = 0; i < 50; i++) addon.openProcfs();
    (async () => {
      for (let i = 0; count() > before && i < 1000; i++) { gc(); await new Promise(setImmediate); }
      console.log(count() - before);
    })();`;
  assert.equal(await lineOf(startNode(t, script, {}, ["--expose-gc"])), "0");
});

test("a watch nobody holds goes on until it is closed, through collections", async (t) => {
  const script = `
    const { execFile } = require("child_process");
    let seen = 0;
    (() => { globalThis.close = (watch => () => watch.close())(addon.openWatch({ connector: true, files: false }, addon.openProcfs(), () => seen++)); })();
    const loop = (n) => { gc(); if (n === 0) { console.log(seen > 0); globalThis.close(); } else execFile("true", () => loop(n - 1)); };
    loop(5);`;
  const child = startNode(t, script, {}, ["--expose-gc"]);
  assert.equal(await lineOf(child), "true");
  assert.deepEqual(await exitOf(child), { code: 0, signal: null });
});

test("process.exit in the middle of everything", async (t) => {
  const script = `
    const procfs = addon.openProcfs();
    const watch = addon.openWatch({ connector: true, files: true }, procfs, () => {});
    watch.markProcfs("/proc");
    for (let i = 0; i < 50; i++) { procfs.scan(255); procfs.openFiles(["/mem"]); procfs.maps(1).catch(() => {}); }
    for (let i = 0; i < 5; i++) require("child_process").spawn("true");
    setTimeout(() => process.exit(3), DELAY);`;
  for (const delay of ["0", "3", "20"]) {
    assert.deepEqual(await exitOf(startNode(t, script.replace("DELAY", delay))), { code: 3, signal: null });
  }
});

async function runWorker(t: TestContext, script: string): Promise<{ worker: Worker; message: unknown }> {
  const worker = new Worker(
    `const { parentPort } = require("worker_threads");
     const addon = require(${JSON.stringify(path)});
     ${script}`,
    { eval: true, execArgv: [] },
  );
  t.after(() => worker.terminate());
  const [message] = (await once(worker, "message")) as [unknown];
  return { worker, message };
}

test("workers have instances of their own, end by themselves or are ended", async (t) => {
  const open = `
    const procfs = addon.openProcfs();
    const watch = addon.openWatch({ connector: true, files: true }, procfs, () => {});
    const told = procfs.scan(255).then((batch) => parentPort.postMessage(batch.length > 0));`;
  const before = descriptors();
  for (let i = 0; i < 5; i++) {
    const closing = await runWorker(t, `${open} told.then(() => { watch.close(); procfs.close(); });`);
    assert.equal(closing.message, true);
    await once(closing.worker, "exit");
    const terminated = await runWorker(t, open);
    assert.equal(terminated.message, true);
    await terminated.worker.terminate();
    const inMidScan = await runWorker(t, `parentPort.postMessage("started"); ${open} procfs.scan(255);`);
    assert.equal(inMidScan.message, "started");
    await inMidScan.worker.terminate();
  }
  assert.ok(descriptors() <= before + 2, "the event loop itself may keep one or two");
});

test("arguments that make no sense are refused, whoever calls", () => {
  const methods = addon as unknown as Record<string, (...args: unknown[]) => unknown>;
  assert.throws(() => methods["openWatch"]?.(), TypeError);
  assert.throws(() => methods["openWatch"]?.({}, {}, () => {}), /must be one that openProcfs gave/);
  assert.throws(() => methods["signalProcess"]?.("1", 2, 3), /pid must be a number/);
  assert.throws(() => methods["signalProcess"]?.(1, 2 ** 60, 3), /startTime must be a whole number/);
  assert.throws(() => requireDrillAddon().attack.processVmReadv(1, -1n, 8), /address must be a bigint/);
  assert.throws(() => requireDrillAddon().attack.processVmReadv(1, 1n, 2 ** 21), /length must be at most 1 MiB/);
});
