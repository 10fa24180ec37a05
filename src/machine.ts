// Which machine this is, as baselines say it, and what each says first.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { arch, hostname, release } from "node:os";
import type { BaselineHeader } from "./baselines/statement.ts";
import { VERSION } from "./package.ts";

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

/** Of a baseline that is made here and now. */
export function headerNow(expiresDays: number | undefined): BaselineHeader {
  const now = Date.now();
  return {
    // Greater in each that is made later, with nothing to be remembered.
    counter: Math.floor(now / 1_000),
    createdAt: new Date(now).toISOString(),
    ...(expiresDays === undefined ? {} : { expires: new Date(now + expiresDays * 86_400_000).toISOString() }),
    madeBy: { rimon: VERSION },
    machine: machineOf(),
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
