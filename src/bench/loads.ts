// What overhead.ts measures the speed of: programs that hold keys at work, and acts that the kernel does a little more
// for while rimon watches.

import { mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { cpuOf } from "./monitors.ts";
import { cpuNs, type LoopName, type LoopOptions } from "./primitives.ts";
import { findProgram, ownProgram, run, Service } from "./programs.ts";
import { startSubject } from "./subjects.ts";

export interface Ran {
  /** By the clock, for the same amount of work. */
  readonly wallNs: number;
  readonly cpuNs: number;
}

export interface Running {
  /** The protected process. */
  readonly pid: number;
  /** The work, once. */
  work(): Promise<Ran>;
  end(): Promise<void>;
}

export interface Load {
  readonly name: string;
  readonly label: string;
  /** Whether throughput by the clock is what matters; else the CPU time that the same work takes. */
  readonly by: "wall" | "cpu";
  /** Programs it needs, by name and Debian package. */
  readonly needs: Readonly<Record<string, string>>;
  /** Starts what is to be protected, whose comm is `name`. */
  start(folder: string, name: string, quick: boolean, signal: AbortSignal): Promise<Running>;
}

const REDIS_REQUESTS = 30_000;
const QUICK_REDIS_REQUESTS = 15_000;
const CLIENTS = 16;
const COMPILED_FILES = 12;
const QUICK_COMPILED_FILES = 6;

const redis: Load = {
  name: "redis",
  label: "redis-benchmark, GET and SET, on a protected redis",
  by: "wall",
  needs: { "redis-server": "redis-server", "redis-benchmark": "redis-tools" },
  async start(folder, name, quick, signal) {
    const port = await freePort();
    const data = mkdtempSync(join(folder, "redis-"));
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", data];
    const server = new Service(named(folder, name, required("redis-server")), args);
    await server.hear((line) => (/Ready to accept connections/i.test(line) ? true : undefined));
    const requests = quick ? QUICK_REDIS_REQUESTS : REDIS_REQUESTS;
    const how = ["-h", "127.0.0.1", "-p", String(port), "-c", String(CLIENTS), "-q", "--csv"];
    const bench = (count: number): Promise<string> =>
      run(required("redis-benchmark"), [...how, "-n", String(count), "-t", "get,set"], { signal });
    await bench(Math.ceil(requests / 10));
    return {
      pid: server.pid,
      work: () => timed(server.pid, () => bench(requests)),
      end: () => server.end(),
    };
  },
};

const WRK_SECONDS = 2;

const https: Load = {
  name: "https",
  label: "wrk on a protected node HTTPS server that encrypts chunks",
  by: "wall",
  needs: { wrk: "wrk", openssl: "openssl" },
  async start(folder, name, quick, signal) {
    const files = mkdtempSync(join(folder, "https-"));
    const [key, cert] = [join(files, "key.pem"), join(files, "cert.pem")];
    const how = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    await run(required("openssl"), ["req", "-x509", ...how, "-subj", "/CN=localhost", "-keyout", key, "-out", cert], {
      signal,
    });
    const server = new Service(named(folder, name, process.execPath), [...ownProgram("bench/https-node"), key, cert]);
    const port = await server.hear((line) => Number(line) || undefined);
    const wrk = async (seconds: number): Promise<number> => {
      const told = await run(
        required("wrk"),
        ["-t", "1", "-c", String(CLIENTS), "-d", `${seconds}s`, `https://127.0.0.1:${port}/`],
        { signal },
      );
      const errors = /Socket errors: (.*)/.exec(told)?.[1] ?? /Non-2xx or 3xx responses: (\d+)/.exec(told)?.[0];
      if (errors !== undefined) throw new Error(`wrk met errors: ${errors}`);
      const requests = Number(/(\d+) requests in /.exec(told)?.[1]);
      if (!(requests > 0)) throw new Error(`expected wrk to say how many requests it made, got ${told}`);
      return requests;
    };
    await wrk(1);
    return {
      pid: server.pid,
      async work() {
        let requests = 1;
        // It runs for a time and not for an amount: that of one request is what is compared.
        const ran = await timed(server.pid, async () => (requests = await wrk(quick ? 1 : WRK_SECONDS)));
        return { wallNs: ran.wallNs / requests, cpuNs: ran.cpuNs / requests };
      },
      end: () => server.close(),
    };
  },
};

const compile: Load = {
  name: "compile",
  label: "gcc, one small file after another, beside a protected process",
  by: "wall",
  needs: { gcc: "gcc" },
  async start(folder, name, quick, signal) {
    const sources = mkdtempSync(join(folder, "sources-"));
    const files = Array.from({ length: quick ? QUICK_COMPILED_FILES : COMPILED_FILES }, (_, index) => `${index}.c`);
    for (const file of files) writeFileSync(join(sources, file), SOURCE);
    const protectedOne = await startSubject(folder, name);
    const compileAll = async (each: readonly string[]): Promise<void> => {
      for (const file of each)
        await run(required("gcc"), ["-O1", "-c", file, "-o", `${file}.o`], { signal, cwd: sources });
    };
    await compileAll(files.slice(0, 2));
    return {
      pid: protectedOne.pid,
      work: () => timed(undefined, () => compileAll(files)),
      end: () => protectedOne.end(),
    };
  },
};

const SOURCE = `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { struct node *next; char name[32]; int value; };
static int by_value(const void *a, const void *b) { return ((const struct node *)a)->value - ((const struct node *)b)->value; }
void work(struct node *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++) { snprintf(nodes[i].name, sizeof(nodes[i].name), "%zu", i); nodes[i].value = (int)strlen(nodes[i].name); }
	qsort(nodes, n, sizeof(*nodes), by_value);
}
`;

function loopLoad(name: string, label: string, loop: LoopName, options: LoopOptions, quickPart: number): Load {
  return {
    name,
    label,
    by: "cpu",
    needs: {},
    async start(folder, comm, quick) {
      const subject = await startSubject(folder, comm);
      const calls = Math.ceil((options.calls ?? 1) * (quick ? quickPart : 1));
      await subject.loop(loop, { ...options, calls: Math.ceil(calls / 10) });
      return {
        pid: subject.pid,
        async work() {
          const { wallNs, cpuNs } = await subject.loop(loop, { ...options, calls });
          return { wallNs, cpuNs };
        },
        end: () => subject.end(),
      };
    },
  };
}

const threads = Math.min(16, 4 * availableParallelism());

/** To add one: its line here. */
export const LOADS: readonly Load[] = [
  redis,
  https,
  compile,
  loopLoad(
    "faults",
    `page faults and mappings, ${threads} threads of the protected process`,
    "mapTouch",
    { threads, calls: Math.ceil(12_000 / threads) },
    0.3,
  ),
  loopLoad("open-close", "open and close of /dev/null by the protected process", "openClose", { calls: 200_000 }, 0.3),
  loopLoad("getppid", "getppid by the protected process", "getppid", { calls: 1_000_000 }, 0.3),
  loopLoad("fork-exec", "fork and exec by the protected process", "forkExec", { calls: 250 }, 0.3),
];

/** What is missing for it, with the command that brings it; undefined if nothing is. */
export function missingFor({ needs }: Load): string | undefined {
  const missing = Object.entries(needs).filter(([program]) => findProgram(program) === undefined);
  if (missing.length === 0) return undefined;
  const [programs, packages] = [missing.map(([program]) => program), missing.map(([, name]) => name)];
  return `${programs.join(" and ")} not installed; on Debian: apt-get install ${packages.join(" ")}`;
}

async function timed(server: number | undefined, work: () => Promise<unknown>): Promise<Ran> {
  const [ofServer, ofClients, began] = [server === undefined ? 0 : cpuOf(server), cpuNs(), process.hrtime.bigint()];
  await work();
  const wallNs = Number(process.hrtime.bigint() - began);
  return { wallNs, cpuNs: (server === undefined ? 0 : cpuOf(server)) - ofServer + cpuNs() - ofClients };
}

/** A process is called after the file that was executed. */
function named(folder: string, name: string, program: string): string {
  const directory = mkdtempSync(join(folder, "bin-"));
  const path = join(directory, name);
  symlinkSync(program, path);
  return path;
}

function required(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
