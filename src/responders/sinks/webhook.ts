// The alert as it is, posted to a URL. Any 2xx means it was taken.

import type { HttpTarget } from "../../configuration.ts";
import { exchange } from "../http-exchange.ts";
import type { Sink } from "./sink.ts";

export function webhookSink(name: string, target: HttpTarget): Sink {
  return {
    name,
    async deliver(payload, signal) {
      await exchange(target, payload, signal);
    },
  };
}
