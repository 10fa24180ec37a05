// What standard output refuses while the monitor runs. It is told as trouble and no reason to stop: the audit log and the
// alerts go on. Only a reader that is gone for good is one.

import type { Terminal } from "./terminal.ts";

export interface StandardOutput {
  write(text: string): void;
  /** To be called now and then: tells once that something was refused, and once that it is taken again. */
  check(tell: (message: string, recovered: boolean) => void): void;
}

export function watchStandardOutput(
  stream: Pick<NodeJS.WriteStream, "on">,
  terminal: Pick<Terminal, "write">,
  onReaderGone: () => void,
): StandardOutput {
  let refused = 0;
  let reason = "";
  let told = false;
  /** Since the last check. */
  let refusedLately = false;
  let triedLately = false;
  /** A disk that fills up takes a part of a line. */
  let torn = false;

  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") return onReaderGone();
    refused++;
    reason = error.message;
    refusedLately = true;
    torn = true;
  });

  return {
    write(text) {
      triedLately = true;
      terminal.write(torn ? `\n${text}` : text);
      torn = false;
    },
    // What tells it is written there too: told at each refusal, it would go on for ever.
    check(tell) {
      if (refused > 0 && !told) {
        told = true;
        tell(`standard output cannot be written: ${reason}`, false);
      } else if (told && triedLately && !refusedLately) {
        tell(`standard output is written again; it refused ${refused} times`, true);
        told = false;
        refused = 0;
      }
      refusedLately = false;
      triedLately = false;
    },
  };
}
