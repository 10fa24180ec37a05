// What the bench times in C does what it says: ciphers against node:crypto, loops by what they leave behind.

import assert from "node:assert/strict";
import { createDecipheriv, hkdfSync } from "node:crypto";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import { verifyVectors } from "../../src/bench/crypto.ts";
import { execTimes, cpuNs, decrypt, encrypt, hkdf, loop, timeCipher } from "../../src/bench/primitives.ts";
import { readTableTwin, readThreadsTwin } from "../../src/bench/twin.ts";
import { requireDrillAddon } from "../../src/native.ts";

const bytes = (constraints: fc.IntArrayConstraints) => fc.uint8Array(constraints).map((array) => Buffer.from(array));
const of = (length: number) => bytes({ minLength: length, maxLength: length });

describe("ciphers", () => {
  it("give what the test vectors say", verifyVectors);

  it("AES-256-GCM is that of node:crypto, and takes no forged message", () => {
    fc.assert(
      fc.property(
        of(32),
        of(12),
        bytes({ maxLength: 300 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (key, iv, message, at, by) => {
          const sealed = encrypt(key, iv, message);
          const decipher = createDecipheriv("aes-256-gcm", key, iv);
          decipher.setAuthTag(sealed.subarray(message.length));
          assert.deepEqual(
            Buffer.concat([decipher.update(sealed.subarray(0, message.length)), decipher.final()]),
            message,
          );
          assert.deepEqual(decrypt(key, iv, sealed), message);
          const place = at % sealed.length;
          sealed[place] = (sealed[place] ?? 0) ^ by;
          assert.throws(() => decrypt(key, iv, sealed), { code: "EPROTO" });
        },
      ),
    );
  });

  it("HKDF-SHA256 is that of node:crypto", () => {
    const part = bytes({ maxLength: 100 });
    fc.assert(
      fc.property(
        bytes({ minLength: 1, maxLength: 100 }),
        part,
        part,
        fc.integer({ min: 1, max: 255 * 32 }),
        (key, salt, info, length) => {
          assert.deepEqual(hkdf(key, salt, info, length), Buffer.from(hkdfSync("sha256", key, salt, info, length)));
        },
      ),
    );
  });

  it("keys, messages and lengths that cannot be are refused", () => {
    const [key, iv] = [Buffer.alloc(32), Buffer.alloc(12)];
    for (const act of [
      () => encrypt(Buffer.alloc(31), iv, key),
      () => encrypt(key, Buffer.alloc(11), key),
      () => decrypt(key, iv, Buffer.alloc(15)),
      () => timeCipher("encrypt", 0, 1, 1),
      () => timeCipher("encrypt", 2 ** 30, 1, 1),
      () => timeCipher("hkdf", 32, 0, 1),
      () => requireDrillAddon().bench(BigUint64Array.of(1_000n), Buffer.alloc(24)),
      () => requireDrillAddon().bench(BigUint64Array.of(0n, 1n, 1n), Buffer.alloc(23)),
    ])
      assert.throws(act, { code: "EINVAL" });
  });

  it("are timed on every thread", () => {
    for (const cipher of ["encrypt", "decrypt", "hkdf"] as const) {
      const { calls, wallNs, cpuNs } = timeCipher(cipher, 1_024, 2, 20);
      assert.ok(calls > 0 && wallNs > 0 && cpuNs > 0);
    }
  });
});

describe("loops", () => {
  it("do as many acts as they are told, on each thread", () => {
    for (const name of ["getppid", "openClose", "mapTouch"] as const)
      assert.equal(loop(name, { threads: 3, calls: 50 }).calls, 150);
  });

  it("end with their time, and hold their pace", () => {
    const { calls } = loop("getppid", { ms: 100, perSecond: 1_000 });
    assert.ok(calls > 0 && calls <= 102, `${calls}`);
  });

  it("leave no process, no descriptor and no mapping behind", () => {
    const descriptors = () => readdirSync("/proc/self/fd").length;
    const before = descriptors();
    loop("forkExec", { calls: 5 });
    loop("readProc", { calls: 2 });
    loop("openMaps", { calls: 5, pid: process.pid });
    assert.equal(descriptors(), before);
  });

  it("read memory of another, by themselves or by children", () => {
    const { address } = requireDrillAddon().attack.secret();
    for (const name of ["readMemory", "forkRead"] as const)
      assert.equal(loop(name, { calls: 3, pid: process.pid, address }).calls, 3);
    assert.throws(() => loop("readMemory", { calls: 1, pid: process.pid, address: 0n }), { code: "EFAULT" });
    assert.throws(() => loop("readMemory", { calls: 1, pid: 4_194_303, address }), { code: "ESRCH" });
  });

  it("execute what they are told, each time, and say how long each took", () => {
    assert.ok(execTimes("/bin/true", 3).every((ns) => ns > 0));
    assert.throws(() => execTimes("/bin/false", 1), /-10/, "ECHILD");
    assert.throws(() => execTimes("/bin/true", 1, true), /-10/, "ECHILD");
  });

  it("CPU time rises, with that of children", () => {
    const before = cpuNs();
    loop("forkExec", { calls: 5 });
    assert.ok(cpuNs() > before);
  });
});

it("the twin in TypeScript sees every process and every thread of ours", () => {
  const table = readTableTwin();
  assert.ok(table.some(({ pid, parentPid }) => pid === process.pid && parentPid === process.ppid));
  assert.deepEqual([...readThreadsTwin(process.pid).keys()], readdirSync("/proc/self/task").map(Number));
});
