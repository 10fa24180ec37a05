import assert from "node:assert/strict";
import { chownSync } from "node:fs";
import { release } from "node:os";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Advice } from "../../src/drill/advice.ts";
import type { DiagnosedSensor, DiagnosedTechnique } from "../../src/drill/diagnosis.ts";
import { TECHNIQUES } from "../../src/drill/techniques/all.ts";
import { filesLeft, processesNaming } from "../drill/leftovers.ts";
import { startProgram, type Child } from "../fixtures/child.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";

interface Report {
  readonly version: number;
  readonly supported: boolean;
  readonly host: Readonly<Record<string, unknown>>;
  readonly sensors: readonly DiagnosedSensor[];
  readonly techniques: readonly DiagnosedTechnique[];
  readonly advice: readonly Advice[];
}

const NOBODY = 65_534;
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

function startDoctor(args: readonly string[], uid = 0): { child: Child; folder: string } {
  const folder = temporaryDirectory("doctor");
  chownSync(folder, uid, uid);
  const child = startProgram(main, ["doctor", ...args], { env: { TMPDIR: folder, HOME: folder }, uid, gid: uid });
  return { child, folder };
}

function reportOf({ lines, stderr }: Child): Report {
  assert.equal(lines.items.length, 1, stderr);
  return JSON.parse(lines.items[0] ?? "") as Report;
}

describe("rimon doctor", { concurrency: 2 }, () => {
  it("as root every sensor is attached, and what saw the drill is proven", async () => {
    const { child, folder } = startDoctor(["--json"]);
    const { code } = await child.exited;
    const report = reportOf(child);
    assert.equal(code, 0, child.stderr);
    assert.equal(report.version, 1);
    assert.equal(report.supported, true);
    assert.equal(report.host["kernel"], release());
    assert.equal(report.host["procConnector"], true);

    const health = new Map(report.sensors.map((sensor) => [sensor.name, sensor]));
    // What a program's loader is told the kernel says first, where it can be asked.
    const reader = health.get("exec")?.health === "unavailable" ? "posture" : "exec";
    assert.ok(health.get(reader)?.provenBy.includes("ld-preload"), reader);
    for (const name of ["proc-connector", "fanotify", "process-table", "descriptors", reader, "address-space"]) {
      assert.equal(health.get(name)?.health, "proven", name);
      assert.ok((health.get(name)?.provenBy.length ?? 0) > 0, name);
      assert.deepEqual(health.get(name)?.missing, [], name);
    }
    assert.equal(health.get("settings")?.health, "attached but not proven");

    assert.deepEqual(
      report.techniques.map(({ technique }) => technique),
      TECHNIQUES.map(({ name }) => name),
    );
    const kcore = report.techniques.find(({ technique }) => technique === "proc-kcore-open");
    assert.ok(["seen", "not-run"].includes(kcore?.outcome ?? ""), kcore?.outcome);
    assert.equal(kcore?.rung === null, kcore?.outcome === "not-run");
    for (const { severity, problem, change, gives } of report.advice) {
      for (const text of [severity, problem, change, gives]) assert.ok(text.length > 0);
    }
    assert.deepEqual(filesLeft(folder), []);
    assert.deepEqual(processesNaming(folder), []);
  });

  it("without a drill nothing is called proven", async () => {
    const { child } = startDoctor(["--json", "--no-drill"]);
    assert.equal((await child.exited).code, 0, child.stderr);
    const { sensors, techniques } = reportOf(child);
    // Not every kernel lets an eBPF program refuse; these are there only where they are asked for.
    const asked = ["sysctl", "snapshots", "files", "file-events", "exec-gate"];
    const seeing = sensors.filter(({ name }) => name !== "ptrace-access" && !asked.includes(name));
    assert.ok(seeing.every(({ health }) => health === "attached but not proven"));
    for (const each of asked) assert.equal(sensors.find(({ name }) => name === each)?.health, "off", each);
    assert.ok(techniques.every(({ outcome }) => outcome === "unproven" || outcome === "blind"));
    assert.equal(techniques.find(({ technique }) => technique === "proc-mem")?.rung, "fanotify");
  });

  it("an ordinary user is told which capability each sensor lacks", async () => {
    const { child, folder } = startDoctor(["--json", "--no-drill"], NOBODY);
    assert.equal((await child.exited).code, 1, child.stderr);
    const { sensors, advice, host } = reportOf(child);
    assert.deepEqual(host["capabilities"], []);
    const of = (name: string) => sensors.find((sensor) => sensor.name === name);
    assert.equal(of("fanotify")?.health, "unavailable");
    assert.deepEqual(of("fanotify")?.missing, ["sys_admin"]);
    assert.ok(of("fanotify")?.blindWithout.includes("proc-mem"));
    assert.deepEqual(of("address-space")?.missing, ["sys_ptrace"]);
    // Linux 6.7 opened the process connector to everybody; before that it has to be named.
    const connector = of("proc-connector");
    assert.deepEqual(connector?.missing, connector?.health === "unavailable" ? ["net_admin"] : []);
    for (const capability of ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]) {
      assert.ok(
        advice.some(({ problem, change }) => problem.includes(capability) && change.includes(capability)),
        capability,
      );
    }
    assert.deepEqual(filesLeft(folder), []);
  });

  it("a person reads sensors, techniques and what to change", async () => {
    const { child } = startDoctor(["--no-drill"]);
    assert.equal((await child.exited).code, 0, child.stderr);
    const text = child.lines.items.join("\n");
    for (const heading of ["node", "sensors", "techniques, and what sees them", "to change"]) {
      assert.ok(child.lines.items.includes(heading), heading);
    }
    assert.match(text, /^ {2}fanotify +attached but not proven +opening, reading/m);
    assert.match(text, /^ {2}proc-kcore-open +(?:ptrace-access|fanotify) +not proven /m);
    assert.match(text, /^ {2}dev-mem-open +(?:blind +ptrace-access cannot be attached|ptrace-access +not proven )/m);
    assert.match(text, /^ {2}kernel\.core_pattern +"/m);
  });
});
