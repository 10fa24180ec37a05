// An ordinary busy hour of a node, in a minute: rimon says nothing that anybody would have to get up for.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { atLeast, type Finding } from "../../src/finding.ts";
import { Child } from "../fixtures/child.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const NAME = "quiet-vault";
const NODE_NAME = "quiet-node";
const ANSWER_MS = 20_000;
const COMMAND_MS = 120_000;
const SHORT_PROCESSES = 2_000;
const TOOLS = ["ps", "top", "pgrep", "pidof", "lsof", "pstree", "gcc", "npm", "unshare", "chroot", "redis-server"];
const root = fileURLToPath(new URL("../..", import.meta.url));

let rimon: Monitor;
let vault: Target;
let compiling: Child;
let redis: Child;

before(async () => {
  const missing = TOOLS.filter((tool) => spawnSync("which", [tool]).status !== 0);
  assert.deepEqual(missing, [], "run: apt-get install procps psmisc lsof gcc npm util-linux coreutils redis-server");

  vault = await spawnTarget({ name: NAME, threads: 4, children: 2 });
  const folder = temporaryDirectory("quiet");
  redis = new Child("redis-server", ["--port", "0", "--unixsocket", join(folder, "redis.sock"), "--save", "", "--dir", folder]); // prettier-ignore
  // Whoever reads the memory of one of these three is killed: nothing ordinary does.
  const protect = [`comm:${NAME}`, `pid:${redis.pid}`, `comm:${NODE_NAME}`].map((each) => `"${each}"`);
  const enforce = protect.map((each) => `{ protect: ${each}, operations: [memory-read] }`);
  rimon = startRimon({ config: `mode: enforce\nprotect: [${protect.join(", ")}]\nenforce: [${enforce.join(", ")}]\n` });
  await rimon.ready;
  // Compiles and compiles again while it is watched; its comm is what rimon knows it by.
  compiling = new Child(process.execPath, ["-e", WARMING_UP, NODE_NAME]);
  assert.equal(await compiling.takeLine(ANSWER_MS), "warm");
});
after(async () => {
  await compiling.stop("SIGKILL");
  await redis.stop("SIGTERM");
  await vault.stop();
  await rimon.stop();
});

/** Makes ever new functions hot, so that the engine keeps compiling and discarding code. */
const WARMING_UP = `
  process.title = process.argv[1];
  let rounds = 0;
  const timer = setInterval(() => {
    const hot = new Function("n", "let s = " + rounds + "; for (let i = 0; i < n; i++) s = (s * 31 + i) | 0; return s;");
    for (let i = 0; i < 200; i++) hot(10000);
    if (++rounds === 20) console.log("warm");
  }, 10);
  process.stdin.on("end", () => clearInterval(timer)).resume();
`;

const ACTS: readonly { readonly what: string; readonly act: () => void | Promise<void> }[] = [
  {
    what: "looking at processes: ps, top, pgrep, pidof, lsof, pstree",
    act() {
      run("ps", ["aux"]);
      run("ps", ["axeww", "-o", "pid,ppid,stat,wchan,args"]);
      run("ps", ["e", "-p", String(vault.pid)]);
      run("top", ["-b", "-n1"]);
      run("pgrep", ["-f", NAME]);
      run("pidof", [NAME]);
      run("lsof", ["-n", "-P", "-p", `${vault.pid},${redis.pid}`]);
      run("pstree", ["-pa"]);
    },
  },
  {
    what: "compiling C",
    act() {
      const folder = temporaryDirectory("compile");
      for (let index = 0; index < 5; index++) {
        const source = join(folder, `file${index}.c`);
        writeFileSync(source, `#include <stdio.h>\nint main(void) { return printf("%d", ${index}) < 0; }\n`);
        run("gcc", ["-O2", "-o", join(folder, `file${index}`), source]);
        run(join(folder, `file${index}`), []);
      }
    },
  },
  {
    what: "npm at work on a package",
    act() {
      run("npm", ["ls", "--all"], root);
      run("npm", ["pack", "--dry-run", "--ignore-scripts"], root);
    },
  },
  {
    what: "a container: mount and pid namespaces, a root of its own with a procfs, tools in it",
    act() {
      const folder = temporaryDirectory("container");
      const script = `
        set -e
        mount -t tmpfs tmpfs ${folder}
        cd ${folder}
        mkdir usr proc tmp dev
        for link in bin sbin lib lib64; do ln -s usr/$link $link; done
        mount --bind /usr usr
        mount -t proc proc proc
        chroot . /bin/sh -c 'ps aux; ps e; cat /proc/self/environ /proc/self/maps > /dev/null; top -b -n1; true'
      `;
      run("unshare", ["-mpf", "sh", "-c", script]);
    },
  },
  {
    what: "sandboxes that come and go",
    act() {
      for (let index = 0; index < 20; index++) run("unshare", ["-mpf", "--mount-proc", "true"]);
    },
  },
  {
    what: "protected processes at work: forks, threads, libraries, files, restarts",
    async act() {
      await vault.fork(3);
      await vault.command("thread");
      await vault.command("open /etc/hostname");
      await vault.command("core 0 0");
      for (let round = 0; round < 5; round++) {
        const other = await spawnTarget({ name: NAME });
        await other.exec();
        await other.stop();
      }
    },
  },
  {
    what: `${SHORT_PROCESSES} short processes`,
    act() {
      run("/bin/sh", ["-c", `i=0; while [ $i -lt ${SHORT_PROCESSES} ]; do /bin/true; i=$((i+1)); done`]);
    },
  },
];

for (const { what, act } of ACTS) {
  test(what, async () => {
    const seen = rimon.findings().length;
    await act();
    await sleep(1_500); // One pass more, which sees what is still there.
    assert.deepEqual(rimon.findings().slice(seen).filter(isUnwelcome).map(told), []);
  });
}

test("nothing was lost, no sensor went blind, and nothing said otherwise by the end", async () => {
  await sleep(1_500);
  assert.deepEqual(rimon.findings().filter(isUnwelcome).map(told), []);
  assert.deepEqual(
    rimon
      .findings()
      .filter(({ rule }) => rule === "sensor-blind")
      .map(told),
    [],
  );
  assert.deepEqual(rimon.strayLines, []);
  assert.equal(rimon.stderr, "");
});

test("and it was awake: one read of memory is stopped and told", async () => {
  const skip = `skip=${Number(vault.address)}`;
  const read = spawnSync("dd", [`if=/proc/${vault.pid}/mem`, "bs=1", skip, "count=32"], { stdio: "ignore" });
  assert.equal(read.signal, "SIGKILL");
  const { severity } = await rimon.waitForFinding("memory-read", 10_000, ({ target }) => target?.pid === vault.pid);
  assert.equal(severity, "critical");
});

/** What a suspect that does not come from here does is its own affair: this machine may have other work. */
function isUnwelcome({ severity, suspect, target }: Finding): boolean {
  if (suspect?.ancestry !== undefined && !suspect.ancestry.some(({ pid }) => pid === process.pid)) return false;
  return atLeast(severity, "high") || (target !== undefined && atLeast(severity, "medium"));
}

function told({ rule, severity, message }: Finding): string {
  return `${severity} ${rule}: ${message}`;
}

function run(command: string, args: readonly string[], cwd?: string): void {
  execFileSync(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    timeout: COMMAND_MS,
    ...(cwd === undefined ? {} : { cwd }),
  });
}
