// The addons for every Node from 20 on, and those for arm64: each loads what ships and scans a process with it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ADDONS, prebuiltPath } from "../../scripts/native-source.mjs";
import { RECORD_VERSION } from "../../src/native.ts";
import { decodeRecords } from "../../src/records.ts";
import { installedNode } from "./nodes.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const script = fileURLToPath(new URL("load-addon.mjs", import.meta.url));
const DEADLINE_MS = 60_000;

/** Where Debian's cross compiler has the libraries of arm64. */
const ARM64_ROOT = "/usr/aarch64-linux-gnu";

const LINES = ["20.20.2", "22.23.3", "24.21.0", "26.10.0"];

interface Loaded {
  readonly pid: number;
  readonly version: string;
  readonly arch: string;
  readonly recordVersion: number;
  readonly scan: string;
  readonly workerScan: string;
  readonly walked: number;
  readonly secretBytes: number;
}

async function loadWith(command: readonly string[], arch: string): Promise<Loaded> {
  const [program = "", ...args] = [...command, script, ...ADDONS.map((addon) => prebuiltPath(root, arch, addon))];
  const { stdout } = await promisify(execFile)(program, args, { timeout: DEADLINE_MS, killSignal: "SIGKILL" });
  return JSON.parse(stdout) as Loaded;
}

function assertScanned({ pid, recordVersion, scan, workerScan, walked, secretBytes }: Loaded): void {
  assert.ok(walked > 0);
  assert.equal(secretBytes, 32);
  assert.equal(recordVersion, RECORD_VERSION);
  for (const batch of [scan, workerScan]) {
    const records = decodeRecords(Buffer.from(batch, "base64"));
    const process = records.find((record) => record.kind === "process")?.process;
    assert.equal(process?.pid, pid);
    assert.ok(process.startTime > 0);
    assert.ok(process.cmdline?.includes(script), JSON.stringify(process.cmdline));
    assert.ok((process.threads ?? 0) > 1);
  }
}

describe(`the prebuilt addon for ${process.arch}`, () => {
  for (const version of LINES) {
    it(`scans under Node ${version}`, async () => {
      const loaded = await loadWith([installedNode(process.arch, version)], process.arch);
      assert.equal(loaded.version, `v${version}`);
      assertScanned(loaded);
    });
  }
});

it("the prebuilt addon for arm64 scans on an emulated arm64", async () => {
  const node = installedNode("arm64", "20.20.2");
  const loaded = await loadWith(["qemu-aarch64", "-L", ARM64_ROOT, node], "arm64");
  assert.equal(loaded.arch, "arm64");
  assertScanned(loaded);
});
