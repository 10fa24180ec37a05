// rimon itself as a target: what it gives away of itself and of those it protects. Nothing.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { chownSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { attack } from "../fixtures/attack.ts";
import { Child, startProgram } from "../fixtures/child.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { startReceiver, type Receiver } from "../fixtures/receiver.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { until } from "../native/child.ts";
import { attachAlerted, attachFound, DEADLINE_MS, isOutcomeOf, waitForTrouble } from "./attach.ts";

const NOBODY = 65534;
/** capabilities(7) */
const CAP = {
  dac_override: 1,
  dac_read_search: 2,
  kill: 5,
  net_admin: 12,
  sys_ptrace: 19,
  sys_admin: 21,
  sys_nice: 23,
  sys_rawio: 17,
  syslog: 34,
} as const;
const ENVIRONMENT_VALUE = `never-to-be-told-${randomBytes(16).toString("hex")}`;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let target: Target;
let receiver: Receiver;
let rimon: Monitor;

before(async () => {
  target = await spawnTarget({ env: { SECRET: ENVIRONMENT_VALUE } });
  receiver = await startReceiver();
  rimon = startRimon({
    config: `
protect: ["pid:${target.pid}"]
alerts: { clusterAdmins: [{ webhook: { url: "${receiver.url}" } }] }
`,
  });
  await rimon.ready;
});

after(async () => {
  await rimon?.kill9();
  await receiver?.close();
  await target?.stop();
});

function statusOf(path: string): ReadonlyMap<string, string> {
  const lines = readFileSync(path, "utf8").split("\n");
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
}

const bits = (...names: readonly (keyof typeof CAP)[]): bigint =>
  names.reduce((sum, name) => sum | (1n << BigInt(CAP[name])), 0n);

function capabilitiesOf(pid: number): ReadonlySet<bigint> {
  const found = new Set<bigint>();
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const status = statusOf(`/proc/${pid}/task/${tid}/status`);
    for (const set of ["CapPrm", "CapEff", "CapBnd"]) found.add(BigInt(`0x${status.get(set)}`));
    assert.equal(BigInt(`0x${status.get("CapAmb")}`), 0n);
  }
  return found;
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

async function gdb(pid: number, uid?: number): Promise<string> {
  const child = new Child("gdb", ["-nx", "-batch", "-p", String(pid), "-ex", "detach"], {
    lastSignal: "SIGTERM",
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  await child.exited;
  return [...child.lines.items, child.stderr].join("\n");
}

test("every thread holds only the capabilities that are needed", async (t) => {
  const needed = bits(
    "dac_override",
    "dac_read_search",
    "net_admin",
    "sys_ptrace",
    "sys_admin",
    "sys_nice",
    "sys_rawio",
    "syslog",
  );
  assert.deepEqual([...capabilitiesOf(rimon.pid)], [needed]);

  const killing = startRimon({
    config: `
protect: ["pid:${target.pid}"]
actions: { kill-suspect: { enabled: true, scope: ["pid:${target.pid}"] } }
`,
  });
  t.after(() => killing.kill9());
  await killing.ready;
  assert.deepEqual([...capabilitiesOf(killing.pid)], [needed | bits("kill")]);
  assert.equal(await killing.stop(), 0);
});

test("its watch goes before ordinary work", async () => {
  // Not while it has more to do than half a processor can, as it may have had at its start.
  await until("the watch to go first", () => {
    const policies = readdirSync(`/proc/${rimon.pid}/task`).flatMap((tid) => {
      const stat = readFileSync(`/proc/${rimon.pid}/task/${tid}/stat`, "latin1");
      return stat.includes("(rimon-watch)") ? [stat.slice(stat.lastIndexOf(")") + 2).split(" ")[38]] : [];
    });
    return policies.join() === "1" || undefined; // SCHED_FIFO, sched(7)
  });
});

test("it leaves no core file", () => {
  assert.match(readFileSync(`/proc/${rimon.pid}/limits`, "utf8"), /^Max core file size +0 +0 /m);
});

test("a user cannot attach to the rimon it runs itself", async (t) => {
  const stateDirectory = temporaryDirectory("state");
  chownSync(stateDirectory, NOBODY, NOBODY);
  const own = startProgram(main, ["run", "--json", "--protect", `uid:${NOBODY}`], {
    env: { RIMON_STATE_DIR: stateDirectory },
    uid: NOBODY,
    gid: NOBODY,
  });
  t.after(() => own.stop("SIGKILL"));
  await own.lines.waitFor((line) => line.includes('"type":"ready"'), DEADLINE_MS, "a ready record");
  assert.match(await gdb(own.pid, NOBODY), /Operation not permitted/);
  const cores = temporaryDirectory("cores");
  chownSync(cores, NOBODY, NOBODY);
  const gcore = new Child("gcore", ["-o", join(cores, "core"), String(own.pid)], { uid: NOBODY, gid: NOBODY });
  assert.notEqual((await gcore.exited).code, 0);
  assert.deepEqual(readdirSync(cores), []);
  assert.deepEqual(await own.stop("SIGTERM"), { code: 0, signal: null });
});

test("root that attaches to rimon is found", async () => {
  assert.match(await gdb(rimon.pid), /detached/);
  const finding = await rimon.waitForFinding("ptrace-attach", DEADLINE_MS, (found) => found.target?.pid === rimon.pid);
  assert.equal(finding.suspect?.comm, "gdb");
  assert.equal(finding.severity, "critical");
});

test("SIGUSR1 opens no inspector and is told", async () => {
  process.kill(rimon.pid, "SIGUSR1");
  const finding = await waitForTrouble(rimon, /SIGUSR1/);
  assert.equal(finding.severity, "high");
  assert.equal(finding.technique, "inspector-trouble");
  assert.deepEqual(listening(rimon.pid), []);
  assert.doesNotMatch(rimon.stderr, /Debugger listening/);
});

/** The TCP addresses a process listens on, as /proc/net/tcp has them. */
function listening(pid: number): string[] {
  const inodes = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined) inodes.add(inode);
    } catch {
      // Closed meanwhile.
    }
  }
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode]) => state === "0A" && inode !== undefined && inodes.has(inode))
      .map(([, address]) => address ?? ""),
  );
}

test("neither its signing key nor an environment value of a target is in anything it says or writes", async () => {
  const { finding } = await attachAlerted(rimon, target);
  const captured = await rimon.waitFor(isOutcomeOf(finding.id, "capture"), DEADLINE_MS, "a capture");
  assert.equal(captured.result, "done", captured.message);
  await attachFound(rimon, target);
  const read = await attack("mem", { pid: `/proc/${target.pid}/environ`, address: "0", length: 4096 });
  assert.ok(read.hex?.includes(Buffer.from(ENVIRONMENT_VALUE).toString("hex")), "the attacker got it");
  const environ = await rimon.waitForFinding("environ-read", DEADLINE_MS, (found) => found.target?.pid === target.pid);
  await receiver.waitFor(({ body }) => body.includes(environ.id), DEADLINE_MS, "its alert");
  const keyFile = join(rimon.stateDirectory, "audit.key");
  const keyLines = readFileSync(keyFile, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("-----"));
  assert.ok(keyLines.length > 0);
  assert.equal(await rimon.stop(), 0);

  const files = filesBelow(rimon.stateDirectory).filter((file) => file !== keyFile);
  assert.ok(files.some((file) => file.startsWith(join(rimon.stateDirectory, "captures"))));
  const places: [string, string][] = files.map((file) => [file, readFileSync(file, "latin1")]);
  places.push(["standard output", [JSON.stringify(rimon.records), ...rimon.strayLines].join("\n")]);
  places.push(["standard error", rimon.stderr]);
  places.push(["alerts", receiver.received.map(({ body }) => body).join("\n")]);
  // The PEM body of PKCS #8 begins alike for every Ed25519 key; the secret is what follows.
  const secrets = [ENVIRONMENT_VALUE, ...keyLines.map((line) => line.slice(-40))];
  for (const [place, content] of places)
    for (const secret of secrets) assert.ok(!content.includes(secret), `${place} holds a secret`);
});
