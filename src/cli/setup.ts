// What every command begins with: where things are, and which configuration holds.

import { existsSync, readFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { join, resolve } from "node:path";
import { DEFAULT_CONFIGURATION, type Configuration, type Mode } from "../configuration.ts";
import { DETECTORS } from "../detectors/all.ts";
import { RimonError, reasonOf } from "../errors.ts";
import type { ParsedConfiguration } from "../policy/config.ts";
import { modeWeakness } from "../policy/weakened.ts";
import { parseSelector } from "../protection.ts";

export interface Overrides {
  readonly config?: string;
  readonly protect?: readonly string[];
  readonly mode?: Mode;
}

export interface Setup extends ParsedConfiguration {
  /** Undefined: no file was named and there is none at the default place. */
  readonly file?: string;
}

/** RIMON_STATE_DIR, else /var/lib/rimon for root and the user's state folder for others (XDG Base Directory). */
export function stateDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const named = env["RIMON_STATE_DIR"];
  if (named !== undefined && named !== "") return resolve(named);
  if (process.getuid?.() === 0) return "/var/lib/rimon";
  const base = env["XDG_STATE_HOME"];
  return join(base !== undefined && base.startsWith("/") ? base : join(homedir(), ".local", "state"), "rimon");
}

/** Reads the named file, or the default one if it is there, and applies what the command line says on top. */
export async function loadSetup(overrides: Overrides): Promise<Setup> {
  const file = overrides.config ?? (existsSync(DEFAULT_CONFIGURATION) ? DEFAULT_CONFIGURATION : undefined);
  const text = file === undefined ? "" : readText(file);
  // yaml and zod take a while to load: only commands that need a configuration pay for them.
  const { parseConfiguration } = await import("../policy/config.ts");
  const parsed = parseConfiguration(text, {
    file: file ?? "(defaults)",
    rules: DETECTORS.map(({ rule }) => rule),
    severities: Object.fromEntries(DETECTORS.map(({ rule, severity }) => [rule, severity])),
    hostname: hostname(),
    stateDirectory: stateDirectory(),
    now: Date.now(),
  });
  const configuration = override(parsed.configuration, overrides);
  const ofFile = modeWeakness(parsed.configuration);
  const ofMode = modeWeakness(configuration);
  const weakened = [...(ofMode === undefined ? [] : [ofMode]), ...parsed.weakened.filter((each) => each !== ofFile)];
  return { ...parsed, configuration, weakened, ...(file === undefined ? {} : { file: resolve(file) }) };
}

function override(configuration: Configuration, { protect, mode }: Overrides): Configuration {
  if (mode === "off" && configuration.environment === "production") {
    throw new RimonError(
      "RIMON_CONFIG",
      "--mode off is for development: the configuration says environment: production (the default); set environment: development to switch rimon off",
    );
  }
  return {
    ...configuration,
    ...(mode === undefined ? {} : { mode }),
    ...(protect === undefined || protect.length === 0 ? {} : { protect: protect.map(parseSelector) }),
  };
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (thrown) {
    throw new RimonError("RIMON_CONFIG", `the configuration ${file} cannot be read: ${reasonOf(thrown)}`, {
      cause: thrown,
    });
  }
}
