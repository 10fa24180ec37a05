// `rimon config check|schema|show`.

import { DETECTORS } from "../detectors/all.ts";
import { loadSetup, type Overrides } from "./setup.ts";
import { table, type Terminal } from "./terminal.ts";

/** Exit code 0 if the file can be used; a bad one is a RIMON_CONFIG error that names every place. */
export async function configCheckCommand(
  file: string | undefined,
  options: { readonly json: boolean },
  terminal: Terminal,
): Promise<number> {
  const setup = await loadSetup(file === undefined ? {} : { config: file });
  const name = setup.file ?? "the defaults";
  if (options.json)
    terminal.write(`${JSON.stringify({ ok: true, file: setup.file ?? null, weakened: setup.weakened })}\n`);
  else {
    terminal.write(`${terminal.style("ok", "fine")}  ${name}\n`);
    for (const weak of setup.weakened) terminal.write(`${terminal.style("medium", "weakened")}  ${weak}\n`);
  }
  return 0;
}

export async function configSchemaCommand(terminal: Terminal): Promise<number> {
  const { jsonSchema } = await import("../policy/config.ts");
  terminal.write(`${JSON.stringify(jsonSchema(DETECTORS.map(({ rule }) => rule)), undefined, 2)}\n`);
  return 0;
}

/** The effective configuration, and the line of the file, or the default, that each value comes from. */
export async function configShowCommand(
  options: Overrides & { readonly json: boolean },
  terminal: Terminal,
): Promise<number> {
  const setup = await loadSetup(options);
  const { explainConfiguration } = await import("../policy/config.ts");
  const values = explainConfiguration(setup);
  if (options.json) {
    terminal.write(`${JSON.stringify({ file: setup.file ?? null, values })}\n`);
    return 0;
  }
  terminal.write(
    table(
      values.map(({ path, value, origin }) => [
        path,
        JSON.stringify(value),
        terminal.style("dim", origin === "default" ? "default" : `${setup.file ?? ""}:${origin.line}:${origin.column}`),
      ]),
    ),
  );
  return 0;
}
