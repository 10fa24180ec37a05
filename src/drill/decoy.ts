// Program: a process with a secret, there to be attacked. It tells where the secret is on descriptor 3, obeys orders on
// its stdin and ends with that.

import { closeSync, openSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { reasonOf } from "../errors.ts";
import { requireAddon } from "../native.ts";
import { DECOY_NAME, writeComm } from "./comm.ts";

interface Order {
  readonly order: "harden" | "load" | "open-page";
  readonly path?: string;
}

const say = (answer: object): void => void writeSync(3, `${JSON.stringify(answer)}\n`);

writeComm(DECOY_NAME);
const { addon } = requireAddon();
const { address, bytes, codeAddress } = addon.attack.secret();
const tid = addon.attack.startThread();

// Held open and nowhere to be found: only a copy of the descriptor gives it.
const folder = process.argv[2] ?? ".";
const path = join(folder, `held-${process.pid}`);
const fd = openSync(path, "wx+", 0o600);
unlinkSync(path);
writeSync(fd, bytes, 0, bytes.length, 0);

createInterface({ input: process.stdin })
  .on("line", (line) => {
    try {
      obey(JSON.parse(line) as Order);
      say({ done: true });
    } catch (thrown) {
      say({ error: reasonOf(thrown) });
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

function obey({ order, path = "" }: Order): void {
  switch (order) {
    case "harden":
      return addon.harden();
    case "open-page":
      return addon.attack.openPage();
    case "load":
      return process.dlopen({ exports: {} }, path);
  }
}
