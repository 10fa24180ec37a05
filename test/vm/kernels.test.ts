// rimon on other kernels: each machine of expected.ts is booted, drilled and asked by doctor. One at a time: two at once
// are no faster where there are two processors, and what waits for an answer then waits too long.

import assert from "node:assert/strict";
import { basename } from "node:path";
import { after, describe, test } from "node:test";
import { table } from "../../src/cli/terminal.ts";
import type { DrillResult } from "../../src/drill/drill.ts";
import type { DiagnosedSensor } from "../../src/drill/diagnosis.ts";
import { TECHNIQUES } from "../../src/drill/techniques/all.ts";
import { compile } from "../fixtures/compile.ts";
import { MACHINES, MODES, type Machine, type Mode } from "./expected.ts";
import { runInGuest, type GuestRun } from "./guest.ts";
import { provideKernel } from "./kernels.ts";
import { placeOf, type GuestArchitecture } from "./root.ts";
import { sectionsOf, SHELL, type Sections } from "./sections.ts";

interface Report {
  readonly host: { readonly kernel: string; readonly btf?: boolean };
  readonly sensors: readonly DiagnosedSensor[];
}

/** Says whether the kernel makes events of the process connector. */
const LISTENERS = "connector-listeners";
const listeners: Readonly<Record<GuestArchitecture, string>> = {
  x64: compile(`../../vm/programs/${LISTENERS}`, { output: LISTENERS }),
  arm64: compile(`../../vm/programs/${LISTENERS}`, { output: LISTENERS, compiler: "aarch64-linux-gnu-gcc" }),
};

const tables: string[] = [];
after(() => console.log(tables.join("\n")));

test("what may go unseen, undone or unattached has the name of a technique", () => {
  const names = new Set(TECHNIQUES.map(({ name }) => name));
  for (const { unseen, undone, only = [] } of MACHINES)
    for (const name of [...Object.keys(unseen), ...Object.keys(undone), ...only]) assert.ok(names.has(name), name);
});

describe("rimon drill and rimon doctor", () => {
  for (const machine of MACHINES) {
    test(machine.name, async () => {
      const { kernel, lsm } = machine;
      const { architecture, modules } = provideKernel(kernel);
      const overlay = modules.filter((path) => basename(path) === "overlay.ko");
      const run = await runInGuest({
        kernel,
        script: scriptFor(machine, listeners[architecture], overlay),
        extras: [listeners[architecture], ...overlay, ...(architecture === "arm64" ? [] : ["strace"])],
        ...(lsm === undefined ? {} : { lsm }),
      });
      const sections = sectionsOf(run.lines);
      assert.deepEqual([sections.get("before"), sections.get("after")], [["0"], ["0"]], said(run));
      for (const mode of modesOf(machine))
        judge(machine, mode, run, parsed<DrillResult>(run, sections, mode.name).slice(0, -1));
      const [report, ...others] = parsed<Report>(run, sections, "doctor");
      assert.ok(report !== undefined && others.length === 0, said(run));
      assert.equal(report.host.kernel, run.release);
      const unattached = report.sensors.filter(({ health }) => health === "unavailable");
      for (const { name, reason } of unattached) assert.ok(name in machine.unattached, `${name}: ${reason}`);
      // Where the kernel can be asked by one trampoline, calls are seen by others, and not at every call's entry.
      const calls = report.sensors.find(({ name }) => name === "calls");
      if (!("ptrace-access" in machine.unattached)) assert.equal(calls?.reason, undefined);
    });
  }
});

function modesOf({ enforces }: Machine): readonly Mode[] {
  return MODES.filter(({ name }) => name === "monitor" || enforces);
}

function drilledIn({ only }: Machine, mode: Mode): readonly string[] {
  return TECHNIQUES.filter((each) => mode.drills(each) && (only?.includes(each.name) ?? true)).map(({ name }) => name);
}

function scriptFor(machine: Machine, listeners: string, modules: readonly string[]): string {
  const { before = "", under = "" } = machine;
  const rimon = `${under} rimon`;
  const drills = modesOf(machine).map((mode) => [
    mode.name,
    rimon,
    "drill --json",
    ...mode.options,
    "--only",
    drilledIn(machine, mode).join(","),
  ]);
  const sections = [
    ["before", listeners],
    ...drills,
    ["doctor", rimon, "doctor --json --no-drill"],
    ["after", listeners],
  ];
  const load = modules.map((path) => `insmod ${placeOf(path)} || exit 1`);
  return [SHELL, ...load, before, ...sections.map(([name, ...words]) => `section ${name}; ${words.join(" ")}`)].join(
    "\n",
  );
}

function judge(machine: Machine, mode: Mode, run: GuestRun, results: readonly DrillResult[]): void {
  tables.push(`${machine.name} (${run.release}), ${mode.name}\n${tableOf(results)}`);
  assert.deepEqual(
    results.map(({ technique }) => technique),
    drilledIn(machine, mode),
    said(run),
  );
  const wrong = results.filter(({ technique, outcome, detected, attributed, leakedBytes, rule }) => {
    if (outcome === "not-run" || outcome === "refused")
      return !(technique in machine.undone || technique in mode.undone);
    if (mode.name === "enforce")
      return outcome !== "stopped" || leakedBytes !== 0 || (technique.startsWith("proc-mem") && rule !== "memory-read");
    return attributed === false || (!detected && !(technique in machine.unseen));
  });
  assert.deepEqual(wrong, []);
}

function tableOf(results: readonly DrillResult[]): string {
  const rows = results.map(({ technique, outcome, sensor, latencyMs, suspect, leakedBytes }) => [
    technique,
    outcome === "blind" || outcome === "missed" ? "no" : outcome,
    sensor ?? "",
    latencyMs === null ? "" : `${latencyMs} ms`,
    suspect?.comm ?? "",
    String(leakedBytes),
  ]);
  return table([["technique", "seen", "by", "after", "suspect", "bytes out"], ...rows]);
}

function parsed<Item>(run: GuestRun, sections: Sections, name: string): Item[] {
  try {
    return (sections.get(name) ?? []).map((line) => JSON.parse(line) as Item);
  } catch (thrown) {
    throw new Error(`expected lines of JSON from ${name}\n${said(run)}`, { cause: thrown });
  }
}

function said({ release, lines, console }: GuestRun): string {
  return `${release} said:\n${lines.join("\n")}\n${console}`;
}
