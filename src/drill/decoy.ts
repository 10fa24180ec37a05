// Program: a process with a secret, there to be attacked. It tells where the secret is on descriptor 3, obeys orders on
// its stdin and ends with that.

import { closeSync, openSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { basename } from "node:path";
import { reasonOf } from "../errors.ts";
import { requireAddon, requireDrillAddon } from "../native.ts";
import { writeComm } from "./comm.ts";

export type DecoyOrder =
  | "harden"
  | "load"
  | "open-page"
  | "start-computing"
  | "low-copy"
  | "hold-socket"
  | "become-dumpable"
  | "lower-core-limit"
  | "drop-root";

interface Order {
  readonly order: DecoyOrder;
  readonly path?: string;
}

/** The overflow uid, by which every node knows one that may do nothing. */
const NOBODY = 65_534;

const say = (answer: object): void => void writeSync(3, `${JSON.stringify(answer)}\n`);

writeComm(basename(process.argv0));
const { addon } = requireAddon();
const { attack } = requireDrillAddon();
const { address, bytes, codeAddress } = attack.secret();
const tid = attack.startThread();

// Held open and nowhere to be found: only a copy of the descriptor gives it.
const folder = process.argv[2] ?? ".";
const path = join(folder, `held-${process.pid}`);
const fd = openSync(path, "wx+", 0o600);
unlinkSync(path);
writeSync(fd, bytes, 0, bytes.length, 0);

createInterface({ input: process.stdin })
  .on("line", (line) => {
    try {
      const order = JSON.parse(line) as Order;
      const at = String(process.hrtime.bigint());
      say({ at, ...obey(order) });
    } catch (thrown) {
      say({ error: reasonOf(thrown), unknown: (thrown as NodeJS.ErrnoException).code === "ENOSYS" });
    }
  })
  .on("close", () => {
    closeSync(fd);
    process.exit(0);
  });

say({
  pid: process.pid,
  tid,
  fd,
  address: String(address),
  codeAddress: String(codeAddress),
  length: bytes.length,
  secret: bytes.toString("hex"),
});

function obey({ order, path = "" }: Order): object | undefined {
  switch (order) {
    case "harden":
      return void addon.harden();
    case "open-page":
      return void attack.openPage();
    case "load":
      return void process.dlopen({ exports: {} }, path);
    case "start-computing":
      return { tid: attack.startComputing() };
    case "low-copy":
      return { address: String(attack.lowCopy()) };
    case "hold-socket":
      return { fd: attack.holdSocket() };
    case "become-dumpable":
      return void attack.becomeDumpable();
    case "lower-core-limit":
      return void attack.lowerCoreLimit();
    case "drop-root":
      if (process.getuid?.() !== 0) return undefined;
      process.setgid?.(NOBODY);
      return void process.setuid?.(NOBODY);
  }
}
