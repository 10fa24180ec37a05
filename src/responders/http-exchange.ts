// One HTTP request and its answer, bounded in time and size. Secrets go into the request and nowhere else: errors name
// the server, not the path and query, and whatever a server says is cleared of them.

import { readFile } from "node:fs/promises";
import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { rootCertificates } from "node:tls";
import type { HttpTarget, SecretSource } from "../configuration.ts";
import { RimonError, reasonOf } from "../errors.ts";
import { printable } from "./printable.ts";

const ANSWER_BYTES = 64 * 1024;
const HEADERS_BYTES = 64 * 1024;

/**
 * Sends the JSON; returns the body of a 2xx answer, throws on any other and on everything that goes wrong. The error has
 * `permanent: true` if the server would refuse the same again.
 */
export async function exchange(target: HttpTarget, json: string, signal: AbortSignal): Promise<string> {
  const url = URL.canParse(target.url) ? new URL(target.url) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new RimonError("RIMON_ACTION", "expected an http or https URL; what is configured is none");
  }
  const headers = await headersOf(target);
  const secrets = [...headers.values(), ...secretsOf(url)].flatMap(secretParts);
  const extraCa = target.caFile === undefined ? undefined : await contentOf("caFile", target.caFile);
  let permanent = false;
  try {
    const { status, body } = await send(target, url, headers, extraCa, json, signal);
    if (status >= 200 && status < 300) return body;
    permanent = isPermanent(status);
    const said = body === "" ? "" : `: ${printable(body)}`;
    throw new Error(`expected a 2xx status, got ${status}${said}`);
  } catch (thrown) {
    const error = new RimonError("RIMON_ACTION", `${url.origin}: ${withoutSecrets(reasonOf(thrown), secrets)}`);
    throw permanent ? Object.assign(error, { permanent }) : error;
  }
}

/** What is wrong with this very payload (RFC 9110): a wrong token or address (401, 403, 404) is mended, not set aside. */
const REFUSED_FOR_GOOD = [400, 413, 415, 422];

function isPermanent(status: number): boolean {
  return REFUSED_FOR_GOOD.includes(status);
}

function send(
  target: HttpTarget,
  url: URL,
  headers: ReadonlyMap<string, string>,
  extraCa: string | undefined,
  json: string,
  signal: AbortSignal,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const body = target.method === "GET" ? undefined : Buffer.from(json);
    const options = {
      method: target.method,
      // A connection of its own each time: one that was kept may have died meanwhile, and a rotation is not resent.
      agent: false as const,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json", "content-length": body.length }),
        accept: "application/json",
        "user-agent": "rimon",
        ...Object.fromEntries(headers),
      },
    };
    const request =
      url.protocol === "https:"
        ? requestTls(url, { ...options, ...(extraCa === undefined ? {} : { ca: [...rootCertificates, extraCa] }) })
        : requestPlain(url, options);
    const stop = () => request.destroy(new Error("it was stopped before it answered"));
    const timeout = setTimeout(
      () => request.destroy(new Error(`expected an answer within ${target.timeoutMs} ms, got none`)),
      target.timeoutMs,
    );
    const settle = (act: () => void) => {
      clearTimeout(timeout);
      signal.removeEventListener("abort", stop);
      act();
    };
    request.on("error", (error) => settle(() => reject(error)));
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= ANSWER_BYTES) chunks.push(chunk);
        else request.destroy(new Error(`expected an answer of at most ${ANSWER_BYTES} bytes, got more`));
      });
      response.on("error", (error) => settle(() => reject(error)));
      response.on("close", () => settle(() => reject(new Error("the answer broke off"))));
      response.on("end", () =>
        settle(() => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") })),
      );
    });
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    request.end(body);
  });
}

/** Header names in lower case; read anew at every request, so that a rotated token is picked up. */
async function headersOf(target: HttpTarget): Promise<Map<string, string>> {
  const headers = new Map<string, string>();
  if (target.headersFile !== undefined) {
    const lines = (await contentOf("headersFile", target.headersFile)).split(/\r?\n/);
    lines.forEach((line, index) => {
      if (line.trim() === "" || line.startsWith("#")) return;
      const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/.exec(line);
      const name = match?.[1]?.toLowerCase();
      if (match?.[2] === undefined || name === undefined || /^(content-length|transfer-encoding)$/.test(name)) {
        // The line itself may be the secret.
        throw new RimonError("RIMON_ACTION", `${target.headersFile}:${index + 1}: expected "Name: value"`);
      }
      headers.set(name, match[2]);
    });
  }
  if (target.bearer !== undefined) headers.set("authorization", `Bearer ${await secretOf(target.bearer)}`);
  return headers;
}

async function secretOf(source: SecretSource): Promise<string> {
  const where = "file" in source ? source.file : `the environment variable ${source.env}`;
  const value = "file" in source ? await contentOf("bearer", source.file) : (process.env[source.env] ?? "");
  const secret = value.trim();
  if (/^[\x21-\x7e]+$/.test(secret)) return secret;
  throw new RimonError(
    "RIMON_ACTION",
    `expected a bearer token in ${where}, got ${secret === "" ? "nothing" : "something that cannot stand in a header"}`,
  );
}

async function contentOf(setting: string, path: string): Promise<string> {
  try {
    const content = await readFile(path, "utf8");
    if (setting === "caFile" || content.length <= HEADERS_BYTES) return content;
  } catch (thrown) {
    throw new RimonError(
      "RIMON_ACTION",
      `${setting} ${path} cannot be read: ${(thrown as NodeJS.ErrnoException).code}`,
    );
  }
  throw new RimonError("RIMON_ACTION", `${setting} ${path}: expected at most ${HEADERS_BYTES} bytes`);
}

/** Many services put their token into the path or the query. */
function secretsOf(url: URL): string[] {
  const segments = url.pathname.split("/").filter((segment) => segment.length >= 16);
  return [url.password, url.search.slice(1), ...url.searchParams.values(), ...segments];
}

/** A value and its words: "Bearer abc" is given away by "abc" alone. */
function secretParts(value: string): string[] {
  return [value, ...value.split(/[\s,;=]+/)].filter((part) => part.length >= 4 && part.toLowerCase() !== "bearer");
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  return [...secrets]
    .toSorted((a, b) => b.length - a.length)
    .reduce((clear, secret) => clear.replaceAll(secret, "***"), text);
}
