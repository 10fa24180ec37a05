// The request on a command's standard input, the answer on the last line of its output.

import type { Driver } from "../../configuration.ts";
import { lastLine, runCommand } from "../run-command.ts";
import { readAnswer, type KeyDriver } from "./driver.ts";

export function execDriver(settings: Extract<Driver, { kind: "exec" }>): KeyDriver {
  return {
    async request(request, signal) {
      const input = `${JSON.stringify(request)}\n`;
      return readAnswer(lastLine(await runCommand(settings.command, input, settings.timeoutMs, signal)));
    },
  };
}
