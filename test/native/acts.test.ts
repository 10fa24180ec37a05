import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { addonPath, requireAddon, requireDrillAddon } from "../../src/native.ts";
import { exitOf, lineOf, start, startNode, until } from "./child.ts";
import { readTwin } from "./twin.ts";

const { addon, path } = requireAddon();
const { attack } = requireDrillAddon();

test("a signal goes to exactly the process that was meant", async (t) => {
  const child = start(t, "sleep", ["1000"]);
  const startTime = readTwin(child.pid)?.process.startTime ?? 0;
  assert.equal(addon.signalProcess(child.pid, startTime + 1, 9), "reused");
  assert.equal(child.signalCode, null);
  assert.equal(addon.signalProcess(child.pid, startTime, 0), "sent");
  assert.equal(addon.signalProcess(child.pid, startTime, 15), "sent");
  assert.equal((await exitOf(child)).signal, "SIGTERM");
  assert.equal(addon.signalProcess(child.pid, startTime, 9), "gone");
  assert.throws(() => addon.signalProcess(process.pid, readTwin(process.pid)?.process.startTime ?? 0, 999), {
    code: "EINVAL",
  });
});

interface Decoy {
  readonly pid: number;
  readonly address: bigint;
  readonly codeAddress: bigint;
  readonly secret: Buffer;
  readonly fd: number;
  readonly tid: number;
  readonly socket: number;
  readonly low: bigint;
}

async function startDecoy(t: TestContext): Promise<Decoy> {
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "key"), "what the descriptor holds");
  const child = startNode(
    t,
    `const { attack } = addon;
     const { address, bytes, codeAddress } = attack.secret();
     const fd = require("fs").openSync(${JSON.stringify(join(folder, "key"))});
     console.log(JSON.stringify({
       address: String(address), codeAddress: String(codeAddress), secret: bytes.toString("hex"), fd,
       tid: attack.startComputing(), socket: attack.holdSocket(),
       low: process.arch === "x64" ? String(attack.lowCopy()) : "0",
     }));
     process.stdin.resume();`,
  );
  const said = JSON.parse(await lineOf(child)) as Record<"address" | "codeAddress" | "secret" | "low", string> &
    Record<"fd" | "tid" | "socket", number>;
  return {
    pid: child.pid,
    address: BigInt(said.address),
    codeAddress: BigInt(said.codeAddress),
    secret: Buffer.from(said.secret, "hex"),
    fd: said.fd,
    tid: said.tid,
    socket: said.socket,
    low: BigInt(said.low),
  };
}

/** True if the kernel has it, and false only if it says that it has not. */
function known(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOSYS") throw thrown;
    return false;
  }
}

test("every way in brings the secret out, and leaves the decoy as it was", async (t) => {
  const decoy = await startDecoy(t);
  for (const name of ["ptraceAttach", "ptraceSeize", "processVmReadv", "procMemDetachedMount"] as const) {
    assert.deepEqual(attack[name](decoy.pid, decoy.address, 32), decoy.secret, name);
    assert.deepEqual(attack[name](decoy.pid, decoy.address + 1n, 13), decoy.secret.subarray(1, 14), name);
    const code = name === "procMemDetachedMount" ? "EIO" : name === "processVmReadv" ? "EFAULT" : "EIO";
    assert.throws(() => attack[name](decoy.pid, 8n, 8), { code }, name);
  }
  assert.equal(attack.pidfdGetfd(decoy.pid, decoy.fd, 100).toString(), "what the descriptor holds");
  assert.throws(() => attack.pidfdGetfd(decoy.pid, 4000, 1), { code: "EBADF" });
  const twin = await until("a tracer that let go", () => {
    const found = readTwin(decoy.pid);
    return found?.process.tracerPid === 0 ? found : undefined;
  });
  assert.equal(twin.process.pid, decoy.pid);
});

test("ways that a kernel may lack bring it out as well", async (t) => {
  const { pid, address, secret, tid, socket, low } = await startDecoy(t);
  assert.deepEqual(attack.pidfdGetfd(pid, socket, 32), secret);
  assert.deepEqual(attack.pidfdGetfd(pid, socket, 32), secret, "it was looked at only");
  assert.ok(attack.perfStack(tid, 4_096).includes(secret));
  const ways: [string, () => void][] = [
    ["uringRead", () => assert.deepEqual(attack.uringRead(`/proc/${pid}/mem`, address, 32), secret)],
    ["bpfCopier", () => assert.deepEqual(readOnce(attack.bpfCopier(pid, address)), secret)],
    ["processMadvise", () => attack.processMadvise(pid, address, 4_096)],
    ["kcmp", () => attack.kcmp(pid)],
  ];
  if (process.arch === "x64") {
    ways.push(["processVmReadv32", () => assert.deepEqual(attack.processVmReadv32(pid, low, 32), secret)]);
    assert.throws(() => attack.processVmReadv32(pid, address, 32), /EINVAL|ENOSYS/);
  }
  for (const [name, way] of ways) if (!known(way)) t.diagnostic(`this kernel has no ${name}`);
});

function readOnce(fd: number): Buffer {
  try {
    const bytes = Buffer.alloc(32);
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, null));
  } finally {
    closeSync(fd);
  }
}

test("a tracer reads, lets go on, and leaves", async (t) => {
  const { pid, address, secret } = await startDecoy(t);
  for (const suspendSeccomp of [false, true]) {
    attack.ptraceHold(pid, suspendSeccomp);
    assert.equal(readTwin(pid)?.process.tracerPid, process.pid);
    assert.deepEqual(attack.ptracePeek(pid, address, 32), secret);
    assert.ok(attack.ptraceRegisters(pid, 1_024).length >= 100);
    assert.notEqual(readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.[0], "t");
    attack.ptraceRelease(pid);
    assert.equal(readTwin(pid)?.process.tracerPid, 0);
  }
});

test("a descriptor that was passed on is the one that was sent", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "key"), "what it holds");
  const socket = attack.bindSocket(join(folder, "socket"));
  assert.throws(() => attack.receiveDescriptor(socket), { code: "EAGAIN" });
  const sent = openSync(join(folder, "key"), "r");
  attack.sendDescriptor(join(folder, "socket"), sent);
  const received = attack.receiveDescriptor(socket);
  assert.notEqual(received, sent);
  assert.equal(readFileSync(received, "utf8"), "what it holds");
  for (const fd of [socket, sent, received]) closeSync(fd);
  assert.throws(() => attack.bindSocket("/".repeat(200)), { code: "ENAMETOOLONG" });
});

test("what is written beside the secret stays there", async (t) => {
  const { pid, address, secret } = await startDecoy(t);
  assert.equal(attack.processVmWritev(pid, address + 2_048n, Buffer.from("written")), 7);
  assert.equal(attack.processVmReadv(pid, address + 2_048n, 7).toString(), "written");
  assert.deepEqual(attack.processVmReadv(pid, address, 32), secret);
});

test("core_pattern is as it was: after a dump, and after the death of whoever changed it", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "rimon-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const setting = "/proc/sys/kernel/core_pattern";
  const before = readFileSync(setting, "utf8");
  const pattern = `|/bin/dd of=${join(folder, "core")}`;
  attack.dumpTo(start(t, "sleep", ["1000"]).pid, pattern);
  assert.equal(readFileSync(setting, "utf8"), before);
  await until("a dump", () => (existsSync(join(folder, "core")) ? true : undefined));

  // A stopped process takes no SIGABRT, so the attacker is still waiting when it is killed.
  const stopped = start(t, "sleep", ["1000"]);
  stopped.kill("SIGSTOP");
  const attacker = startNode(t, `addon.attack.dumpTo(${stopped.pid}, ${JSON.stringify(pattern)});`);
  await until("the other pattern", () => (readFileSync(setting, "utf8").trim() === pattern ? true : undefined));
  attacker.kill("SIGKILL");
  await exitOf(attacker);
  await until("the old pattern", () => (readFileSync(setting, "utf8") === before ? true : undefined));
});

test("a breakpoint is left behind, and nothing else", async (t) => {
  const decoy = await startDecoy(t);
  const read = (): Buffer => attack.processVmReadv(decoy.pid, decoy.codeAddress, 16);
  const before = read();
  attack.ptraceLeaveBreakpoint(decoy.pid, decoy.codeAddress);
  const breakpoint = Buffer.from(process.arch === "arm64" ? "000020d4" : "cc", "hex");
  assert.deepEqual(read(), Buffer.concat([breakpoint, before.subarray(breakpoint.length)]));
  assert.equal(readTwin(decoy.pid)?.process.tracerPid, 0);
});

for (const patch of ["patchText", "ptracePatchText"] as const)
  test(`changed text is put back: ${patch}`, async (t) => {
    const decoy = await startDecoy(t);
    const before = attack.processVmReadv(decoy.pid, decoy.codeAddress, 16);
    assert.notDeepEqual(before, Buffer.alloc(16));
    attack[patch](decoy.pid, decoy.codeAddress);
    assert.deepEqual(attack.processVmReadv(decoy.pid, decoy.codeAddress, 16), before);
    // The page was copied on write, which is what stays to be seen: of file-backed text none is anonymous otherwise.
    const smaps = readFileSync(`/proc/${decoy.pid}/smaps`, "latin1").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
    const text = smaps.find((mapping) => / r-xp /.test(mapping) && mapping.includes(` ${addonPath("drill")}\n`));
    assert.match(text ?? "", /^Anonymous: +[1-9]/m);
  });

test("the secret is the same for as long as the process lives", () => {
  const { address, bytes, codeAddress } = attack.secret();
  assert.equal(bytes.length, 32);
  assert.equal(address % 4096n, 0n);
  assert.deepEqual(attack.secret(), { address, bytes, codeAddress });
});

test("attacks on nobody", () => {
  for (const name of ["ptraceAttach", "ptraceSeize", "processVmReadv"] as const) {
    assert.throws(() => attack[name](4_194_303, 4096n, 8), { code: "ESRCH" });
  }
  assert.throws(() => attack.patchText(4_194_303, 4096n), { code: "ENOENT" });
});

test("the addons import none of the calls by which rimon tells a debugger", () => {
  const [own, drill] = [path, addonPath("drill")].map((each) =>
    execFileSync("nm", ["-D", each], { encoding: "latin1" }),
  );
  for (const symbols of [own, drill])
    assert.doesNotMatch(symbols ?? "", /\b(ptrace|process_vm_readv|process_vm_writev)\b/);
  assert.match(own ?? "", /\bfanotify_mark\b/);
  assert.match(drill ?? "", /\bsyscall\b/);
});

test("capabilities are those the kernel says we have", () => {
  const names = addon.capabilities();
  const bits = BigInt(`0x${readTwin(process.pid)?.process.capabilities}`);
  assert.equal(names.length, bits.toString(2).replaceAll("0", "").length);
  assert.equal(names.includes("sys_ptrace"), (bits & (1n << 19n)) !== 0n);
});

test("a process executed with two capabilities has these two and no way to more", (t) => {
  const script = `
    require("fs").readFileSync("/proc/self/status");
    addon.execWithCapabilities("/bin/grep", ["Cap", "/proc/self/status"], ["A=b"], ["kill", "sys_ptrace"]);`;
  const prologue = `const addon = require(${JSON.stringify(path)});`;
  const text = execFileSync(process.execPath, ["-e", prologue + script], { encoding: "latin1" });
  const sets = Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(":\t")),
  );
  const two = "0000000000080020";
  const none = "0000000000000000";
  assert.deepEqual(sets, { CapInh: none, CapPrm: two, CapEff: two, CapBnd: two, CapAmb: none });
  t.diagnostic(text.replaceAll("\n", " "));
});

test("nothing is given up for a program that is not there", (t) => {
  const before = readTwin(process.pid)?.process.capabilities;
  assert.throws(() => addon.execWithCapabilities("/nowhere", [], [], []), {
    code: "ENOENT",
    message: /execute \/nowhere/,
  });
  assert.throws(() => addon.execWithCapabilities("/bin/true", [], [], ["sys_everything"]), /got sys_everything/);
  assert.equal(readTwin(process.pid)?.process.capabilities, before);
  t.diagnostic(String(before));
});

test("a hardened process is not dumpable and leaves no core", async (t) => {
  const script = `console.log("soft"); process.stdin.once("data", () => { addon.harden(); console.log("hard"); }); process.stdin.resume();`;
  const child = startNode(t, script, { uid: 65534, gid: 65534 });
  assert.equal(await lineOf(child), "soft");
  assert.equal(readTwin(child.pid)?.posture?.procOwner, 65534);
  child.stdin?.write("go\n");
  await until("it to be hard", () => (readTwin(child.pid)?.posture?.procOwner === 0 ? true : undefined));
  await until("its limit", () => (readTwin(child.pid)?.posture?.coreLimit?.join() === "0,0" ? true : undefined));
});
