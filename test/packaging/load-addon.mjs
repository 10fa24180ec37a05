// node load-addon.mjs ADDON: loads it here and in a worker thread, and prints what a scan of /proc by it gave.

import { createRequire } from "node:module";
import { Worker, isMainThread, parentPort } from "node:worker_threads";

const addon = createRequire(import.meta.url)(process.argv[2]);
const procfs = addon.openProcfs();
const batch = await procfs.scan(0b1111111, new Uint32Array([process.pid]));
procfs.close();
const scan = Buffer.from(batch).toString("base64");

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) });
  const workerScan = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  const { pid, version, arch } = process;
  console.log(JSON.stringify({ pid, version, arch, recordVersion: addon.recordVersion, scan, workerScan }));
} else {
  parentPort.postMessage(scan, []);
}
