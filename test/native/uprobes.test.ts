// What the kernel tells of uprobes, each way they can be held, on a file of the test's own.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { requireAddon, type Procfs } from "../../src/native.ts";
import type { UprobeRecord, UprobesRecord } from "../../src/record.ts";
import { decodeRecords } from "../../src/records.ts";
import { startAttack, type Attack } from "../fixtures/attack.ts";
import { functionIn } from "../fixtures/code.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const LIBCRYPTO = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/libcrypto.so.3`;

const library = join(temporaryDirectory("uprobes"), "libcrypto.so.3");
/** A bpffs of its own: the usual one need not be mounted. */
const pins = temporaryDirectory("uprobes-pins");
const pinned = join(pins, "pinned");
let procfs: Procfs;
let target: Target;
let offset: number;

before(async () => {
  execFileSync("mount", ["-t", "bpf", "rimon-test", pins]);
  copyFileSync(LIBCRYPTO, library);
  target = await spawnTarget();
  await target.command(`dlopen ${library}`);
  ({ offset } = functionIn(target.pid, library, "EVP_DecryptUpdate"));
  procfs = requireAddon().addon.openProcfs();
});
after(async () => {
  execFileSync("umount", [pins]);
  await target.stop();
  procfs.close();
});

function isOwn({ path }: UprobeRecord): boolean {
  return path === library;
}

async function read(): Promise<{ probes: UprobeRecord[]; errors: UprobesRecord["errors"] | undefined }> {
  const records = decodeRecords(await procfs.uprobes());
  const last = records.pop();
  assert.ok(last?.kind === "uprobes");
  const probes = records.filter((record) => record.kind === "uprobe").filter(isOwn);
  return { probes, errors: last.errors };
}

function startTimeOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
}

/** Holds a probe, reads, and lets go; undefined if the kernel has no such thing. */
async function readWhile(...how: string[]): Promise<{ attack: Attack; probes: UprobeRecord[] } | undefined> {
  const attack = startAttack("uprobe", [target.pid, library, offset, ...how]);
  const { failed, error } = await attack.next();
  // Of eBPF links without perf events an older kernel, or one built without them, knows nothing.
  if (failed !== undefined && (error === "EOPNOTSUPP" || error === "EINVAL")) return undefined;
  assert.equal(failed, undefined, error);
  const { probes, errors } = await read();
  assert.deepEqual(errors, { descriptors: 0, links: 0, events: 0 });
  const holder = { pid: attack.pid, startTime: startTimeOf(attack.pid) };
  for (const probe of probes) if (probe.holder !== undefined) assert.deepEqual(probe.holder, holder);
  attack.release();
  await attack.exited;
  return { attack, probes };
}

function told(found: Awaited<ReturnType<typeof readWhile>>): unknown[] | undefined {
  return found?.probes.map(({ source, offset: at, returns, holder }) => [
    source,
    at - offset,
    returns,
    holder?.pid === found.attack.pid,
  ]);
}

describe("uprobes", () => {
  it("a perf event with an eBPF program is told with its holder", async () => {
    assert.deepEqual(told(await readWhile("--program")), [["perf", 0, false, true]]);
  });

  it("one without a program is told of by nobody", async () => {
    assert.deepEqual(told(await readWhile()), []);
  });

  it("an eBPF link is told with its holder", async () => {
    assert.deepEqual(told(await readWhile("--link")), [["link", 0, false, true]]);
  });

  it("a link that is pinned is held by nobody", async () => {
    assert.deepEqual(told(await readWhile("--pin", pinned)), [["link", 0, false, false]]);
    rmSync(pinned);
  });

  it("a link on several places is told with each, that they are on the return, and its holder", async () => {
    const found = told(await readWhile("--multi"));
    if (found !== undefined) assert.deepEqual(found, [["link", 0, true, true], ["link", 16, true, true]]); // prettier-ignore
  });

  it("nothing is left of them", async () => {
    assert.deepEqual((await read()).probes, []);
  });
});
