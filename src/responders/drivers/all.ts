// Every kind of driver there is.

import type { Driver } from "../../configuration.ts";
import type { KeyDriver } from "./driver.ts";
import { execDriver } from "./exec.ts";
import { httpDriver } from "./http.ts";
import { socketDriver } from "./socket.ts";

export function createDriver(settings: Driver): KeyDriver {
  switch (settings.kind) {
    case "exec":
      return execDriver(settings);
    case "http":
      return httpDriver(settings);
    case "socket":
      return socketDriver(settings);
  }
}
