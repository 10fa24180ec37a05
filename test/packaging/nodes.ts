// Node binaries of other versions and another architecture, out of the npm registry; kept in .nodes/.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const nodes = fileURLToPath(new URL("../../.nodes/", import.meta.url));

/** The path of a Node of that version; the first call downloads it. */
export function installedNode(arch: string, version: string): string {
  const binary = join(nodes, `node-${version}-${arch}`);
  if (existsSync(binary)) return binary;

  const name = `node-linux-${arch}`;
  mkdirSync(nodes, { recursive: true });
  const folder = mkdtempSync(join(nodes, "unfinished-"));
  try {
    // --force: the one for arm64 is for an emulator here.
    const how = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--force"];
    execFileSync("npm", ["install", "--prefix", folder, ...how, `${name}@${version}`], {
      stdio: ["ignore", "ignore", "pipe"],
      timeout: 240_000,
    });
    renameSync(join(folder, "node_modules", name, "bin", "node"), binary);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return binary;
}
