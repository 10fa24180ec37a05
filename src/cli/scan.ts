// `rimon scan`: one pass over the node and its posture.

import { FORMAT_VERSION } from "../finding.ts";
import { survey } from "../survey.ts";
import { presentFinding } from "./present.ts";
import { printable } from "../responders/printable.ts";
import { loadSetup, type Overrides } from "./setup.ts";
import { table, type Terminal } from "./terminal.ts";

/** Exit code 1 if anything was found that no exception covers; weak posture alone is 0. */
export async function scanCommand(
  options: Overrides & { readonly json: boolean },
  terminal: Terminal,
): Promise<number> {
  const { configuration } = await loadSetup(options);
  const found = await survey(configuration, (step) => {
    if (!options.json) terminal.status(`looking at ${step} ...`);
  });
  const verdicts = found.verdicts.filter(({ exception }) => exception === undefined);
  const others = [...found.state.protectedProcesses()].filter(({ process: { pid } }) => pid !== process.pid);

  if (options.json) {
    const summary = {
      type: "scan",
      version: FORMAT_VERSION,
      time: new Date().toISOString(),
      node: configuration.node,
      processes: found.processes,
      protected: others.map(({ process: { pid, startTime, comm, exe }, protectedBy }) => ({
        pid,
        startTime,
        comm,
        exe,
        by: protectedBy,
      })),
      sensors: found.sensors.map(({ name, state, reason }) => ({ name, state, reason })),
      weaknesses: found.weaknesses,
      findings: verdicts.length,
    };
    for (const { finding } of verdicts) terminal.write(`${JSON.stringify(finding)}\n`);
    terminal.write(`${JSON.stringify(summary)}\n`);
    return verdicts.length === 0 ? 0 : 1;
  }

  const { style } = terminal;
  terminal.status("");
  terminal.write(`${style("bold", `${others.length} protected`)} of ${found.processes} processes\n`);
  terminal.write(
    table(
      others.map(({ process: { pid, comm, exe }, protectedBy }) => [
        "",
        `${printable(comm)} (${pid})`,
        printable(exe ?? ""),
        style("dim", protectedBy ?? ""),
      ]),
    ),
  );
  for (const { name, state, reason, sees } of found.sensors) {
    if (state !== "live")
      terminal.write(
        `${style("bad", `${name} is ${state}`)}: ${printable(reason ?? "no reason was given")}; blind for ${sees}\n`,
      );
  }
  if (found.weaknesses.length > 0) {
    terminal.write(`\n${style("bold", "Posture")}\n`);
    terminal.write(
      table(found.weaknesses.map(({ pid, comm, message }) => ["", `${printable(comm)} (${pid})`, printable(message)])),
    );
  }
  terminal.write(verdicts.length === 0 ? `\n${style("ok", "nothing found")}\n` : `\n${style("bold", "Findings")}\n`);
  for (const { finding } of verdicts) terminal.write(presentFinding(terminal, finding, false));
  return verdicts.length === 0 ? 0 : 1;
}
