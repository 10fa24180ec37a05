import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer as createHttp, type IncomingHttpHeaders, type RequestListener } from "node:http";
import { createServer as createHttps } from "node:https";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { after, test } from "node:test";
import type { SinkSettings } from "../../src/configuration.ts";
import { alertLine, viewFor } from "../../src/responders/alert-view.ts";
import { createSink } from "../../src/responders/sinks/all.ts";
import { falcoJson } from "../../src/responders/sinks/falcosidekick.ts";
import { syslogMessage } from "../../src/responders/sinks/syslog.ts";
import { until, verdictOf } from "./verdicts.ts";

const folder = mkdtempSync(join(tmpdir(), "rimon-sinks-"));
after(() => rmSync(folder, { recursive: true }));

const PAYLOAD = alertLine(viewFor({ kind: "cluster" }, verdictOf()));
const never = new AbortController().signal;
const sinkOf = (settings: SinkSettings) => createSink("cluster-1", settings, new PassThrough());

async function listening(server: Server, port = 0): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function http(port: number, extra: object = {}): SinkSettings {
  return { kind: "webhook", method: "POST", url: `http://127.0.0.1:${port}/alerts`, timeoutMs: 20_000, ...extra };
}

/** A server that keeps what it was sent and answers with `status`. */
function receiver(status = 204) {
  const got: { method: string; headers: IncomingHttpHeaders; body: string }[] = [];
  const listener: RequestListener = (request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      got.push({ method: request.method ?? "", headers: request.headers, body });
      response.writeHead(status).end();
    });
  };
  return { got, listener };
}

async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (thrown) {
    assert.ok(thrown instanceof Error);
    return `${thrown.message} ${String(thrown.cause ?? "")}`.trim();
  }
  throw new Error("expected a failure");
}

test("stdout: a line an alert; a broken pipe is a failure and not an end", async () => {
  const written: string[] = [];
  const out = new Writable({
    write(chunk, _encoding, done) {
      if (written.length > 0) return done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
      written.push(String(chunk));
      done();
    },
  });
  const sink = createSink("cluster-1-stdout", { kind: "stdout" }, out);
  await sink.deliver(PAYLOAD, never);
  assert.deepEqual(written, [`${PAYLOAD}\n`]);
  assert.match(await failure(sink.deliver(PAYLOAD, never)), /EPIPE/);
});

test("file: appended, for the owner only, not through a link, not into a fifo", async () => {
  const path = join(folder, "alerts.ndjson");
  const sink = sinkOf({ kind: "file", path });
  await sink.deliver(PAYLOAD, never);
  await sink.deliver(PAYLOAD, never);
  assert.equal(readFileSync(path, "utf8"), `${PAYLOAD}\n${PAYLOAD}\n`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  symlinkSync(path, join(folder, "link"));
  assert.match(await failure(sinkOf({ kind: "file", path: join(folder, "link") }).deliver(PAYLOAD, never)), /ELOOP/);
  execFileSync("mkfifo", [join(folder, "fifo")]);
  assert.match(await failure(sinkOf({ kind: "file", path: join(folder, "fifo") }).deliver(PAYLOAD, never)), /ENXIO/);
});

test("webhook: down is a failure, back is a delivery", async () => {
  const { got, listener } = receiver();
  const first = createHttp(listener);
  const port = await listening(first);
  first.close();
  await once(first, "close");
  const sink = sinkOf(http(port));
  assert.match(await failure(sink.deliver(PAYLOAD, never)), new RegExp(`^http://127.0.0.1:${port}: .*ECONNREFUSED`));
  const second = createHttp(listener);
  await listening(second, port);
  await sink.deliver(PAYLOAD, never);
  assert.equal(got.length, 1);
  assert.equal(got[0]?.body, PAYLOAD);
  assert.equal(got[0]?.headers["content-type"], "application/json");
  second.close();
});

test("webhook: header files and tokens are read anew each time", async () => {
  const { got, listener } = receiver();
  const server = createHttp(listener);
  const headersFile = join(folder, "headers");
  const token = join(folder, "token");
  const sink = sinkOf(http(await listening(server), { headersFile, bearer: { file: token } }));
  for (const round of ["first", "second"]) {
    writeFileSync(headersFile, `# of the service\nX-Scope: ${round}-scope\n\nX-Other:  spaced \n`);
    writeFileSync(token, `${round}-token\n`);
    await sink.deliver(PAYLOAD, never);
  }
  server.close();
  assert.deepEqual(
    got.map(({ headers }) => [headers["x-scope"], headers["x-other"], headers.authorization]),
    [
      ["first-scope", "spaced", "Bearer first-token"],
      ["second-scope", "spaced", "Bearer second-token"],
    ],
  );
});

for (const [status, permanent] of [
  [300, false],
  [400, true],
  [401, false],
  [403, false],
  [404, false],
  [408, false],
  [413, true],
  [425, false],
  [429, false],
  [422, true],
  [500, false],
  [503, false],
] as const) {
  test(`webhook: ${status} is ${permanent ? "" : "not "}a refusal for good`, async () => {
    const server = createHttp(receiver(status).listener);
    const port = await listening(server);
    await assert.rejects(
      sinkOf(http(port)).deliver(PAYLOAD, never),
      (thrown: Error) => ("permanent" in thrown && thrown.permanent === true) === permanent,
    );
    server.close();
  });
}

test("webhook: no error gives a secret away, not even one the server repeats", async () => {
  const server = createHttp((request, response) => {
    response.writeHead(403).end(`no: ${request.url} ${JSON.stringify(request.rawHeaders)}`);
  });
  const port = await listening(server);
  const headersFile = join(folder, "secret-headers");
  writeFileSync(headersFile, "X-Api-Key: hunter2-hunter2\n");
  process.env["RIMON_TEST_TOKEN"] = "s3cr3t-bearer";
  const url = `http://bob:pa55word@127.0.0.1:${port}/services/T0123456789ABCDEFGH?key=qu3ry`;
  const said = await failure(
    sinkOf(http(port, { url, headersFile, bearer: { env: "RIMON_TEST_TOKEN" } })).deliver(PAYLOAD, never),
  );
  delete process.env["RIMON_TEST_TOKEN"];
  server.close();
  assert.match(said, /expected a 2xx status, got 403/);
  assert.ok(!/hunter2|s3cr3t|pa55word|T0123|qu3ry/.test(said), said);

  for (const line of [
    "hunter2-hunter2",
    "X-Api-Key: hunter2\u0001",
    "Content-Length: 7 hunter2",
    "bad name: hunter2",
  ]) {
    writeFileSync(headersFile, `${line}\n`);
    const told = await failure(sinkOf(http(port, { headersFile })).deliver(PAYLOAD, never));
    assert.equal(told, `${headersFile}:1: expected "Name: value"`);
  }
  writeFileSync(headersFile, "two words");
  const told = await failure(sinkOf(http(port, { bearer: { file: headersFile } })).deliver(PAYLOAD, never));
  assert.ok(/expected a bearer token/.test(told) && !told.includes("two words"));
});

test("webhook: silence, endless answers and redirects are failures", async () => {
  const silent = createServer();
  const slow = sinkOf(http(await listening(silent), { timeoutMs: 50 }));
  assert.match(await failure(slow.deliver(PAYLOAD, never)), /expected an answer within 50 ms/);
  const stopping = sinkOf(http((silent.address() as AddressInfo).port));
  assert.match(await failure(stopping.deliver(PAYLOAD, AbortSignal.timeout(20))), /stopped before it answered/);
  silent.close();

  const endless = createHttp((_request, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write("x".repeat(64 * 1024)), 1);
    response.on("close", () => clearInterval(timer));
  });
  assert.match(await failure(sinkOf(http(await listening(endless))).deliver(PAYLOAD, never)), /at most 65536 bytes/);
  endless.close();

  const elsewhere = createHttp((_request, response) => response.writeHead(302, { location: "/" }).end());
  assert.match(await failure(sinkOf(http(await listening(elsewhere))).deliver(PAYLOAD, never)), /got 302/);
  elsewhere.close();
});

test("webhook: a certificate is trusted through caFile only", async () => {
  const [keyFile, caFile] = [join(folder, "tls.key"), join(folder, "tls.crt")];
  execFileSync(
    "openssl",
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=rimon-test -days 2
     -addext subjectAltName=IP:127.0.0.1 -keyout ${keyFile} -out ${caFile}`.split(/\s+/),
    { stdio: "ignore" },
  );
  const { got, listener } = receiver(200);
  const server = createHttps({ key: readFileSync(keyFile), cert: readFileSync(caFile) }, listener);
  const url = `https://127.0.0.1:${await listening(server)}/`;
  assert.match(await failure(sinkOf(http(0, { url })).deliver(PAYLOAD, never)), /self.signed certificate/);
  await sinkOf(http(0, { url, caFile })).deliver(PAYLOAD, never);
  server.close();
  assert.equal(got.length, 1);
});

test("falcosidekick: Falco's JSON, nanoseconds to the last digit", async () => {
  const { got, listener } = receiver(200);
  const server = createHttp(listener);
  const settings = { ...http(await listening(server)), kind: "falcosidekick" } as SinkSettings;
  await sinkOf(settings).deliver(PAYLOAD, never);
  server.close();
  const body = got[0]?.body ?? "";
  assert.ok(body.includes(`"evt.time":${BigInt(Date.parse("2026-04-17T10:00:00.123Z"))}000000,`));
  assert.deepEqual(JSON.parse(body.replace(/"evt.time":\d+,/, "")), {
    output: "critical on node-7: gdb (9312, root) read the memory of vault (4121)",
    priority: "Critical",
    rule: "memory-read",
    time: "2026-04-17T10:00:00.123Z",
    source: "rimon",
    tags: ["rimon", "process-vm-readv", "read"],
    hostname: "node-7",
    output_fields: {
      "proc.pid": 9312,
      "proc.name": "gdb",
      "proc.cmdline": "gdb -p 4121",
      "proc.exepath": "/usr/bin/gdb",
      "proc.ppid": 9120,
      "user.uid": 0,
      "rimon.id": "01JD0000000000000000000000",
      "rimon.severity": "critical",
      "rimon.technique": "process-vm-readv",
      "rimon.operation": "read",
      "rimon.count": 1,
      "rimon.tenants": "org-pharma",
      "rimon.target.pid": 4121,
      "rimon.target.name": "vault",
    },
  });
  const priorities = (["critical", "high", "medium", "low", "info"] as const).map((severity) => {
    const alert = alertLine(viewFor({ kind: "cluster" }, verdictOf({ severity })));
    return (JSON.parse(falcoJson(alert)) as { priority: string }).priority;
  });
  assert.deepEqual(priorities, ["Critical", "Error", "Warning", "Notice", "Informational"]);
  for (const sparse of ["{}", '{"time":"2026-04-17T10:00:00Z"}']) JSON.parse(falcoJson(sparse));
  assert.throws(() => falcoJson("[]"), /expected an alert as a JSON object/);
});

/** RFC 5424, written down a second time. */
function parseSyslog(message: string) {
  const head = /^<(\d{1,3})>1 (\S+) (\S+) (\S+) (\S+) (\S+) \[([^ \]]+)/.exec(message);
  assert.ok(head, message);
  const parameters: Record<string, string> = {};
  let at = head[0].length;
  while (message[at] === " ") {
    const name = message.slice(at + 1, message.indexOf("=", at));
    at += name.length + 2;
    assert.equal(message[at++], '"');
    let value = "";
    for (; message[at] !== '"'; at++) {
      assert.ok(at < message.length && message[at] !== "]", `unescaped in ${message}`);
      if (message[at] === "\\") at++;
      value += message[at];
    }
    at++;
    parameters[name] = value;
  }
  assert.equal(message.slice(at, at + 2), "] ");
  const [, priority, time, host, app, procid, msgid, sdId] = head;
  return { priority: Number(priority), time, host, app, procid, msgid, sdId, parameters, text: message.slice(at + 2) };
}

test("syslog: the bytes are RFC 5424, whatever the names are", () => {
  const comm = 'g"d]b\\\n\u001bü';
  const verdict = verdictOf({
    node: "node 7",
    severity: "medium",
    message: `${comm} read`,
    suspect: { pid: 2, startTime: 3, comm },
  });
  const bytes = syslogMessage(alertLine(viewFor({ kind: "cluster" }, verdict)), 10);
  const message = parseSyslog(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  assert.equal(message.priority, 10 * 8 + 4);
  assert.equal(message.time, "2026-04-17T10:00:00.123Z");
  assert.deepEqual([message.host, message.app, message.msgid], ["node_7", "rimon", "memory-read"]);
  assert.equal(message.parameters["suspectComm"], 'g"d]b\\ ü');
  assert.equal(message.parameters["tenants"], "org-pharma");
  assert.equal(message.text, 'medium on node 7: g"d]b\\ ü read');
  assert.match(syslogMessage("{}", 0).toString(), /^<6>1 - - rimon \d+ - \[rimon@32473\] $/);
});

function syslog(transport: "udp" | "tcp", port: number): SinkSettings {
  return { kind: "syslog", transport, host: "127.0.0.1", port, facility: 16 };
}

test("syslog over UDP: one datagram each; a refused port is a failure", async () => {
  const server = createSocket("udp4");
  const got: Buffer[] = [];
  server.on("message", (message) => got.push(message));
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await sinkOf(syslog("udp", port)).deliver(PAYLOAD, never);
  await until(() => got.length === 1);
  assert.equal(parseSyslog(String(got[0])).priority, 16 * 8 + 2);
  server.close();
  await once(server, "close");
  assert.match(await failure(sinkOf(syslog("udp", port)).deliver(PAYLOAD, never)), /ECONNREFUSED/);
});

test("syslog over TCP: counted in octets; down is a failure, back is a delivery", async () => {
  let got = Buffer.alloc(0);
  const accept = () =>
    createServer((socket) => socket.on("data", (chunk: Buffer) => (got = Buffer.concat([got, chunk]))));
  const server = accept();
  const port = await listening(server);
  const sink = sinkOf(syslog("tcp", port));
  const other = alertLine(viewFor({ kind: "cluster" }, verdictOf({ message: "größer" })));
  await sink.deliver(PAYLOAD, never);
  await sink.deliver(other, never);
  server.close();
  await once(server, "close");
  assert.match(await failure(sink.deliver(PAYLOAD, never)), /ECONNREFUSED/);
  const again = accept();
  await listening(again, port);
  await sink.deliver(PAYLOAD, never);
  again.close();

  const texts: string[] = [];
  while (got.length > 0) {
    const space = got.indexOf(" ");
    const length = Number(got.toString("latin1", 0, space));
    texts.push(parseSyslog(got.toString("utf8", space + 1, space + 1 + length)).text);
    got = got.subarray(space + 1 + length);
  }
  const first = "critical on node-7: gdb (9312, root) read the memory of vault (4121)";
  assert.deepEqual(texts, [first, "critical on node-7: größer", first]);
});

test("syslog over TCP: a peer that resets is a failure, one that never closes is not waited for", async () => {
  const resetting = createServer((socket) => socket.resetAndDestroy());
  assert.match(
    await failure(sinkOf(syslog("tcp", await listening(resetting))).deliver(PAYLOAD, never)),
    /ECONNRESET|EPIPE/,
  );
  resetting.close();
  const held: Socket[] = [];
  const open = createServer({ allowHalfOpen: true }, (socket) => held.push(socket.resume()));
  await sinkOf(syslog("tcp", await listening(open))).deliver(PAYLOAD, never);
  for (const socket of held) socket.destroy();
  open.close();
});

function exec(script: string, timeoutMs = 20_000): SinkSettings {
  return { kind: "exec", command: [process.execPath, "-e", script, "s3cret-argument"], timeoutMs };
}

test("exec: the payload comes on stdin, the environment is reduced", async () => {
  const path = join(folder, "exec.json");
  process.env["SECRET_OF_RIMON"] = "hunter2";
  process.env["RIMON_TEST"] = "given";
  const script = `const stdin = require("fs").readFileSync(0, "utf8");
    require("fs").writeFileSync(${JSON.stringify(path)}, JSON.stringify({ stdin, env: process.env }));`;
  await sinkOf(exec(script)).deliver(PAYLOAD, never);
  delete process.env["SECRET_OF_RIMON"];
  delete process.env["RIMON_TEST"];
  const { stdin, env } = JSON.parse(readFileSync(path, "utf8")) as { stdin: string; env: Record<string, string> };
  assert.equal(stdin, `${PAYLOAD}\n`);
  assert.equal(env["RIMON_TEST"], "given");
  assert.equal(env["PATH"], process.env["PATH"]);
  assert.deepEqual(
    Object.keys(env).filter((name) => name !== "PATH" && !name.startsWith("RIMON_")),
    [],
  );
});

test("exec: failures name the program, the code and the last line, not the arguments", async () => {
  const failing = exec(`console.error("first"); console.error("the HSM is away"); process.exitCode = 3`);
  const said = await failure(sinkOf(failing).deliver("x".repeat(1_000_000), never));
  assert.equal(said, `${process.execPath} ended with exit code 3: the HSM is away`);
  const missing = sinkOf({ kind: "exec", command: ["/nowhere/notify", "s3cret"], timeoutMs: 1000 });
  assert.equal(await failure(missing.deliver(PAYLOAD, never)), "/nowhere/notify could not be started: ENOENT");
});

test("exec: a command that hangs is killed, and a grandchild does not hold us up", async () => {
  assert.match(await failure(sinkOf(exec("setInterval(() => {}, 1e6)", 100)).deliver(PAYLOAD, never)), /within 100 ms/);
  const stopped = sinkOf(exec("setInterval(() => {}, 1e6)")).deliver(PAYLOAD, AbortSignal.timeout(100));
  assert.match(await failure(stopped), /rimon is stopping/);
  const script = `const { spawn } = require("child_process");
    const child = spawn("sleep", ["5"], { stdio: "inherit", detached: true }); child.unref();`;
  await sinkOf(exec(script)).deliver(PAYLOAD, never);
});
