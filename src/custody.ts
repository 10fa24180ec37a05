// How a Node service that keeps keys lets rimon ask it to rotate and to evict: a unix socket that only its owner and
// root can open, one JSON object a line. Stands alone: the service loads this file and nothing else of rimon.

import { lstatSync, unlinkSync } from "node:fs";
import { chmod, chown, lstat, mkdtemp, rename, rmdir, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";

/** What rimon asks for; `finding` is the id of the finding that made it ask. */
export interface CustodyRequest {
  readonly action: "rotate-master-key" | "evict-tenant-keks";
  readonly finding: string;
  /** Of these tenants the node holds keys that may be lost. */
  readonly tenants: readonly string[];
  readonly rule?: string;
  readonly severity?: string;
  readonly node?: string;
  readonly time?: string;
}

export interface CustodyOptions {
  /** Path of the socket; its directory must exist and should be writable by this service only. */
  readonly socket: string;
  /** Makes a new master key the current one. Resolve once it is in force; the old epoch may stay readable. */
  readonly rotateMasterKey: (request: CustodyRequest) => Promise<{ epoch: number; previousEpoch?: number }>;
  /** Forgets the cached keys of `request.tenants`; says how many there were. */
  readonly evictTenantKeks: (request: CustodyRequest) => Promise<{ evicted: number }>;
  /** The user rimon runs as, if it is neither root nor this service's own: the socket is given to it. Needs CAP_CHOWN. */
  readonly allowUid?: number;
  /** Closes the socket when aborted. */
  readonly signal?: AbortSignal;
}

export interface Custody {
  readonly socket: string;
  /** Takes no more requests, lets those under way be answered for at most `graceMs` (5 s), and removes the socket. */
  close(graceMs?: number): Promise<void>;
}

const LINE_BYTES = 64 * 1024;
const CONNECTIONS = 16;
const IDLE_MS = 60_000;
const GRACE_MS = 5_000;
/** For so long a finding's request is answered again without being carried out again. */
const REMEMBER_MS = 10 * 60_000;
const REMEMBERED = 1_024;
/** The longest path of a unix socket: sun_path of unix(7), less its end. */
const PATH_BYTES = 107;

/**
 * Lets rimon ask this service to rotate its master key and to evict tenants' keys.
 *
 * A request that is repeated for the same finding within ten minutes is answered as before and not carried out again,
 * unless it had failed. What a handler throws reaches rimon as the text of the error and is logged there: keep keys out
 * of it.
 *
 * @example
 * import { randomBytes } from "node:crypto";
 * import { listenForRimon } from "rimon/custody";
 *
 * let epoch = 1;
 * const masterKeys = new Map([[epoch, randomBytes(32)]]);
 * const tenantKeks = new Map([["org-pharma", randomBytes(32)]]);
 *
 * const custody = await listenForRimon({
 *   socket: "/run/keyserver/rimon.sock",
 *   async rotateMasterKey() {
 *     const previousEpoch = epoch;
 *     epoch += 1;
 *     masterKeys.set(epoch, randomBytes(32));
 *     return { epoch, previousEpoch };
 *   },
 *   async evictTenantKeks({ tenants }) {
 *     const held = tenants.filter((tenant) => tenantKeks.has(tenant));
 *     for (const tenant of held) {
 *       tenantKeks.get(tenant)?.fill(0);
 *       tenantKeks.delete(tenant);
 *     }
 *     return { evicted: held.length };
 *   },
 * });
 * process.once("SIGTERM", () => void custody.close());
 */
export async function listenForRimon(options: CustodyOptions): Promise<Custody> {
  const { socket: path } = options;
  options.signal?.throwIfAborted();
  await makeWay(path);
  const answers = new Answers(options);
  const connections = new Map<Socket, Connection>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.set(socket, new Connection(socket, answers));
    socket.on("close", () => connections.delete(socket));
  });
  server.maxConnections = CONNECTIONS;
  // A service that has run out of descriptors cannot accept; rimon finds out, and the service need not end of it.
  server.on("error", () => {});
  const identity = await listen(server, path, options.allowUid);

  let closing: Promise<void> | undefined;
  const close = (graceMs = GRACE_MS) => (closing ??= shut(graceMs));
  async function shut(graceMs: number): Promise<void> {
    options.signal?.removeEventListener("abort", onAbort);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // A service that was started after us may have put its own socket there. Without a pause between look and act.
    if (identityOf(path) === identity) unlinkSync(path);
    for (const connection of connections.values()) connection.finish();
    const timer = setTimeout(() => {
      for (const socket of connections.keys()) socket.destroy();
    }, graceMs);
    await closed;
    clearTimeout(timer);
  }
  const onAbort = () => void close();
  if (options.signal?.aborted) await close();
  else options.signal?.addEventListener("abort", onAbort, { once: true });
  return { socket: path, close };
}

/** Removes nothing that somebody still listens on, and nothing that is no socket. */
async function makeWay(path: string): Promise<void> {
  if (Buffer.byteLength(path) > PATH_BYTES) throw usage(`expected a path of at most ${PATH_BYTES} bytes, got ${path}`);
  const there = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (there === undefined) return;
  if (!there.isSocket()) throw usage(`expected nothing or a stale socket at ${path}, got something else`);
  const answered = await new Promise<boolean>((resolve, reject) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      // EAGAIN: a backlog that is full has somebody behind it.
      else if (error.code === "EAGAIN") resolve(true);
      else reject(error);
    });
  });
  if (answered) throw usage(`somebody already listens on ${path}; end that service or choose another path`);
}

/** Binds in a directory nobody else can enter, so that the socket never stands there with more than its own mode. */
async function listen(server: Server, path: string, allowUid: number | undefined): Promise<string> {
  const folder = await mkdtemp(join(dirname(path), ".r"));
  const birthplace = join(folder, "s");
  try {
    if (Buffer.byteLength(birthplace) > PATH_BYTES) throw usage(`the directory of ${path} has too long a path`);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(birthplace, resolve);
    });
    await chmod(birthplace, 0o600);
    if (allowUid !== undefined) {
      await chown(birthplace, allowUid, -1).catch((error: NodeJS.ErrnoException) => {
        throw usage(`${path} cannot be given to uid ${allowUid} (${error.code}): that needs CAP_CHOWN`);
      });
    }
    const identity = identityOf(birthplace) ?? "";
    await rename(birthplace, path);
    return identity;
  } catch (thrown) {
    server.close();
    await unlink(birthplace).catch(() => {});
    throw thrown;
  } finally {
    await rmdir(folder).catch(() => {});
  }
}

/** Inode numbers are given out again at once, so the time of birth belongs to them. */
function identityOf(path: string): string | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}:${stat.birthtimeNs}`;
}

function usage(message: string): Error {
  return Object.assign(new Error(message), { code: "RIMON_USAGE" });
}

/** Takes a connection's lines one after the other. */
class Connection {
  readonly #socket: Socket;
  readonly #answers: Answers;
  /** A handler is at work for this connection. */
  #asking = false;
  #received: Buffer = Buffer.alloc(0);
  #busy = false;
  #ended = false;

  constructor(socket: Socket, answers: Answers) {
    this.#socket = socket;
    this.#answers = answers;
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      void this.#next();
    });
    socket.on("end", () => this.finish());
    // A peer that went away is no concern of the service.
    socket.on("error", () => socket.destroy());
    socket.setTimeout(IDLE_MS, () => {
      if (!this.#asking) socket.destroy();
    });
  }

  /** Answers what is under way and takes no more. */
  finish(): void {
    this.#ended = true;
    if (!this.#busy) this.#socket.end(() => this.#socket.destroy());
  }

  async #next(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.#socket.pause();
    for (;;) {
      const end = this.#received.indexOf(0x0a);
      if ((end < 0 ? this.#received.length : end) > LINE_BYTES) {
        this.#received = Buffer.alloc(0);
        this.#socket.write(refusal(undefined, `expected lines of at most ${LINE_BYTES} bytes`));
        this.#ended = true;
        break;
      }
      if (end < 0) break;
      const line = this.#received.toString("utf8", 0, end);
      this.#received = this.#received.subarray(end + 1);
      if (line.trim() === "") continue;
      this.#asking = true;
      const answer = await this.#answers.to(line);
      this.#asking = false;
      if (!(await this.#write(answer))) break;
    }
    this.#busy = false;
    if (this.#ended) return this.finish();
    this.#socket.resume();
  }

  /** Waits for a peer that does not read its answers, so that they do not pile up; false if it is gone. */
  async #write(answer: string): Promise<boolean> {
    if (this.#socket.destroyed) return false;
    if (this.#socket.write(answer)) return true;
    return new Promise((resolve) => {
      const end = () => {
        this.#socket.off("drain", end).off("close", end);
        resolve(!this.#socket.destroyed);
      };
      this.#socket.on("drain", end).on("close", end);
    });
  }
}

type Result = Readonly<Record<string, number>>;

/** Carries out requests and remembers what came of them. */
class Answers {
  readonly #options: CustodyOptions;
  readonly #remembered = new Map<string, { readonly at: number; readonly result: Promise<Result> }>();

  constructor(options: CustodyOptions) {
    this.#options = options;
  }

  async to(line: string): Promise<string> {
    let id: string | number | undefined;
    try {
      const fields = objectOf(line);
      id = idOf(fields["id"]);
      const result = await this.#once(requestOf(fields));
      return `${JSON.stringify({ id: id ?? null, ok: true, ...result })}\n`;
    } catch (thrown) {
      return refusal(id, thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  #once(request: CustodyRequest): Promise<Result> {
    const now = performance.now();
    // Insertion order is the order of time.
    for (const [key, { at }] of this.#remembered) {
      if (now - at < REMEMBER_MS && this.#remembered.size <= REMEMBERED) break;
      this.#remembered.delete(key);
    }
    const key = JSON.stringify([request.action, request.finding, [...request.tenants].toSorted()]);
    const before = this.#remembered.get(key);
    if (before !== undefined) return before.result;
    const result = this.#carryOut(request);
    const entry = { at: now, result };
    this.#remembered.set(key, entry);
    result.catch(() => {
      if (this.#remembered.get(key) === entry) this.#remembered.delete(key);
    });
    return result;
  }

  async #carryOut(request: CustodyRequest): Promise<Result> {
    // Only the numbers go back: whatever else a handler returns may be a key.
    if (request.action === "rotate-master-key") {
      const { epoch, previousEpoch } = await this.#options.rotateMasterKey(request);
      return {
        epoch: wholeNumber("rotateMasterKey", "epoch", epoch),
        ...(previousEpoch === undefined
          ? {}
          : { previousEpoch: wholeNumber("rotateMasterKey", "previousEpoch", previousEpoch) }),
      };
    }
    const { evicted } = await this.#options.evictTenantKeks(request);
    return { evicted: wholeNumber("evictTenantKeks", "evicted", evicted) };
  }
}

function wholeNumber(handler: string, name: string, value: unknown): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`${handler} was expected to return a whole number as "${name}"`);
}

function objectOf(line: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error("expected one JSON object a line");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error("expected one JSON object a line");
}

function idOf(value: unknown): string | number | undefined {
  if (value === undefined || value === null) return;
  if (typeof value === "number" || (typeof value === "string" && value.length <= 128)) return value;
  throw new Error(`expected a number or a text of at most 128 characters as "id"`);
}

function requestOf(fields: Readonly<Record<string, unknown>>): CustodyRequest {
  const { action, tenants = [] } = fields;
  if (action !== "rotate-master-key" && action !== "evict-tenant-keks") {
    throw new Error(`expected "rotate-master-key" or "evict-tenant-keks" as "action"`);
  }
  const finding = textOf(fields, "finding");
  if (finding === undefined || finding === "") throw new Error(`expected the finding's id as "finding"`);
  if (!Array.isArray(tenants) || !tenants.every((tenant) => typeof tenant === "string")) {
    throw new Error(`expected a list of ids as "tenants"`);
  }
  const request: { -readonly [Name in keyof CustodyRequest]: CustodyRequest[Name] } = { action, finding, tenants };
  for (const name of ["rule", "severity", "node", "time"] as const) {
    const text = textOf(fields, name);
    if (text !== undefined) request[name] = text;
  }
  return request;
}

function textOf(fields: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined) return;
  if (typeof value === "string" && value.length <= 256) return value;
  throw new Error(`expected a text of at most 256 characters as "${name}"`);
}

function refusal(id: string | number | undefined, error: string): string {
  return `${JSON.stringify({ id: id ?? null, ok: false, error: error.slice(0, 300) })}\n`;
}
