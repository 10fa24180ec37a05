// node load-addon.mjs RIMON FILES DRILL: loads them here and in a worker thread; prints what a scan of /proc by the first
// gave, that the second walks and that the last has a secret.

import { createRequire } from "node:module";
import { Worker, isMainThread, parentPort } from "node:worker_threads";

const require = createRequire(import.meta.url);
const [addon, files, drill] = process.argv.slice(2).map((path) => require(path));
const procfs = addon.openProcfs();
const batch = await procfs.scan(0b1111111, new Uint32Array([process.pid]));
procfs.close();
const text = (each) => Buffer.from(`${each}\0`);
const walking = files.openFileWalk(text("/bin"), text(" /"), BigUint64Array.of(0n, 1n, 1n << 40n, 0n, 0n));
const walked = (await walking.next(Buffer.alloc(0))).length;
walking.close();
const scan = Buffer.from(batch).toString("base64");

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) });
  const workerScan = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  const { pid, version, arch } = process;
  console.log(
    JSON.stringify({
      pid,
      version,
      arch,
      recordVersion: addon.recordVersion,
      scan,
      workerScan,
      walked,
      secretBytes: drill.attack.secret().bytes.length,
    }),
  );
} else {
  parentPort.postMessage(scan, []);
}
