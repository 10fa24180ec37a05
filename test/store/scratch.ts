// A directory, a disk, a log of a test's own.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { openAuditLog, type AuditLog, type AuditLogOptions } from "../../src/store/audit-log.ts";

export interface Trouble {
  readonly message: string;
  readonly recovered: boolean;
}

export function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "rimon-store-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A disk of so few KiB that a test can fill it. */
export function smallDisk(t: TestContext, kib: number): string {
  const directory = mkdtempSync(join(tmpdir(), "rimon-disk-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${kib}k,mode=0700`, "tmpfs", directory], { timeout: 10_000 });
  t.after(() => {
    // Lazily: a test that failed may still have a file open on it.
    execFileSync("umount", ["-l", directory], { timeout: 10_000 });
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

export async function openLog(
  directory: string,
  overrides: Partial<AuditLogOptions> = {},
): Promise<{ log: AuditLog; path: string; troubles: Trouble[] }> {
  const path = join(directory, "audit.log");
  const troubles: Trouble[] = [];
  const log = await openAuditLog({
    path,
    keyFile: join(directory, "audit.key"),
    rotateBytes: 1024 * 1024,
    checkpointEvery: 8,
    now: () => Date.now(),
    onTrouble: (message, recovered) => troubles.push({ message, recovered }),
    ...overrides,
  });
  return { log, path, troubles };
}

export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 30_000; !(await condition());) {
    if (Date.now() > deadline) throw new Error(`after 30 s still not so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function namesIn(directory: string): string[] {
  return readdirSync(directory).sort();
}
