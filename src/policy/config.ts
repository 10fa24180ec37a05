// The configuration file: YAML in; out comes a complete Configuration, or every problem at once with line and column.
// Only what is reached from here imports yaml and zod: the two cost 40 ms, which no command pays that needs no
// configuration.

import * as z from "zod";

import type { Configuration } from "../configuration.ts";
import type { RimonError } from "../errors.ts";
import type { Severity } from "../finding.ts";
import { build, durationOf } from "./build.ts";
import { complete } from "./complete.ts";
import { DEFAULT } from "./defaults.ts";
import { checkMeaning } from "./meaning.ts";
import * as notation from "./notation.ts";
import { leavesOf, originsOf } from "./origins.ts";
import type { Origin } from "./origins.ts";
import { errorOf, formatPath } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { problemsOf } from "./schema-problems.ts";
import { fileSchema } from "./schema.ts";
import { weaknessesOf } from "./weakened.ts";
import { readYaml } from "./yaml.ts";
import type { Source } from "./yaml.ts";

export interface ConfigurationContext {
  /** As messages name it. */
  readonly file: string;
  /** The names of every rule there is. */
  readonly rules: readonly string[];
  /** The rules' own severities: with them a lowered one can be told from a raised one. */
  readonly severities?: Readonly<Record<string, Severity>>;
  readonly hostname: string;
  /** Where logs, captures and the spool go by default: /var/lib/rimon. */
  readonly stateDirectory: string;
  /** Milliseconds since the epoch; exceptions are measured against it. */
  readonly now: number;
}

export interface ParsedConfiguration {
  readonly configuration: Configuration;
  /** The configuration in the words of the file, every default filled in. As a file it means the same. */
  readonly effective: unknown;
  /** Where each value of `effective` comes from, by path: "alerts.clusterAdmins[0].webhook.url". */
  readonly origins: ReadonlyMap<string, Origin>;
  /** A sentence for everything that is weaker than the default. */
  readonly weakened: readonly string[];
}

export interface ExplainedValue {
  readonly path: string;
  readonly value: unknown;
  readonly origin: Origin;
}

/** The configuration file's JSON Schema (draft 2020-12), for editors; with `rules`, their names are completed too. */
export function jsonSchema(rules: readonly string[] = []): Record<string, unknown> {
  const schema = z.toJSONSchema(fileSchema, { io: "input", target: "draft-2020-12" }) as Record<string, unknown>;
  if (rules.length > 0) {
    const properties = schema["properties"] as Record<string, Record<string, unknown>>;
    properties["rules"] = { ...properties["rules"], propertyNames: { enum: [...rules] } };
  }
  return { ...schema, title: "rimon configuration" };
}

/** Reads a configuration; throws one RIMON_CONFIG error that tells every problem, a line each. */
export function parseConfiguration(text: string, context: ConfigurationContext): ParsedConfiguration {
  const source = readYaml(text, context.file);
  const result = fileSchema.safeParse(source.tree);
  const problems = result.success ? [] : result.error.issues.flatMap((issue) => problemsOf(issue, source.tree));
  // What the schema has said about a value is not said again by its meaning.
  const told = new Set(problems.map(({ path }) => formatPath(path)));
  problems.push(...checkMeaning(source.tree, context).filter(({ path }) => !told.has(formatPath(path))));
  if (problems.length > 0 || source.faults.length > 0 || !result.success)
    throw configurationError(problems, source, context.file);

  const effective = complete(result.data, context);
  const configuration = build(effective);
  return {
    configuration,
    effective,
    origins: originsOf(effective, source),
    weakened: weaknessesOf(configuration, {
      intervalMs: durationOf(DEFAULT.interval),
      minimumSeverity: DEFAULT.minimumSeverity,
      severities: context.severities ?? {},
      now: context.now,
    }),
  };
}

/** Every value that is in force and where it comes from; of a secret, the file or variable that holds it. */
export function explainConfiguration({ effective, origins }: ParsedConfiguration): ExplainedValue[] {
  return leavesOf(effective).map(({ path, value }) => ({
    path: formatPath(path),
    value: path.at(-1) === "url" ? notation.withoutQueryValues(String(value)) : value,
    origin: origins.get(formatPath(path)) ?? "default",
  }));
}

function configurationError(problems: readonly Problem[], { faults, find }: Source, file: string): RimonError {
  const located = problems.map(({ path, at, message }) => {
    let position = find(path, at);
    // What is missing is pointed at by what it is missing from.
    for (let end = path.length - 1; position === undefined && end >= 0; end--)
      position = find(path.slice(0, end), "value");
    return { ...(position ?? { line: 1, column: 1 }), message: `${formatPath(path)} ${message}` };
  });
  return errorOf([...faults, ...located], file);
}
