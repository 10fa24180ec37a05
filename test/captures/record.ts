// Makes the captures anew:  node --import tsx test/captures/record.ts [NAME...]   as root, on a Linux node.
// Each is a real act against a process called "vault", recorded by a real rimon and cut down to what concerns that act.

import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Observation, Process } from "../../src/observation.ts";
import { startAttack } from "../fixtures/attack.ts";
import { Child } from "../fixtures/child.ts";
import { functionIn } from "../fixtures/code.ts";
import { compile } from "../fixtures/compile.ts";
import { startRimon } from "../fixtures/monitor.ts";
import { spawnTarget, type Target, type TargetOptions } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { replayed, summaryOf } from "./replayed.ts";

const NAME = "vault";
const ANSWER_MS = 20_000;
/** Whatever follows an act by polling has followed by then. */
const AFTERMATH_MS = 2_500;
/** Code that appears later than this does not belong to the start. */
const SETTLED_MS = 4_500;
const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));
const CORE_PATTERN = "/proc/sys/kernel/core_pattern";
const folder = fileURLToPath(new URL(".", import.meta.url));

interface Scene {
  readonly kind: "attacks" | "quiet";
  readonly name: string;
  readonly target?: TargetOptions;
  /** Before rimon starts. */
  readonly stage?: (target: Target) => Promise<() => Promise<unknown>>;
  readonly settle?: boolean;
  readonly act: (target: Target) => Promise<unknown>;
}

const attack = (program: string, args: (target: Target) => readonly (string | number)[], output = program) => {
  return async (target: Target): Promise<void> => {
    const started = startAttack(program, args(target), output);
    await started.next();
    await sleep(300);
    await started.end();
  };
};

const command = (file: string, args: (target: Target) => readonly string[]) => async (target: Target) =>
  new Child(file, args(target)).exited;

const SCENES: readonly Scene[] = [
  { kind: "attacks", name: "gdb-attach", act: command("gdb", ({ pid }) => ["-nx", "-batch", "-p", String(pid)]) },
  {
    kind: "attacks",
    name: "gcore",
    act: command("gcore", ({ pid }) => ["-o", join(temporaryDirectory("core"), "core"), String(pid)]),
  },
  {
    kind: "attacks",
    name: "strace-renamed",
    async act({ pid }) {
      const path = join(temporaryDirectory("renamed"), "log-rotator");
      copyFileSync("/usr/bin/strace", path);
      const strace = new Child(path, ["-p", String(pid), "-e", "trace=none"]);
      await sleep(500);
      await strace.stop("SIGTERM");
    },
  },
  { kind: "attacks", name: "seize", act: attack("seize", (t) => [t.pid, t.address, t.length, 2_000]) },
  { kind: "attacks", name: "seize-thread", act: attack("seize", (t) => [t.tids[1]!, t.address, t.length, 2_000]) },
  {
    kind: "attacks",
    name: "proc-mem-dd",
    act: command("dd", (t) => [`if=/proc/${t.pid}/mem`, "of=/dev/null", "bs=1", `skip=${Number(t.address)}`, "count=32"]), // prettier-ignore
  },
  { kind: "attacks", name: "proc-task-mem", act: attack("mem", (t) => [`/proc/${t.pid}/task/${t.tids[1]}/mem`, t.address, t.length, "--hold"]) },
  {
    kind: "attacks",
    name: "proc-mem-held",
    async stage({ pid, address, length }) {
      const holder = startAttack("mem", [pid, address, length, "--hold"]);
      await holder.next();
      return holder.end;
    },
    act: async () => {},
  },
  {
    kind: "attacks",
    name: "proc-mem-other-mount",
    act: command("unshare", ({ pid }) => ["-m", "sh", "-c", `mount -t proc proc /mnt; sleep 0.3; head -c1 /mnt/${pid}/mem`]),
  },
  { kind: "attacks", name: "environ-read", act: command("cat", ({ pid }) => [`/proc/${pid}/environ`]) },
  { kind: "attacks", name: "maps-then-mem", act: command("sh", ({ pid }) => ["-c", `cat /proc/${pid}/maps; head -c1 /proc/${pid}/mem`]) },
  { kind: "attacks", name: "abort", target: { core: 0 }, act: (target) => target.command("raise 6") },
  {
    kind: "attacks",
    name: "core-pattern",
    async act() {
      const original = readFileSync(CORE_PATTERN, "utf8");
      try {
        await new Child("sh", ["-c", `echo '|/tmp/collect %p' > ${CORE_PATTERN}; sleep 0.3`]).exited;
      } finally {
        writeFileSync(CORE_PATTERN, original);
      }
    },
  },
  {
    kind: "attacks",
    name: "rlimit-core",
    target: { core: 0 },
    act: command("prlimit", ({ pid }) => ["--core=unlimited:unlimited", "--pid", String(pid)]),
  },
  { kind: "attacks", name: "coredump-filter", act: command("sh", ({ pid }) => ["-c", `echo 0x7f > /proc/${pid}/coredump_filter; sleep 0.3`]) },
  { kind: "attacks", name: "ld-preload", act: () => restarted({ LD_PRELOAD: compile("preload", { shared: true }) }) },
  { kind: "attacks", name: "ld-audit", act: () => restarted({ LD_AUDIT: compile("audit", { shared: true }) }) },
  { kind: "attacks", name: "late-library", settle: true, act: (target) => target.command(`dlopen ${compile("evil", { shared: true })}`) },
  {
    kind: "attacks",
    name: "code-detour",
    async act({ pid, exe }) {
      const { address } = functionIn(pid, exe, "set_core");
      const patch = startAttack("patch", [pid, address, 5, "e910203040", "ptrace", "--back"]);
      await patch.next();
      await sleep(AFTERMATH_MS);
      patch.release();
      await patch.next();
      await patch.exited;
    },
  },
  { kind: "attacks", name: "writable-code", settle: true, act: (target) => target.command("mprotect") },
  {
    kind: "quiet",
    name: "process-tools",
    async act({ pid }) {
      for (const [file, ...args] of [["ps", "aux"], ["ps", "e"], ["top", "-b", "-n1"], ["pgrep", "-f", NAME], ["pidof", NAME], ["lsof", "-p", String(pid)], ["pstree"]]) {
        await new Child(file!, args).exited;
      }
    },
  },
  {
    kind: "quiet",
    name: "node-jit",
    async act() {
      const source = `process.title = "${NAME}"; console.log("on"); let i = 0;
        setInterval(() => { const f = new Function("n", "let s=" + i++ + ";for(let j=0;j<n;j++)s=s*31+j|0;return s"); for (let k = 0; k < 200; k++) f(10000); }, 10);`;
      const node = new Child(process.execPath, ["-e", source]);
      await node.takeLine(ANSWER_MS);
      await sleep(SETTLED_MS + 2_000);
      await node.stop("SIGKILL");
    },
  },
  {
    kind: "quiet",
    name: "container",
    act: command("unshare", () => ["-mpf", "--mount-proc", "sh", "-c", "sleep 0.3; ps e; cat /proc/1/environ /proc/1/maps; true"]),
  },
  {
    kind: "quiet",
    name: "restarts",
    async act(target) {
      await target.fork(2);
      for (let round = 0; round < 5; round++) await restarted({});
    },
  },
  { kind: "quiet", name: "short-processes", act: command("sh", () => ["-c", "for i in $(seq 100); do /bin/true; done"]) },
]; // prettier-ignore

async function restarted(env: Readonly<Record<string, string>>): Promise<void> {
  const target = await spawnTarget({ name: NAME, env });
  await sleep(1_500);
  await target.stop();
}

async function record({ kind, name, stage, settle, act, ...scene }: Scene): Promise<void> {
  const target = await spawnTarget({ name: NAME, ...scene.target });
  const unstage = await stage?.(target);
  const file = join(temporaryDirectory("recording"), "all.ndjson");
  const rimon = startRimon({ args: ["--protect", `comm:${NAME}`, "--record", file] });
  await rimon.ready;
  await sleep(settle === true ? SETTLED_MS : AFTERMATH_MS);
  await act(target);
  await sleep(AFTERMATH_MS);
  await unstage?.();
  await target.stop();
  await rimon.stop();

  const [header, ...lines] = readFileSync(file, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line) as unknown);
  const kept = concerning(lines as Observation[], rimon.pid);
  const text = [{ ...(header as object), node: "node-1", ancestors: [] }, ...kept].map((line) => JSON.stringify(line)).join("\n")
    // Where this checkout lies is nobody's business.
    .replaceAll(CHECKOUT, "/srv/rimon/");
  const verdicts = await replayed(text.split("\n"), name);
  const findings = verdicts.map(({ finding }) => summaryOf(finding));
  // Quiet is what nobody is told of.
  if (kind === "quiet") assert.deepEqual(verdicts.flatMap(({ actions }) => actions), [], `${name}: ${JSON.stringify(findings)}`);
  else assert.ok(findings.length > 0, `${name}: nothing was found`);
  mkdirSync(join(folder, kind), { recursive: true });
  writeFileSync(join(folder, kind, `${name}.ndjson`), `${text}\n`);
  if (kind === "attacks") writeFileSync(join(folder, kind, `${name}.findings.json`), `${JSON.stringify(findings, null, 2)}\n`);
  console.log(`${kind}/${name}: ${kept.length} of ${lines.length} observations, ${findings.length} findings`);
} // prettier-ignore

/** What this process's descendants did and what was done to them; rimon is one of them, and left out. */
function concerning(observations: readonly Observation[], rimon: number): Observation[] {
  const ours = new Set<number>();
  const files = new Set<string>();
  const namespaces = new Set<number | undefined>();
  let own: number | undefined;
  const isChild = (pid: number, parent: number): boolean => pid !== rimon && (parent === process.pid || ours.has(parent));
  for (const observation of observations) {
    if (observation.kind === "process.forked" && isChild(observation.pid, observation.parentPid)) ours.add(observation.pid);
    if (observation.kind !== "process.seen") continue;
    const { pid, parentPid, exeFile, mountNamespace }: Process = observation.process;
    if (pid === rimon) own = mountNamespace;
    if (isChild(pid, parentPid)) ours.add(pid);
    if (!ours.has(pid)) continue;
    if (exeFile !== undefined) files.add(`${exeFile.dev}:${exeFile.inode}`);
    namespaces.add(mountNamespace);
  }
  namespaces.delete(own);
  return observations.filter((observation) => {
    switch (observation.kind) {
      case "sensor.state":
      case "setting.seen":
        return true;
      case "process.seen":
        return ours.has(observation.process.pid);
      case "procfs.accessed":
        return ours.has(observation.pid) && observation.targetPid !== rimon;
      case "executable.identified":
        return files.has(`${observation.file.dev}:${observation.file.inode}`);
      case "procfs.mounted":
        return namespaces.has(observation.mountNamespace);
      case "tick":
      case "own-file.changed":
      case "self.troubled":
        return false;
      default:
        return "pid" in observation && ours.has(observation.pid as number);
    }
  });
} // prettier-ignore

const wanted = process.argv.slice(2);
for (const scene of SCENES) if (wanted.length === 0 || wanted.includes(scene.name)) await record(scene);
