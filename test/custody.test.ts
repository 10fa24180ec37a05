import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { listenForRimon, type CustodyOptions, type CustodyRequest } from "../src/custody.ts";
import { until } from "./responders/verdicts.ts";

const folder = mkdtempSync(join(tmpdir(), "rimon-custody-"));
after(() => rmSync(folder, { recursive: true }));
let made = 0;

async function custody(options: Partial<CustodyOptions> = {}) {
  const socket = options.socket ?? join(folder, `${made++}.sock`);
  const done: CustodyRequest[] = [];
  const service = await listenForRimon({
    async rotateMasterKey(request) {
      done.push(request);
      return { epoch: 7 + done.length, previousEpoch: 6 + done.length };
    },
    async evictTenantKeks(request) {
      done.push(request);
      return { evicted: request.tenants.length };
    },
    ...options,
    socket,
  });
  return { service, socket, done };
}

/** Writes everything, ends its side, and returns the lines that came until the other side ended. */
async function say(path: string, bytes: string | Uint8Array): Promise<unknown[]> {
  const socket = connect({ path, allowHalfOpen: true });
  let received = "";
  socket.on("data", (chunk: Buffer) => (received += chunk.toString()));
  socket.on("error", () => {});
  socket.end(bytes);
  await new Promise((resolve) => socket.on("close", resolve));
  return received
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown);
}

const request = (fields: object = {}) =>
  `${JSON.stringify({ id: 1, action: "rotate-master-key", finding: "F1", tenants: ["org-pharma"], ...fields })}\n`;

test("answers every request on its line, in order", async () => {
  const { service, socket, done } = await custody();
  const evict = request({ id: "two", action: "evict-tenant-keks", finding: "F2", tenants: ["a", "b"], node: "n" });
  assert.deepEqual(await say(socket, request() + "\n" + evict), [
    { id: 1, ok: true, epoch: 8, previousEpoch: 7 },
    { id: "two", ok: true, evicted: 2 },
  ]);
  assert.deepEqual(done[1], { action: "evict-tenant-keks", finding: "F2", tenants: ["a", "b"], node: "n" });
  await service.close();
  assert.ok(!existsSync(socket));
});

test("a request repeated for a finding is answered again and not carried out again", async () => {
  const { service, socket, done } = await custody();
  const answers = await Promise.all(Array.from({ length: 10 }, (_, id) => say(socket, request({ id }))));
  answers.forEach((answer, id) => assert.deepEqual(answer, [{ id, ok: true, epoch: 8, previousEpoch: 7 }]));
  assert.equal(done.length, 1);
  await say(socket, request({ action: "evict-tenant-keks" }));
  await say(socket, request({ finding: "F2" }));
  assert.equal(done.length, 3);
  await service.close();
});

test("what failed is tried again when it is asked for again", async () => {
  let tries = 0;
  const { service, socket } = await custody({
    rotateMasterKey: async () => {
      if (tries++ === 0) throw new Error("sealed");
      return { epoch: 2 };
    },
  });
  assert.deepEqual(await say(socket, request()), [{ id: 1, ok: false, error: "sealed" }]);
  assert.deepEqual(await say(socket, request()), [{ id: 1, ok: true, epoch: 2 }]);
  await service.close();
});

test("only numbers go back, and a handler that returns none is an error", async () => {
  const returned = { epoch: 2, key: "s3cret" };
  const { service, socket } = await custody({
    rotateMasterKey: async () => returned,
    evictTenantKeks: async () => ({}) as { evicted: number },
  });
  assert.deepEqual(await say(socket, request()), [{ id: 1, ok: true, epoch: 2 }]);
  assert.deepEqual(await say(socket, request({ action: "evict-tenant-keks" })), [
    { id: 1, ok: false, error: 'evictTenantKeks was expected to return a whole number as "evicted"' },
  ]);
  await service.close();
});

for (const [line, error] of [
  ["noise", "expected one JSON object a line"],
  ["[1]", "expected one JSON object a line"],
  ["null", "expected one JSON object a line"],
  ['{"action":"reveal-keys","finding":"F"}', 'expected "rotate-master-key" or "evict-tenant-keks" as "action"'],
  ['{"action":"__proto__","finding":"F"}', 'expected "rotate-master-key" or "evict-tenant-keks" as "action"'],
  ['{"action":"rotate-master-key"}', 'expected the finding\'s id as "finding"'],
  ['{"action":"rotate-master-key","finding":7}', 'expected a text of at most 256 characters as "finding"'],
  ['{"action":"rotate-master-key","finding":"F","tenants":[7]}', 'expected a list of ids as "tenants"'],
  ['{"id":{},"action":"rotate-master-key"}', 'expected a number or a text of at most 128 characters as "id"'],
] as const) {
  test(`refuses ${line}`, async () => {
    const { service, socket, done } = await custody();
    assert.deepEqual(await say(socket, `${line}\n`), [{ id: null, ok: false, error }]);
    assert.equal(done.length, 0);
    await service.close();
  });
}

test("a line is at most 64 KiB long, with or without an end", async () => {
  const { service, socket, done } = await custody();
  for (const end of ["", "\n", `\n${request()}`]) {
    const answers = await say(socket, "x".repeat(70_000) + end);
    // The connection may be reset before the refusal is read.
    if (answers.length > 0)
      assert.deepEqual(answers, [{ id: null, ok: false, error: "expected lines of at most 65536 bytes" }]);
  }
  assert.equal(done.length, 0);
  await service.close();
});

test("random bytes never end the service", async () => {
  const { service, socket } = await custody();
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json().map((json) => Buffer.from(`${json}\n`)),
    fc
      .constantFrom("\n", "\r\n", "{", '{"action":"rotate-master-key","finding":"', "\0")
      .map((text) => Buffer.from(text)),
  );
  const property = fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
    await say(socket, Buffer.concat(pieces));
  });
  await fc.assert(property, { numRuns: 200 });
  assert.equal((await say(socket, request())).length, 1);
  await service.close();
});

test("connections are bounded", async () => {
  const { service, socket } = await custody();
  const open: Socket[] = [];
  const closed: Promise<unknown>[] = [];
  for (let each = 0; each < 40; each++) {
    const connection = connect(socket);
    connection.on("error", () => {});
    open.push(connection);
    closed.push(new Promise((resolve) => connection.on("close", resolve)));
  }
  // Those beyond the bound are closed at once; the others wait for a request.
  await Promise.race(closed);
  let ended = 0;
  for (const each of closed) void each.then(() => ended++);
  await until(() => ended === 24);
  for (const connection of open) connection.destroy();
  await Promise.all(closed);
  assert.equal((await say(socket, request())).length, 1);
  await service.close();
});

test("a peer that does not read its answers does not make them pile up", async () => {
  let done = 0;
  const { service, socket } = await custody({
    rotateMasterKey: async () => ({ epoch: ++done }),
  });
  const deaf = connect(socket).pause();
  deaf.on("error", () => {});
  const flood = () => {
    let room = true;
    while (room) room = deaf.write(request({ finding: String(Math.random()), id: "x".repeat(100) }));
  };
  deaf.on("drain", flood);
  flood();
  let before = -1;
  while (before !== done) {
    before = done;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  assert.ok(done < 100_000);
  deaf.destroy();
  await service.close();
});

test("the socket is for its owner, and for the user it is given to", async () => {
  const { service, socket } = await custody({ allowUid: 65_534 });
  const { mode, uid } = statSync(socket);
  assert.equal(mode & 0o777, 0o600);
  assert.equal(uid, process.geteuid?.() === 0 ? 65_534 : uid);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith(".r")),
    [],
  );
  await service.close();
});

test("a stale socket is replaced, a live one and a file are left alone", async () => {
  const path = join(folder, "stale.sock");
  const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  await once(spawn(process.execPath, ["-e", script]), "exit");
  assert.ok(statSync(path).isSocket());
  const { service, socket } = await custody({ socket: path });
  await assert.rejects(custody({ socket }), { code: "RIMON_USAGE", message: /somebody already listens/ });
  assert.equal((await say(socket, request())).length, 1);
  await service.close();

  writeFileSync(path, "a file");
  await assert.rejects(custody({ socket: path }), /expected nothing or a stale socket/);
  await assert.rejects(custody({ socket: join(folder, "x".repeat(120)) }), /at most 107 bytes/);
});

test("close answers what is under way, and leaves a successor's socket", async () => {
  let release: (() => void) | undefined;
  const { service, socket } = await custody({
    rotateMasterKey: () => new Promise((resolve) => (release = () => resolve({ epoch: 9 }))),
  });
  const answer = say(socket, request());
  const idle = connect(socket);
  idle.on("error", () => {});
  await until(() => release !== undefined);
  const closing = service.close();
  rmSync(socket, { force: true });
  const successor = createServer().listen(socket);
  await once(successor, "listening");
  release?.();
  await closing;
  assert.deepEqual(await answer, [{ id: 1, ok: true, epoch: 9 }]);
  assert.ok(existsSync(socket));
  successor.close();
});

test("close does not wait for ever, and a signal closes", async () => {
  const stop = new AbortController();
  const { service, socket } = await custody({ rotateMasterKey: () => new Promise(() => {}), signal: stop.signal });
  const answer = say(socket, request());
  const idle = connect(socket);
  idle.on("error", () => {});
  await once(idle, "connect");
  await service.close(20);
  assert.deepEqual(await answer, []);

  const other = await custody({ signal: stop.signal });
  stop.abort();
  await other.service.close();
  assert.ok(!existsSync(other.socket));
  await assert.rejects(custody({ signal: stop.signal }), { name: "AbortError" });
});
