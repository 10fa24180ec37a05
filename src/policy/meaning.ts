// What the shape of the configuration file cannot say: names that must exist, keys that exclude one another, and what
// a production node does not accept. It runs on the tree as it was read, whose shape may be wrong in other places, so
// that every problem is told at once; what has the wrong type is left to the schema.

import { ACTION_NAMES } from "../configuration.ts";
import { nearestName, parseExpiry } from "./notation.ts";
import { quote } from "./problem.ts";
import type { Path, Problem } from "./problem.ts";
import { NODE_REFUSABLE, REFUSABLE } from "./refusals.ts";

export interface MeaningContext {
  readonly rules: readonly string[];
  readonly now: number;
}

/** How far ahead an exception may reach on a production node. */
export const EXCEPTION_DAYS = 90;
const DAY_MS = 86_400_000;

const SINKS = ["webhook", "syslog", "stdout", "file", "falcosidekick", "exec"];
const DRIVERS = ["exec", "http", "socket"];
const SUSPECT_FIELDS = ["exe", "sha256", "uid", "comm", "parent"];
const KEY_ACTIONS = ["rotate-master-key", "evict-tenant-keks"];

/** Every problem of meaning, in no particular order. */
export function checkMeaning(file: unknown, context: MeaningContext): Problem[] {
  const root = mapping(file);
  const production = root["environment"] !== "development";
  return [
    ...(production ? productionMode(root) : []),
    ...ruleNames(root, context.rules),
    ...operations(root),
    ...responses(root),
    ...exceptions(root, production, context.now),
    ...sinkLists(root),
    ...tenantIds(root),
    ...drivers(root),
    ...baselines(root),
  ];
}

/** More signers than there are would refuse every baseline. */
function baselines(root: Mapping): Problem[] {
  const { publicKeys, threshold } = mapping(mapping(root["snapshots"])["baseline"]);
  if (typeof threshold !== "number" || !Array.isArray(publicKeys) || threshold <= publicKeys.length) return [];
  const path = ["snapshots", "baseline", "threshold"];
  return [value(path, `must be at most the number of publicKeys, ${publicKeys.length}, got ${threshold}`)];
}

function productionMode(root: Mapping): Problem[] {
  if (root["mode"] !== "off") return [];
  return [value(["mode"], 'must be monitor or enforce in environment production, got "off"')];
}

function ruleNames(root: Mapping, rules: readonly string[]): Problem[] {
  const problems: Problem[] = [];
  for (const name of Object.keys(mapping(root["rules"]))) {
    if (!rules.includes(name))
      problems.push({ path: ["rules", name], at: "key", message: `is no rule${hint(name, rules)}` });
  }
  list(root["exceptions"]).forEach((exception, index) => {
    const name = mapping(exception)["rule"];
    if (typeof name !== "string" || rules.includes(name)) return;
    problems.push(value(["exceptions", index, "rule"], `must be a rule, got ${quote(name)}${hint(name, rules)}`));
  });
  return problems;
}

/** An entry with `protect` names what is refused on those processes, one without what is refused on the node. */
function operations(root: Mapping): Problem[] {
  const onNode: readonly string[] = NODE_REFUSABLE;
  return list(root["enforce"]).flatMap((entry, index) => {
    const ofNode = !("protect" in mapping(entry));
    const [expected, other] = ofNode ? [onNode, REFUSABLE] : [REFUSABLE, onNode];
    return list(mapping(entry)["operations"]).flatMap((name, position) => {
      if (typeof name !== "string" || expected.includes(name)) return [];
      const path = ["enforce", index, "operations", position];
      if (!other.includes(name)) {
        const known = [...REFUSABLE, ...onNode];
        return [
          value(path, `must be what can be refused (${known.join(", ")}), got ${quote(name)}${hint(name, known)}`),
        ];
      }
      return [
        value(
          path,
          ofNode
            ? `names ${name}, which is refused on processes: say on which, with protect`
            : `names ${name}, which concerns the whole node: give it an entry without protect`,
        ),
      ];
    });
  });
}

/** Actions that are asked for where they could only ever fail, and names that are no action. */
function responses(root: Mapping): Problem[] {
  const lists: { path: Path; actions: unknown }[] = Object.entries(mapping(root["respond"])).map(
    ([severity, actions]) => ({
      path: ["respond", severity],
      actions,
    }),
  );
  for (const [rule, settings] of Object.entries(mapping(root["rules"]))) {
    lists.push({ path: ["rules", rule, "respond"], actions: mapping(settings)["respond"] });
  }
  const problems: Problem[] = [];
  for (const { path, actions } of lists) {
    const named = list(actions);
    named.forEach((action, index) => {
      if (typeof action !== "string") return;
      const here = [...path, index];
      if (!(ACTION_NAMES as readonly string[]).includes(action)) {
        problems.push(
          value(
            here,
            `must be an action (${ACTION_NAMES.join(", ")}), got ${quote(action)}${hint(action, ACTION_NAMES)}`,
          ),
        );
      } else if (named.indexOf(action) < index) {
        problems.push(value(here, `names ${action} a second time`));
      } else if (KEY_ACTIONS.includes(action) && !hasDriverOrIsOff(mapping(root["actions"])[action])) {
        problems.push(
          value(here, `names ${action}, which has no driver: give actions.${action} one of exec, http or socket`),
        );
      }
    });
  }
  return problems;
}

function hasDriverOrIsOff(action: unknown): boolean {
  const settings = mapping(action);
  return settings["enabled"] === false || DRIVERS.some((driver) => driver in settings);
}

/**
 * In production an exception ends with the 90th day from now at the latest, and one that names a program (exe, comm or parent) also names its
 * digest: whoever can write to the path, or choose a name, would be excused otherwise. In development neither is asked.
 * An exception that has ended is no error, or a node could not start on the day after.
 */
function exceptions(root: Mapping, production: boolean, now: number): Problem[] {
  const problems: Problem[] = [];
  const latest = new Date(now + EXCEPTION_DAYS * DAY_MS).toISOString().slice(0, 10);
  list(root["exceptions"]).forEach((entry, index) => {
    const path = ["exceptions", index];
    const exception = mapping(entry);
    if (exception !== entry) return;

    const suspect = exception["suspect"];
    if (isMapping(suspect) && !SUSPECT_FIELDS.some((field) => field in suspect)) {
      problems.push(value([...path, "suspect"], `must have at least one of ${SUSPECT_FIELDS.join(", ")}`));
    }
    if (!production) return;

    const expires = exception["expires"];
    if (expires === undefined) {
      problems.push(
        value(path, `must say when it expires, at most ${EXCEPTION_DAYS} days ahead, in environment production`),
      );
    } else if (typeof expires === "string" && (parseExpiry(expires) ?? 0) > (parseExpiry(latest) ?? 0)) {
      const message = `must be at most ${EXCEPTION_DAYS} days ahead in environment production (${latest}), got ${quote(expires)}`;
      problems.push(value([...path, "expires"], message));
    }
    const named = ["exe", "comm", "parent"].find((field) => field in mapping(suspect));
    if (named !== undefined && !("sha256" in mapping(suspect))) {
      problems.push(value([...path, "suspect"], `names ${named} and must name sha256 too in environment production`));
    }
  });
  return problems;
}

function sinkLists(root: Mapping): Problem[] {
  const lists: { path: Path; sinks: unknown }[] = [
    { path: ["alerts", "clusterAdmins"], sinks: mapping(root["alerts"])["clusterAdmins"] },
  ];
  list(root["tenants"]).forEach((tenant, index) => {
    lists.push({ path: ["tenants", index, "admins"], sinks: mapping(tenant)["admins"] });
  });
  return lists.flatMap(({ path, sinks }) =>
    list(sinks).flatMap((sink, index) => (isMapping(sink) ? exactlyOne([...path, index], sink, SINKS) : [])),
  );
}

function exactlyOne(path: Path, node: Mapping, names: readonly string[]): Problem[] {
  const given = names.filter((name) => name in node);
  if (given.length === 1) return [];
  // A misspelt name is told as an unknown key already.
  if (given.length === 0 && Object.keys(node).length > 0) return [];
  const got = given.length === 0 ? "none" : given.join(" and ");
  return [value(path, `must have exactly one of ${names.join(", ")}, got ${got}`)];
}

function tenantIds(root: Mapping): Problem[] {
  const ids = list(root["tenants"]).map((tenant) => mapping(tenant)["id"]);
  return ids.flatMap((id, index) =>
    typeof id === "string" && ids.indexOf(id) < index
      ? [value(["tenants", index, "id"], `names tenant ${quote(id)} a second time`)]
      : [],
  );
}

function drivers(root: Mapping): Problem[] {
  return KEY_ACTIONS.flatMap((action) => {
    const settings = mapping(root["actions"])[action];
    if (!isMapping(settings)) return [];
    const given = DRIVERS.filter((driver) => driver in settings);
    if (given.length > 1) return exactlyOne(["actions", action], settings, DRIVERS);
    if (given.length === 0 && settings["enabled"] === true) {
      return [value(["actions", action], "is enabled and must have one of exec, http or socket")];
    }
    return [];
  });
}

type Mapping = Readonly<Record<string, unknown>>;

function isMapping(node: unknown): node is Mapping {
  return typeof node === "object" && node !== null && !Array.isArray(node);
}

function mapping(node: unknown): Mapping {
  return isMapping(node) ? node : {};
}

function list(node: unknown): readonly unknown[] {
  return Array.isArray(node) ? node : [];
}

function value(path: Path, message: string): Problem {
  return { path, at: "value", message };
}

function hint(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  return nearest === undefined ? "" : `; did you mean ${nearest}?`;
}
