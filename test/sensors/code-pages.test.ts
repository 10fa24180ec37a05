// The sensor code-pages and what the rule makes of it, on children that the test spawned and whose code it changes.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it, mock } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { codeModified } from "../../src/detectors/code-modified.ts";
import type { Observation, ObservationOf, ProcessId } from "../../src/observation.ts";
import { createCodePages } from "../../src/sensors/code-pages.ts";
import { State } from "../../src/state.ts";
import { startAttack } from "../fixtures/attack.ts";
import { functionIn, readCode, writeCode } from "../fixtures/code.ts";
import { compile } from "../fixtures/compile.ts";
import { spawnTarget, type Target } from "../fixtures/target.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { createContext } from "./context.ts";

const LIBRARY = `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/libcrypto.so.3`;
const BREAKPOINT = process.arch === "arm64" ? "000020d4" : "cc";
const JUMP = process.arch === "arm64" ? "00010014" : "e910203040";

const targets: Target[] = [];
const contexts: { close(): void }[] = [];
after(async () => {
  for (const context of contexts) context.close();
  for (const target of targets) await target.stop();
});

function idOf(pid: number): ProcessId {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return { pid, startTime: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]) };
}

interface Watched {
  readonly target: Target;
  /** One pass; what it told of. */
  pass(): Promise<ObservationOf<"code-page.seen">[]>;
  /** One pass; "severity technique message" of what follows from it. */
  told(): Promise<string[]>;
  states(): string[];
  notice: NonNullable<ReturnType<typeof createCodePages>["notice"]>;
  /** All that was told until now. */
  seen(): ObservationOf<"code-page.seen">[];
  /** How often a process's pages were read. */
  looks(): number;
  stop(): Promise<void>;
}

/** A target with a library whose functions it does not call, watched. */
async function watched(library = LIBRARY, others: readonly number[] = []): Promise<Watched> {
  const target = await spawnTarget();
  targets.push(target);
  await target.command(`dlopen ${library}`);
  const context = createContext([target.pid, ...others].map(idOf));
  contexts.push(context);
  const { procfs } = context;
  const codePages = mock.fn((pid: number) => procfs.codePages(pid));
  const sensor = createCodePages({ ...context, procfs: Object.create(procfs, { codePages: { value: codePages } }) });
  await sensor.start();
  let known = 0;
  const pass = async (): Promise<ObservationOf<"code-page.seen">[]> => {
    await sensor.pass?.(false);
    const pages = context.of("code-page.seen");
    const news = pages.slice(known);
    known = pages.length;
    return news;
  };
  const state = new State(() => "test");
  state.apply({
    kind: "process.seen",
    at: 1,
    sensor: "test",
    by: "scan",
    process: { ...idOf(target.pid), parentPid: 1, comm: "vault", kernelThread: false },
  });
  return {
    target,
    pass,
    told: async () =>
      (await pass()).flatMap((page) => {
        const found = codeModified.detect(page, state, { allow: [] });
        return found ? [`${found.severity} ${found.technique} ${found.message}`] : [];
      }),
    states: () => context.of("sensor.state").map(({ state }) => state),
    notice: (observation) => sensor.notice?.(observation),
    seen: () => context.of("code-page.seen"),
    looks: () => codePages.mock.callCount(),
    stop: () => sensor.stop(),
  };
}

function foundIn({ changes = [] }: ObservationOf<"code-page.seen">): string[] {
  return changes.map(({ found, place }) => `${place?.name} ${found}`);
}

const bytes = (hex: string): Buffer => Buffer.from(hex, "hex");
const spaced = (hex: string): string => hex.replace(/..(?=.)/g, "$& ");

describe("code-pages", () => {
  it("tells once of a change, again of another, and of its being put back", async () => {
    const { target, told, states } = await watched();
    const { pid } = target;
    const { address, bytes: original } = functionIn(pid, LIBRARY, "EVP_DecryptUpdate");
    const was = (length: number): string => original.toString("hex", 0, length);
    const vault = `vault (${pid})`;
    assert.deepEqual(await told(), []);

    writeCode(pid, address, bytes(BREAKPOINT));
    const size = BREAKPOINT.length / 2;
    const count = size === 1 ? "1 byte of" : `${size} bytes of`;
    const differ = size === 1 ? "differs" : "differ";
    assert.deepEqual(await told(), [
      `critical breakpoint ${vault}: ${count} EVP_DecryptUpdate+0x0 in ${LIBRARY} ${differ} from the file: found ${spaced(BREAKPOINT)}, expected ${spaced(was(size))} (a breakpoint or uprobe)`,
    ]);
    assert.deepEqual(await told(), []);

    writeCode(pid, address, bytes(JUMP));
    assert.deepEqual(await told(), [
      `critical detour ${vault}: ${JUMP.length / 2} bytes of EVP_DecryptUpdate+0x0 in ${LIBRARY} differ from the file: found ${spaced(JUMP)}, expected ${spaced(was(JUMP.length / 2))} (a jump was put there)`,
    ]);

    writeCode(pid, address, original);
    const [restored = "", ...none] = await told();
    assert.match(restored, /^high restored vault \(\d+\): code of .*libcrypto\.so\.3 was changed and put back: /);
    assert.deepEqual(none, []);
    assert.deepEqual(await told(), []);

    writeCode(pid, address, bytes(BREAKPOINT));
    assert.equal((await told()).length, 1, "the same change once more is one more change");
    assert.deepEqual(states(), ["live"]);
  });

  it("tells of one bit", async () => {
    const { target, told } = await watched();
    const { address, bytes: original } = functionIn(target.pid, LIBRARY, "EVP_DecryptUpdate");
    writeCode(target.pid, address + 1, Buffer.from([(original[1] ?? 0) ^ 0x10]));
    const [only = "", ...none] = await told();
    assert.match(only, /^critical bit-flip .* of EVP_DecryptUpdate\+0x[01] in .* \(one bit\)$/);
    assert.deepEqual(none, []);
  });

  it("tells of a probe that another process put on a library, while it is there", async () => {
    const { target, told } = await watched();
    const { offset, address } = functionIn(target.pid, LIBRARY, "EVP_DecryptUpdate");
    const probe = startAttack("uprobe", [target.pid, LIBRARY, offset]);
    assert.equal((await probe.next()).failed, undefined);
    const [only = "", ...none] = await told();
    assert.match(only, /^critical breakpoint .* of EVP_DecryptUpdate\+0x0 in .* \(a breakpoint or uprobe\)$/);
    assert.deepEqual(none, []);
    probe.release();
    await probe.next();
    assert.notEqual(readCode(target.pid, address, BREAKPOINT.length / 2).toString("hex"), BREAKPOINT);
    // Some kernels leave the copy behind, others the page of the file.
    for (const each of await told()) assert.match(each, /^high restored /);
  });

  it("forgets what was there before an exec", async () => {
    const { target, pass, notice } = await watched();
    const { address } = functionIn(target.pid, LIBRARY, "EVP_DecryptUpdate");
    writeCode(target.pid, address, bytes(BREAKPOINT));
    assert.equal((await pass()).length, 1);
    const process = { ...idOf(target.pid), parentPid: 1, comm: "vault", kernelThread: false };
    notice({ kind: "process.seen", at: 1, sensor: "test", by: "exec", process });
    assert.equal((await pass()).length, 1);
    await target.exec();
    assert.deepEqual(await pass(), []);
  });
});

describe("code-pages, told of a write", () => {
  const written = (pid: number): Observation => ({
    kind: "memory.touched",
    at: 1,
    sensor: "test",
    ...idOf(pid),
    operation: "poke",
    byPid: process.pid,
    byTid: process.pid,
    suppressed: 0,
    action: "seen",
  });
  /** One, a second reading of what differs, and those that follow. */
  const MAX_LOOKS = 8;
  const breakpoint = [[`EVP_DecryptUpdate ${BREAKPOINT}`]];

  it("looks at once, and a few times for however many come together", async () => {
    const { target, looks, notice, seen } = await watched();
    const { pid } = target;
    writeCode(pid, functionIn(pid, LIBRARY, "EVP_DecryptUpdate").address, bytes(BREAKPOINT));
    const before = looks();
    for (let time = 0; time < 1_000; time++) notice(written(pid));
    while (seen().length === 0) await sleep(1);
    assert.deepEqual(seen().map(foundIn), breakpoint);
    assert.ok(looks() - before <= MAX_LOOKS, `${looks() - before} looks`);
  });

  it("looks again, as the write may come after it was told of", async () => {
    const { target, looks, notice, seen } = await watched();
    const { pid } = target;
    const { address } = functionIn(pid, LIBRARY, "EVP_DecryptUpdate");
    const before = looks();
    notice(written(pid));
    // The second look has begun, so that the first is over.
    while (looks() < before + 2) await sleep(1);
    writeCode(pid, address, bytes(BREAKPOINT));
    while (seen().length === 0) await sleep(1);
    assert.deepEqual(seen().map(foundIn), breakpoint);
  });

  it("ends although there are looks to come", async () => {
    const { target, looks, notice, stop } = await watched();
    const before = looks();
    notice(written(target.pid));
    await stop();
    notice(written(target.pid));
    await stop();
    assert.equal(looks(), before);
  });
});

describe("code-pages stays quiet about", () => {
  it("node itself, threads, forks, libraries that come late, pages made writable and back", async () => {
    const { target, pass, states } = await watched(LIBRARY, [process.pid]);
    await target.fork(2);
    await target.command("thread");
    await target.command(`dlopen ${compile("evil", { shared: true })}`);
    await target.command(`map ${LIBRARY}`);
    await target.command("mprotect rx");
    assert.deepEqual(await pass(), []);
    assert.deepEqual(states(), ["live"]);
  });

  it("a library that was replaced on disk, and one that was removed", async () => {
    const folder = temporaryDirectory("upgrade");
    const path = join(folder, "plugin.so");
    copyFileSync(compile("evil", { shared: true }), path);
    const { target, pass } = await watched(path);
    copyFileSync(compile("preload", { shared: true }), join(folder, "new.so"));
    renameSync(join(folder, "new.so"), path);
    assert.match(readFileSync(`/proc/${target.pid}/maps`, "utf8"), /plugin\.so \(deleted\)/);
    assert.deepEqual(await pass(), []);
  });

  it("relocations in code, and not about anything else in it", onX86(), async () => {
    const path = join(temporaryDirectory("textrel"), "textrel.so");
    writeFileSync(`${path}.s`, TEXT_RELOCATIONS);
    execFileSync("gcc", ["-shared", "-nostdlib", "-Wl,-z,notext", "-Wl,-w", "-o", path, `${path}.s`]);
    const { target, pass, told } = await watched(path);
    const { address } = functionIn(target.pid, path, "first");
    const relocated = readCode(target.pid, address + 16, 8);
    assert.notEqual(relocated.readBigUInt64LE(), 0n, "the loader wrote there");
    assert.deepEqual(await pass(), []);
    writeCode(target.pid, address, bytes(BREAKPOINT));
    const [only = "", ...none] = await told();
    assert.match(only, /^critical breakpoint .* 1 byte of first\+0x0 in .* found cc, expected 90/);
    assert.deepEqual(none, []);
  });
});

function onX86(): { skip: string | false } {
  return { skip: process.arch === "x64" ? false : "assembles x86 code" };
}

/** A table of addresses in the middle of code, which the loader fills. */
const TEXT_RELOCATIONS = `
    .text
    .globl first
    .type first, @function
first:
    nop; nop; nop; ret
    .p2align 4
    .rept 40
    .quad first
    .endr
    .size first, . - first
    .section .note.GNU-stack, "", @progbits
`;
