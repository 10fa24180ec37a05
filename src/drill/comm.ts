import { writeFileSync } from "node:fs";

/** TASK_COMM_LEN without its NUL is 15. */
export const DECOY_NAME = "rimon-decoy";
export const ATTACKER_NAME = "rimon-attacker";

/** Names this process; newer versions of node give their main thread a name of its own. */
export function writeComm(name: string): void {
  writeFileSync("/proc/self/comm", name);
}
