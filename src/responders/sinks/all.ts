// Every kind of sink there is.

import type { SinkSettings } from "../../configuration.ts";
import { execSink } from "./exec.ts";
import { falcosidekickSink } from "./falcosidekick.ts";
import { fileSink } from "./file.ts";
import type { Output, Sink } from "./sink.ts";
import { stdoutSink } from "./stdout.ts";
import { syslogSink } from "./syslog.ts";
import { webhookSink } from "./webhook.ts";

export function createSink(name: string, settings: SinkSettings, stdout: Output): Sink {
  switch (settings.kind) {
    case "stdout":
      return stdoutSink(name, stdout);
    case "file":
      return fileSink(name, settings.path);
    case "webhook":
      return webhookSink(name, settings);
    case "falcosidekick":
      return falcosidekickSink(name, settings);
    case "syslog":
      return syslogSink(name, settings);
    case "exec":
      return execSink(name, settings);
  }
}
