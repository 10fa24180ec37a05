// The fixtures themselves: what the other proofs stand on must stand.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createSocket } from "node:dgram";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { basename } from "node:path";
import { after, describe, test } from "node:test";
import type { KeyAction, KeyAnswer, KeyRequest } from "../src/responders/drivers/driver.ts";
import { socketDriver } from "../src/responders/drivers/socket.ts";
import { attack, mountProcfs, startAttack } from "./fixtures/attack.ts";
import { compile } from "./fixtures/compile.ts";
import { startLoad } from "./fixtures/load.ts";
import { startRimon } from "./fixtures/monitor.ts";
import { startReceiver, startSyslogReceiver } from "./fixtures/receiver.ts";
import { Recording } from "./fixtures/recording.ts";
import { startKms, startStorageNode, type Kms, type StorageNode } from "./fixtures/storage.ts";
import { spawnTarget } from "./fixtures/target.ts";

const DEADLINE_MS = 30_000;

describe("target", () => {
  test("tells its threads and children, and ends with its input", async () => {
    const target = await spawnTarget({ threads: 3, children: 2 });
    assert.equal(readFileSync(`/proc/${target.pid}/comm`, "utf8"), "target\n");
    assert.deepEqual(
      readdirSync(`/proc/${target.pid}/task`).map(Number),
      target.tids.toSorted((a, b) => a - b),
    );
    assert.equal(target.tids.length, 4);
    for (const child of target.children) {
      assert.equal(readFileSync(`/proc/${child}/stat`, "utf8").split(" ")[3], String(target.pid));
    }
    assert.equal(target.secret.length, target.length * 2);
    assert.deepEqual(await target.stop(), { code: 0, signal: null });
    await goneOrZombie(target.children);
  });

  test("obeys each command", async () => {
    const target = await spawnTarget();
    after(() => target.stop());
    const { pid } = target;
    const maps = (): string => readFileSync(`/proc/${pid}/maps`, "utf8");
    const evil = compile("evil", { shared: true });

    assert.ok(!maps().includes(evil));
    const mapped = await target.command(`map ${evil}`);
    assert.match(maps(), new RegExp(`^${mapped.address?.slice(2)}-.* r-xp .*${evil}$`, "m"));
    const page = await target.command("mprotect");
    assert.match(maps(), new RegExp(`^${page.address?.slice(2)}-.* rwxp `, "m"));
    const preload = compile("preload", { shared: true });
    await target.command(`dlopen ${preload}`);
    assert.ok(maps().includes(preload));
    await assert.rejects(target.command("dlopen /nowhere/none.so"), /could not dlopen.*nowhere/);

    await target.command("core 4096 8192");
    assert.match(readFileSync(`/proc/${pid}/limits`, "utf8"), /Max core file size +4096 +8192 /);
    const { fd } = await target.command("open /etc/hostname");
    assert.ok(existsSync(`/proc/${pid}/fd/${fd}`));
    const { tid } = await target.command("thread");
    assert.ok(existsSync(`/proc/${pid}/task/${tid}`));
    await target.command("comm other");
    assert.equal(readFileSync(`/proc/${pid}/comm`, "utf8"), "other\n");

    const before = target.secret;
    await target.exec();
    assert.equal(target.pid, pid);
    assert.notEqual(target.secret, before);
    assert.ok(!maps().includes(preload));
    await assert.rejects(target.command("dance"), /could not dance/);
  });

  test("drops a core file where it stands, and none when it may not", async (t) => {
    const pattern = readFileSync("/proc/sys/kernel/core_pattern", "utf8").trim();
    const dumping = await spawnTarget({ core: 0 });
    await dumping.command("raise 6");
    assert.equal((await dumping.exited).signal, "SIGABRT");
    assert.deepEqual(readdirSync(dumping.cwd), []);

    const hard = /Max core file size +\S+ +(\S+)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    if (pattern.startsWith("|") || pattern.includes("/") || hard !== "unlimited") {
      t.diagnostic(`no core file can be looked for: core_pattern is ${pattern}, the hard limit ${hard}`);
      return;
    }
    for (const dontDump of [false, true]) {
      const free = await spawnTarget({ core: "unlimited", dontDump });
      await free.command("raise 6");
      assert.equal((await free.exited).signal, "SIGABRT");
      const [core] = readdirSync(free.cwd);
      assert.ok(core?.startsWith("core"), `expected a core file in ${free.cwd}`);
      assert.equal(readFileSync(`${free.cwd}/${core}`).includes(Buffer.from(free.secret, "hex")), !dontDump);
    }
  });

  test("runs under another name, as another user, not dumpable", async () => {
    const target = await spawnTarget({ name: "vault", uid: 65534, gid: 65534, dumpable: false });
    after(() => target.stop());
    assert.equal(readFileSync(`/proc/${target.pid}/comm`, "utf8"), "vault\n");
    assert.match(readFileSync(`/proc/${target.pid}/status`, "utf8"), /^Uid:\t65534/m);
  });
});

describe("attackers", () => {
  for (const name of ["seize", "attach", "readv", "mem", "othermount"]) {
    test(`${name} reads the secret`, async () => {
      const target = await spawnTarget();
      after(() => target.stop());
      const before = process.hrtime.bigint();
      const act = await attack(name, target);
      assert.equal(act.hex, target.secret, JSON.stringify(act));
      assert.ok(act.at > Number(before) && act.at < Number(process.hrtime.bigint()), "`at` is of CLOCK_MONOTONIC");
      // It was let go in a state in which it still answers.
      await target.command("thread");
    });
  }

  test("getfd reads the secret through the target's own descriptor", async () => {
    const target = await spawnTarget();
    after(() => target.stop());
    const { fd } = await target.command("open /proc/self/mem");
    const act = await attack("getfd", target, [fd ?? -1]);
    assert.equal(act.hex, target.secret, JSON.stringify(act));
  });

  test("seize and attach hold a thread of the target", async () => {
    const target = await spawnTarget({ threads: 1 });
    after(() => target.stop());
    const tid = target.tids[1] ?? 0;
    for (const name of ["seize", "attach"]) {
      const held = startAttack(name, [tid, target.address, target.length, 60_000], "gdb");
      assert.equal((await held.next()).hex, target.secret);
      assert.match(
        readFileSync(`/proc/${target.pid}/task/${tid}/status`, "utf8"),
        new RegExp(`^TracerPid:\t${held.pid}$`, "m"),
      );
      assert.equal(basename(held.exe), "gdb");
      await held.end();
    }
    await target.command("thread");
  });

  test("mem holds the descriptor and reads later, by a relative path too", async () => {
    const target = await spawnTarget();
    after(() => target.stop());
    const args = ["mem", target.address, target.length, "--hold", "--chdir", `/proc/${target.pid}`];
    const held = startAttack("mem", args);
    const opened = await held.next();
    assert.equal(opened.did, "open");
    held.release();
    const read = await held.next();
    assert.equal(read.hex, target.secret);
    assert.ok(read.at > opened.at);
  });

  test("mem reads through a procfs that procmount mounted", async () => {
    const target = await spawnTarget();
    after(() => target.stop());
    const mounted = await mountProcfs();
    const act = await attack("mem", {
      pid: `${mounted.directory}/${target.pid}/mem`,
      address: target.address,
      length: target.length,
    });
    await mounted.unmount();
    assert.equal(act.hex, target.secret, JSON.stringify(act));
    assert.ok(!existsSync(mounted.directory));
  });

  test("one that fails says which call and why", async () => {
    const act = await attack("mem", { pid: "/nowhere", address: "0x1000", length: 8 });
    assert.deepEqual([act.failed, act.error], ["open", "ENOENT"]);
  });

  test("the libraries load into a new program", async () => {
    const preload = compile("preload", { shared: true });
    const audit = compile("audit", { shared: true });
    const target = await spawnTarget({ env: { LD_PRELOAD: preload, LD_AUDIT: audit } });
    after(() => target.stop());
    const maps = readFileSync(`/proc/${target.pid}/maps`, "utf8");
    assert.ok(maps.includes(preload));
    assert.ok(maps.includes(audit));
  });
});

describe("receiver", () => {
  test("records, answers as told, goes down and comes back on its port", async () => {
    const receiver = await startReceiver();
    after(() => receiver.close());
    const post = (body: string): Promise<number> =>
      fetch(`${receiver.url}alerts`, { method: "POST", body, headers: { "x-test": "yes", connection: "close" } }).then(
        (response) => response.status,
      );

    receiver.answerWith(503, 429);
    assert.deepEqual([await post("1"), await post("2"), await post("3")], [503, 429, 200]);
    const second = await receiver.waitFor(({ body }) => body === "2", DEADLINE_MS);
    assert.deepEqual([second.path, second.headers["x-test"], second.answered], ["/alerts", "yes", 429]);

    await receiver.down();
    await assert.rejects(post("4"), /fetch failed/);
    await receiver.up();
    const awaited = receiver.waitFor(({ body }) => body === "5", DEADLINE_MS);
    assert.equal(await post("5"), 200);
    assert.ok((await awaited).at >= second.at);
    assert.deepEqual(
      receiver.received.map(({ body }) => body),
      ["1", "2", "3", "5"],
    );

    receiver.answerWith("hang");
    const hanging = assert.rejects(post("6"), /fetch failed/);
    await receiver.waitFor(({ body }) => body === "6", DEADLINE_MS);
    await receiver.down();
    await hanging;
  });

  test("takes syslog over UDP", async () => {
    const receiver = await startSyslogReceiver("udp");
    const socket = createSocket("udp4");
    after(async () => {
      socket.close();
      await receiver.close();
    });
    await receiver.down();
    await receiver.up();
    socket.send("<10>1 one", receiver.port, "127.0.0.1");
    assert.equal((await receiver.waitFor(({ text }) => text.endsWith("one"), DEADLINE_MS)).text, "<10>1 one");
  });

  test("takes syslog over TCP in both framings, cut anywhere", async () => {
    const receiver = await startSyslogReceiver("tcp");
    after(() => receiver.close());
    const socket = connect(receiver.port, "127.0.0.1");
    for (const part of ["<10>1 on", "e\n9 <10>1 tw", "o10 <10>1 dré<10>1 four\n"]) {
      await new Promise((written) => socket.write(part, written));
    }
    socket.end();
    await receiver.waitFor(({ text }) => text === "<10>1 four", DEADLINE_MS);
    assert.deepEqual(
      receiver.received.map(({ text }) => text),
      ["<10>1 one", "<10>1 two", "<10>1 dré", "<10>1 four"],
    );
  });
});

describe("storage node", () => {
  test("serves its clients without a failure through rotations and evictions asked for over its socket", async () => {
    const { kms, node } = await startStorage();
    const keeper = socketDriver({ kind: "socket", path: node.custody, timeoutMs: DEADLINE_MS });
    const ask = (action: KeyAction): Promise<KeyAnswer> => {
      const request: KeyRequest = {
        action,
        finding: randomUUID(),
        rule: "memory-read",
        severity: "critical",
        node: "test",
        time: new Date().toISOString(),
        tenants: ["org-pharma", "org-bio"],
      };
      return keeper.request(request, new AbortController().signal);
    };

    const load = startLoad({ url: node.url });
    after(() => load.stop());
    await load.more(100);
    for (const previousEpoch of [1, 2, 3]) {
      assert.deepEqual(await ask("rotate-master-key"), { epoch: previousEpoch + 1, previousEpoch });
      await load.more(50);
    }
    const before = await kms.stats();
    assert.deepEqual(before.kekFetches, { "org-pharma": 1, "org-bio": 1 });
    assert.deepEqual(await ask("evict-tenant-keks"), { evicted: 2 });
    await load.more(50);

    const report = await load.stop();
    assert.equal(report.failures, 0, report.firstFailure);
    assert.ok(report.requests >= 300);
    const status = await node.status();
    assert.deepEqual([status.epoch, status.failures, status.requests], [4, 0, report.requests]);
    const stats = await kms.stats();
    assert.deepEqual([stats.epoch, stats.rotations], [4, 3]);
    // Fetched anew, and once: the requests that came meanwhile shared it.
    assert.deepEqual(stats.kekFetches, { "org-pharma": 2, "org-bio": 2 });
    assert.deepEqual(status.kekFetches, stats.kekFetches);

    await kms.fault({ status: 500, path: "/master" });
    await assert.rejects(ask("rotate-master-key"));
    await kms.fault({});
    assert.equal((await ask("rotate-master-key")).epoch, 5);
  });

  test("answers 503 while the KMS fails, and counts it", async () => {
    const { kms, node } = await startStorage();
    await kms.fault({ status: 500, delayMs: 20, path: "/tenants" });
    const put = (): Promise<number> =>
      fetch(`${node.url}/v1/org-bio/one`, { method: "PUT", body: "1" }).then(({ status }) => status);
    assert.equal(await put(), 503);
    await kms.fault({});
    assert.equal(await put(), 201);
    assert.deepEqual(await node.status(), { epoch: 1, kekFetches: { "org-bio": 2 }, requests: 2, failures: 1 });
    assert.equal(await fetch(`${node.url}/v1/org-pharma/one`).then(({ status }) => status), 404);
  });
});

describe("monitor", () => {
  test("a rimon that ends instead of becoming ready is told with its stderr", async () => {
    const monitor = startRimon({ config: "mode: no-such-mode\n" });
    await assert.rejects(monitor.ready, /expected a ready record, but rimon ended with code [^0].*rimon's stderr:\n./s);
    await assert.rejects(
      monitor.waitFor(() => false, DEADLINE_MS),
      /rimon ended/,
    );
    assert.notEqual(await monitor.stop(), 0);
  });
});

describe("recording", () => {
  test("a wait that fails says what came instead", async () => {
    const recording = new Recording<number>("numbers", () => "and nothing else is known");
    recording.add(7);
    await assert.rejects(
      recording.waitFor((n) => n === 8, 1, "an eight"),
      (error: Error) => {
        assert.equal(
          error.message,
          "expected an eight, but 1 ms went by; 1 numbers came, the last of them:\n  7\nand nothing else is known",
        );
        return true;
      },
    );
    const waiting = recording.waitFor((n) => n === 8, DEADLINE_MS);
    recording.end("it is over");
    await assert.rejects(waiting, /it is over/);
    await assert.rejects(
      recording.waitFor((n) => n === 8, DEADLINE_MS),
      /it is over/,
    );
  });
});

async function startStorage(): Promise<{ kms: Kms; node: StorageNode }> {
  const kms = await startKms();
  after(() => kms.stop());
  const node = await startStorageNode({ kms: kms.url });
  after(() => node.stop());
  return { kms, node };
}

async function goneOrZombie(pids: readonly number[]): Promise<void> {
  const alive = (pid: number): boolean => {
    try {
      return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
    } catch {
      return false;
    }
  };
  const deadline = Date.now() + DEADLINE_MS;
  while (pids.some(alive)) {
    assert.ok(Date.now() < deadline, `expected ${pids.join(", ")} to die with their parent`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
