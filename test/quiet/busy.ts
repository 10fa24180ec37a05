// Programs at work: a database, a server that compiles, forks and loads libraries all day. What their isolation is made of
// stays what it is, and rimon has to see that.

import { execFileSync } from "node:child_process";
import { chownSync, readFileSync, readdirSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProcessId } from "../../src/observation.ts";
import { Child, type ChildOptions } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

const READY_MS = 60_000;
/** As the sensor has it: until then a program becomes what it is. */
const SETTLED_TICKS = 500;
/** PostgreSQL runs as anybody but root. */
const POSTGRES_USER = "nobody";

export interface Busy {
  readonly name: string;
  readonly pid: number;
}

export interface BusyProcess extends ProcessId {
  readonly name: string;
}

export interface BusyPrograms {
  readonly programs: readonly Busy[];
  /** Of each program and of what descends from it, what has lived for five seconds. */
  settled(): readonly BusyProcess[];
  stop(): Promise<void>;
}

/** Starts every one that is installed; resolves when all are at work. */
export async function startBusyPrograms(): Promise<BusyPrograms> {
  const children: Child[] = [];
  const programs: Busy[] = [];
  const start: Start = (name, command, args, options = {}) => {
    const child = new Child("setpriv", ["--pdeathsig", "KILL", command, ...args], options);
    children.push(child);
    if (name !== "") programs.push({ name, pid: child.pid });
    return child;
  };

  await startRedis(start);
  const server = start("node", process.execPath, ["-e", SERVER]);
  const port = await server.takeLine(READY_MS);
  start("", process.execPath, ["-e", CLIENT, port]);
  start("shell", "/bin/sh", ["-c", FORKING]);
  if (isInstalled("python3")) start("python", "python3", ["-c", LOADING]);
  if (isInstalled("postgres") && isInstalled("pgbench")) await startPostgres(start);

  return {
    programs,
    settled: () => settledBelow(programs),
    async stop() {
      for (const child of children) await child.stop(child.lastSignal);
    },
  };
}

type Start = (name: string, command: string, args: readonly string[], options?: ChildOptions) => Child;

async function startRedis(start: Start): Promise<void> {
  const folder = temporaryDirectory("busy-redis");
  const socket = join(folder, "redis.sock");
  start("redis", "redis-server", ["--port", "0", "--unixsocket", socket, "--dir", folder, "--appendonly", "yes"]);
  await connects(socket);
  // A burst a second; a child that saves, and one that writes the log anew, every few seconds.
  const load = `while :; do
    redis-benchmark -s ${socket} -n 300 -c 5 -q -t set,get,lpush,hset
    redis-cli -s ${socket} eval 'local s = 0 for i = 1, 1000 do s = s + i end return s' 0
    redis-cli -s ${socket} bgsave
    sleep 1
    redis-cli -s ${socket} bgrewriteaof
    redis-cli -s ${socket} flushall
    sleep 1
  done > /dev/null 2>&1`;
  start("", "/bin/sh", ["-c", load]);
}

async function startPostgres(start: Start): Promise<void> {
  const folder = temporaryDirectory("busy-postgres");
  const id = (flag: string): number => Number(execFileSync("id", [flag, POSTGRES_USER], { encoding: "utf8" }));
  const who = { uid: id("-u"), gid: id("-g") };
  chownSync(folder, who.uid, who.gid);
  const data = join(folder, "data");
  execFileSync("initdb", ["-D", data, "-U", "bench", "-A", "trust", "-N"], { ...who, cwd: folder, stdio: "pipe" });
  const quick = ["fsync=off", "autovacuum_naptime=1s", "checkpoint_timeout=30s", "jit_above_cost=0"];
  const options = ["listen_addresses=", `unix_socket_directories=${folder}`, "shared_buffers=16MB", ...quick];
  // SIGINT sends its clients away, which end with that.
  const args = ["-D", data, ...options.flatMap((option) => ["-c", option])];
  start("postgres", "postgres", args, { ...who, lastSignal: "SIGINT" });
  await connects(join(folder, ".s.PGSQL.5432"));
  const connection = ["-h", folder, "-U", "bench", "postgres"];
  execFileSync("pgbench", ["-i", "-q", ...connection], { stdio: "pipe" });
  // Some clients stay, others come for a few transactions; each with a function that loads a library.
  start("", "pgbench", ["-n", "-c", "2", "-R", "10", "-T", "100000", ...connection]);
  const come = `while :; do
    pgbench -n -C -c 1 -t 5 -h ${folder} -U bench postgres
    psql -h ${folder} -U bench postgres -c "do 'begin perform count(*) from pgbench_accounts; end'"
    sleep 2
  done > /dev/null 2>&1`;
  start("", "/bin/sh", ["-c", come]);
  // One that stays, and needs a library only after a while.
  const late = `(sleep 20; while :; do echo "do 'begin perform 1; end';"; sleep 1; done) | psql -q -h ${folder} -U bench postgres`;
  start("", "/bin/sh", ["-c", late]);
}

/** Answers requests; makes ever new functions hot, drops garbage, and has workers and children that come and go. */
const SERVER = `
  const { createServer } = require("node:http");
  const { Worker } = require("node:worker_threads");
  const { spawn } = require("node:child_process");
  const { pbkdf2, createHash } = require("node:crypto");
  const { readFile } = require("node:fs");
  let round = 0;
  const server = createServer((request, response) => {
    const id = round++;
    const hot = new Function("n", "let s = " + id + "; for (let i = 0; i < n; i++) s = (s * 31 + i) | 0; return s;");
    for (let i = 0; i < 20; i++) hot(2000);
    const garbage = Array.from({ length: 2000 }, (_, i) => ({ i, text: String(i).repeat(10) }));
    if (id % 10 === 0) globalThis.kept = Buffer.alloc(1 + (id % 7) * (1 << 20), 1);
    if (id % 8 === 0) new Worker("let s = 0; for (let i = 0; i < 1e5; i++) s += eval('i'); process.exit()", { eval: true });
    if (id % 16 === 0) spawn("/bin/true").on("error", () => {});
    if (id % 4 === 0) {
      const bytes = Uint8Array.of(0,97,115,109,1,0,0,0,1,5,1,96,0,1,127,3,2,1,0,7,5,1,1,102,0,0,10,6,1,4,0,65,id % 64,11);
      new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports.f();
    }
    pbkdf2("password", "salt", 10, 32, "sha256", () => {
      readFile("/etc/hostname", () => response.end(createHash("sha256").update(garbage.length + String(id)).digest("hex")));
    });
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  process.stdin.on("end", () => process.exit()).resume();
`;

const CLIENT = `
  const { get, Agent } = require("node:http");
  const port = process.argv[1];
  let round = 0;
  setInterval(() => {
    const agent = round++ % 3 === 0 ? new Agent() : undefined;
    get({ host: "127.0.0.1", port, agent }, (response) => response.resume()).on("error", () => {});
  }, 100);
  process.stdin.on("end", () => process.exit()).resume();
`;

/** It forks, pipes, has jobs in the background and changes its own folder. */
const FORKING = `while :; do
  cd /tmp; echo "$(date)" | cat | wc -c > /dev/null
  (sleep 0.1; true) & wait
  cd /; sleep 0.3
done`;

/** Loads libraries and lets them go again; starts threads, maps and unmaps files. */
const LOADING = `
import ctypes, ctypes.util, mmap, threading, time, _ctypes
names = [n for n in (ctypes.util.find_library(x) for x in ("z", "bz2", "lzma", "expat", "uuid")) if n]
while True:
    for name in names:
        library = ctypes.CDLL(name)
        time.sleep(0.4)
        _ctypes.dlclose(library._handle)
        del library
        thread = threading.Thread(target=time.sleep, args=(0.3,))
        thread.start()
        with open("/etc/hostname", "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            bytes(mapped)
            mapped.close()
        time.sleep(0.3)
`;

function isInstalled(program: string): boolean {
  try {
    execFileSync("which", [program], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function connects(socket: string): Promise<void> {
  for (const deadline = Date.now() + READY_MS; ; await sleep(50)) {
    const connected = await new Promise<boolean>((resolve) => {
      const connection = createConnection(socket);
      connection.once("connect", () => (connection.destroy(), resolve(true)));
      connection.once("error", () => resolve(false));
    });
    if (connected) return;
    if (Date.now() > deadline) throw new Error(`expected a server at ${socket} within ${READY_MS / 1_000} s`);
  }
}

interface Row extends ProcessId {
  readonly parent: number;
  readonly comm: string;
}

function settledBelow(programs: readonly Busy[]): readonly BusyProcess[] {
  const uptimeTicks = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 100;
  const rows = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (rowOf(name) ?? []) : []));
  const below = (pid: number): Row[] => {
    const children = rows.filter(({ parent }) => parent === pid);
    return [...children, ...children.flatMap((child) => below(child.pid))];
  };
  return programs.flatMap(({ name, pid }) =>
    [...rows.filter((row) => row.pid === pid), ...below(pid)]
      .filter(({ startTime }) => uptimeTicks - startTime >= SETTLED_TICKS)
      .map(({ pid: each, startTime, comm }) => ({
        pid: each,
        startTime,
        name: each === pid ? name : `${name}'s ${comm}`,
      })),
  );
}

/** proc_pid_stat(5); undefined if it has ended. */
function rowOf(pid: string): Row | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const end = text.lastIndexOf(")");
    const fields = text.slice(end + 2).split(" ");
    const comm = text.slice(text.indexOf("(") + 1, end);
    return { pid: Number(pid), comm, parent: Number(fields[1]), startTime: Number(fields[19]) };
  } catch {
    return undefined;
  }
}
