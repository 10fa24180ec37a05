// Which machine this is, as baselines say it.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { arch, hostname, release } from "node:os";
import type { BaselineHeader } from "./baselines/statement.ts";

/** machine-id(5) asks for it not to be told as it is, but hashed with something of the application's own. */
const SALT = "rimon baseline ";

export function machineOf(): BaselineHeader["machine"] {
  return {
    id: createHash("sha256").update(`${SALT}${machineId()}`).digest("hex"),
    node: hostname(),
    kernel: release(),
    architecture: arch(),
  };
}

/** A node without one is known by its name. */
function machineId(): string {
  for (const path of ["/etc/machine-id", "/var/lib/dbus/machine-id"]) {
    try {
      const id = readFileSync(path, "utf8").trim();
      if (id !== "") return id;
    } catch {
      // The next one, or the name.
    }
  }
  return hostname();
}
