// One alert a line on standard output, for a supervisor that collects it.

import { RimonError } from "../../errors.ts";
import type { Output, Sink } from "./sink.ts";

export function stdoutSink(name: string, stdout: Output): Sink {
  // The failure comes back through the callback of write as well; without a listener it would end the process.
  if (stdout.listenerCount("error") === 0) stdout.on("error", () => {});
  return {
    name,
    deliver: (payload, signal) =>
      new Promise((resolve, reject) => {
        const stop = () => reject(new RimonError("RIMON_ACTION", "standard output took no line before it was stopped"));
        if (signal.aborted) return stop();
        signal.addEventListener("abort", stop, { once: true });
        stdout.write(`${payload}\n`, (error) => {
          signal.removeEventListener("abort", stop);
          if (error) reject(new RimonError("RIMON_ACTION", `standard output took no line: ${error.message}`));
          else resolve();
        });
      }),
  };
}
