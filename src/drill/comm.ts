import { writeFileSync } from "node:fs";

/**
 * Of the decoys of this drill and no other: the monitor of another one would look after them too, which this one sees, or
 * kill whoever reads them. TASK_COMM_LEN without its NUL is 15.
 */
export const DECOY_NAME = `rimon-d-${process.pid}`;
export const ATTACKER_NAME = "rimon-attacker";

/** Names this process; newer versions of node give their main thread a name of its own. */
export function writeComm(name: string): void {
  writeFileSync("/proc/self/comm", name);
}

/** The environment variable that names the file an attacker reads into. */
export const SHARED = "RIMON_DRILL_SHARED";
