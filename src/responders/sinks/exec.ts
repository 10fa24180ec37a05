// The alert on the standard input of a command. Exit code 0 means it was taken.

import type { SinkSettings } from "../../configuration.ts";
import { runCommand } from "../run-command.ts";
import type { Sink } from "./sink.ts";

export function execSink(name: string, settings: Extract<SinkSettings, { kind: "exec" }>): Sink {
  return {
    name,
    async deliver(payload, signal) {
      await runCommand(settings.command, `${payload}\n`, settings.timeoutMs, signal);
    },
  };
}
