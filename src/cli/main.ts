#!/usr/bin/env node
// Where rimon begins. Capabilities are given up by a new start of the same program: nothing is loaded before it that the
// first start does not need.

import { argv } from "node:process";

const [, , command, ...options] = argv;
if (command === "run") {
  const { confine, configOf } = await import("./privileges.ts");
  await confine(configOf(options));
}
await import("./commands.ts");
