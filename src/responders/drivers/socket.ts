// The request as one JSON line over a unix socket, the answer as one JSON line back: what rimon/custody speaks.

import { connect } from "node:net";
import type { Driver } from "../../configuration.ts";
import { RimonError, reasonOf } from "../../errors.ts";
import { readAnswer, type KeyDriver } from "./driver.ts";

const ANSWER_BYTES = 64 * 1024;

export function socketDriver(settings: Extract<Driver, { kind: "socket" }>): KeyDriver {
  return {
    async request(request, signal) {
      const line = `${JSON.stringify({ id: request.finding, ...request })}\n`;
      let answer: string;
      try {
        answer = await ask(settings.path, line, settings.timeoutMs, signal);
      } catch (thrown) {
        throw new RimonError("RIMON_ACTION", `${settings.path}: ${reasonOf(thrown)}`);
      }
      return readAnswer(answer);
    },
  };
}

function ask(path: string, line: string, timeoutMs: number, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const stop = () => socket.destroy(new Error("it was stopped before it answered"));
    const timeout = setTimeout(
      () => socket.destroy(new Error(`expected an answer within ${timeoutMs} ms, got none`)),
      timeoutMs,
    );
    let received = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf(0x0a);
      const size = end < 0 ? received.length : end;
      if (size > ANSWER_BYTES)
        socket.destroy(new Error(`expected an answer of at most ${ANSWER_BYTES} bytes, got more`));
      else if (end >= 0) {
        const answer = received.toString("utf8", 0, end).trim();
        if (answer === "") socket.destroy(new Error("expected one line of JSON as the answer, got an empty one"));
        else resolve(answer);
        socket.destroy();
      }
    });
    socket.on("error", reject);
    socket.on("end", () => socket.destroy(new Error("expected one line of JSON as the answer, got the end")));
    socket.on("close", () => {
      clearTimeout(timeout);
      signal.removeEventListener("abort", stop);
      reject(new Error("the connection was closed without an answer"));
    });
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    socket.write(line);
  });
}
