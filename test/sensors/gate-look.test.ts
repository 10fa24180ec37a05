// What ran though the exec gate was not asked. Nothing is marked here but a tmpfs of the test's own, whatever the settings say.

import assert from "node:assert/strict";
import { readFileSync, readlinkSync } from "node:fs";
import { test, type TestContext } from "node:test";
import type { GateSettings } from "../../src/configuration.ts";
import { WANT } from "../../src/native.ts";
import type { ProcessSeen } from "../../src/observation.ts";
import { decodeRecords } from "../../src/records.ts";
import { createGateLook, type KnownMount, type Looked } from "../../src/sensors/gate-look.ts";
import { tellsLayers } from "../../src/sensors/gate-mounts.ts";
import { mountsIn } from "../../src/mountinfo.ts";
import { compile } from "../fixtures/compile.ts";
import { knowing, openGate, sha256Of, tmpfs } from "../fixtures/gate.ts";
import { lineOf, start, until } from "../native/child.ts";
import { createContext } from "./context.ts";

const NOW = Date.now();
const SETTINGS = {
  mounts: [{ path: "/", mode: "enforce", opens: false, below: true }],
  maxBytes: 2 ** 28,
  upgrade: { by: [], marker: "/none", atMostMs: 1_000 },
} as unknown as GateSettings;

/** A process whose executable lies where only it has it. */
async function running(t: TestContext, way: "tmpfs" | "detached", folder: string): Promise<ProcessSeen> {
  const program = compile("gate-newmount");
  // What rimon itself starts is spared: there is a shell in between, and it ends with that.
  const script = 'setpriv --pdeathsig KILL "$@" >/dev/null & echo $!; wait';
  const shell = start(t, "sh", ["-c", script, "sh", program, way, folder, compile("sleeper"), "0"]);
  const pid = Number(await lineOf(shell));
  const exe = () => readlinkSync(`/proc/${pid}/exe`);
  await until("it to run", () => (exe().endsWith("/evil") ? true : undefined));
  const context = createContext();
  t.after(() => context.close());
  const batch = await context.procfs.scan(WANT.status | WANT.exe | WANT.cmdline | WANT.namespaces, Uint32Array.of(pid));
  const [record] = decodeRecords(batch);
  assert.ok(record?.kind === "process");
  return { kind: "process.seen", at: NOW, sensor: "exec", by: "exec", process: record.process };
}

function lookedAt(
  t: TestContext,
  folder: string,
  { process: { pid } }: ProcessSeen,
  known: readonly string[],
  since?: number,
): Looked {
  const { gate } = openGate(t, folder, knowing(...known));
  const mounts: KnownMount[] = mountsIn(readFileSync(`/proc/${pid}/mountinfo`, "utf8")).map((each) => ({
    ...each,
    foreign: false,
    pid,
    namespace: 5,
  }));
  return {
    gate,
    settings: SETTINGS,
    interpreters: [],
    openedTicks: 0,
    mount: (id) => mounts.find((each) => each.id === id),
    mounts: () => mounts,
    ownNamespace: 0,
    marked: () => (since === undefined ? undefined : { since, mode: "enforce", opens: false }),
    lineage: () => [],
    isUpgrade: false,
    tellsLayers: true,
  };
}

test("a program on a mount that is in no mount table is told, and not read", async (t) => {
  const folder = tmpfs(t);
  const seen = await running(t, "detached", folder);
  const looks = createGateLook();
  const looked = lookedAt(t, folder, seen, []);
  const told = looks.look(seen, looked);
  assert.deepEqual(
    told.map(({ reason, path, denied, mode, sha256 }) => ({ reason, path, denied, mode, sha256 })),
    [{ reason: "unmarked", path: "/evil", denied: false, mode: "enforce", sha256: undefined }],
  );
  assert.deepEqual(looks.look(seen, looked), [], "once");
});

test("a program on a file system that was marked a moment ago, or not at all, is judged after", async (t) => {
  const folder = tmpfs(t);
  const seen = await running(t, "tmpfs", folder);
  const digest = sha256Of(compile("sleeper"));
  for (const [since, known, expected] of [
    [undefined, [], [["rule", digest]]],
    [NOW - 10, [], [["rule", digest]]],
    [NOW - 60_000, [], []],
    [undefined, [digest], []],
  ] as const) {
    const told = createGateLook().look(seen, lookedAt(t, folder, seen, known, since));
    assert.deepEqual(
      told.map(({ reason, sha256 }) => [reason, sha256]),
      expected,
      `${since} ${known.length}`,
    );
  }
});

test("a program on an overlay of another user namespace is told where its layers have no events", async (t) => {
  const folder = tmpfs(t);
  const seen = await running(t, "tmpfs", folder);
  const looked = lookedAt(t, folder, seen, []);
  const mount: Looked["mount"] = (id, again) => {
    const known = looked.mount(id, again);
    return known && { ...known, type: "overlay", foreign: true };
  };
  const told = (kernel: string) =>
    createGateLook()
      .look(seen, { ...looked, mount, tellsLayers: tellsLayers(kernel) })
      .map(({ reason, denied, sha256 }) => ({ reason, denied, sha256 }));
  const unmarked = [{ reason: "unmarked", denied: false, sha256: undefined }];
  for (const kernel of ["5.10.0-30-amd64", "6.4.16", "of somebody's own"])
    assert.deepEqual(told(kernel), unmarked, kernel);
  for (const kernel of ["6.5.0", "6.12.9-arm64", "7.0-rc1"]) assert.deepEqual(told(kernel), [], kernel);
});
