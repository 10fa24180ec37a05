// Which files are compared, and in what: rules of a pattern and a group, of which the first that matches decides.

import { RimonError } from "../../errors.ts";
import type { FileType } from "./entry.ts";

/** In the order they are told. */
export const ATTRIBUTES = [
  "type",
  "content",
  "mode",
  "owner",
  "group",
  "size",
  "target",
  "capabilities",
  "acl",
  "xattrs",
  "flags",
  "links",
  "node",
  "mount",
  "inode",
  "mtime",
  "ctime",
  "filesystem",
] as const;
export type Attribute = (typeof ATTRIBUTES)[number];

interface Group {
  readonly compares: readonly Attribute[];
  readonly says: string;
}

const WHO: readonly Attribute[] = ["type", "mode", "owner", "group", "capabilities", "acl", "xattrs", "flags", "node"];

/** What of a file is compared. Of a folder never its size, times and links: what comes and goes in it is told by itself. */
export const GROUPS = {
  immutable: {
    compares: [...WHO, "content", "size", "target", "links", "mount", "inode", "mtime", "ctime"],
    says: "a file that only its package changes; its ctime, which nobody can set, tells also what was changed and changed back",
  },
  config: {
    compares: [...WHO, "content", "size", "target", "links", "mount"],
    says: "a file that people edit: what it says and who may read or write it, not when it was written",
  },
  growing: {
    compares: [...WHO, "content", "size", "links", "inode"],
    says: "a log: it may grow, and what was in it stays; content is that of its first bytes, as many as there were",
  },
  access: {
    compares: [...WHO, "target", "mount"],
    says: "a file whose content changes all the time: who may do what with it",
  },
  presence: { compares: ["type", "mount"], says: "whether it is there" },
  everything: { compares: [...ATTRIBUTES], says: "all that is known of a file" },
} as const satisfies Readonly<Record<string, Group>>;
export type GroupName = keyof typeof GROUPS;

/** What of a folder would change with everything that is put into it. */
const NOT_OF_FOLDERS: ReadonlySet<Attribute> = new Set(["size", "links", "mtime", "ctime", "content"]);

export type RuleType = "file" | "folder" | "link" | "other";

export interface FileRule {
  /**
   * An absolute path, and all below it. "*" and "?" stand for bytes of a name, "**" for any, "/**\/" also for no folder at
   * all; "\" goes before one that is meant as it is.
   */
  readonly path: string;
  /** Of these types only. */
  readonly types?: readonly RuleType[];
  /** Or it is left out, with all that is below it. */
  readonly group: GroupName | "ignore";
  /** For people: why. */
  readonly why?: string;
}

export function groupsOf(name: GroupName, type: FileType | undefined): readonly Attribute[] {
  const { compares } = GROUPS[name] as Group;
  return type === "folder" && name !== "everything" ? compares.filter((each) => !NOT_OF_FOLDERS.has(each)) : compares;
}

const RULE_TYPES = { file: 1, folder: 2, link: 4, other: 8 } as const;
const SKIP = 16;
const CONTENT = 32;
const MAX_RULES = 4096;

/** The rules as native/file_rules.c reads them. */
export function encodeRules(rules: readonly FileRule[]): Buffer {
  return Buffer.concat(
    rules.flatMap(({ path, types = [], group }) => [
      Buffer.from([types.reduce((bits, type) => bits | RULE_TYPES[type], 0) | howOf(group)]),
      Buffer.from(`${path}\0`),
    ]),
  );
}

function howOf(group: FileRule["group"]): number {
  if (group === "ignore") return SKIP;
  return (GROUPS[group].compares as readonly Attribute[]).includes("content") ? CONTENT : 64;
}

export function ruleTypeOf(type: FileType): RuleType {
  return type === "file" || type === "folder" || type === "link" ? type : "other";
}

/** Which rule decides about a path; undefined: none. */
export function findRule(rules: readonly FileRule[], path: Buffer, type: FileType): number | undefined {
  const index = rules.findIndex(
    (rule) => (rule.types?.includes(ruleTypeOf(type)) ?? true) && patternMatches(Buffer.from(rule.path), path),
  );
  return index === -1 ? undefined : index;
}

/** Which of the folders that lead to it leaves a path out; undefined: none. */
export function findCut(rules: readonly FileRule[], path: Buffer): { folder: Buffer; rule: number } | undefined {
  for (let at = path.indexOf(0x2f, 1); at !== -1; at = path.indexOf(0x2f, at + 1)) {
    const folder = path.subarray(0, at);
    const rule = findRule(rules, folder, "folder");
    if (rule !== undefined && rules[rule]?.group === "ignore" && !wantsBelow(rules.slice(0, rule), folder))
      return { folder, rule };
  }
  return undefined;
}

function wantsBelow(rules: readonly FileRule[], folder: Buffer): boolean {
  return rules.some(({ path, group }) => {
    if (group === "ignore") return false;
    const pattern = Buffer.from(path);
    const wild = pattern.findIndex((byte) => byte === STAR || byte === QUESTION || byte === BACKSLASH);
    const literal = wild === -1 ? pattern.length : wild;
    const common = Math.min(literal, folder.length);
    return (
      pattern.compare(folder, 0, common, 0, common) === 0 &&
      (literal <= folder.length || folder.length === 1 || pattern[folder.length] === SLASH)
    );
  });
}

const [STAR, QUESTION, BACKSLASH, SLASH] = [0x2a, 0x3f, 0x5c, 0x2f];

/** Whether a pattern matches a path, or one that it is below. The twin of native/file_rules.c, which a test holds against it. */
export function patternMatches(pattern: Buffer, path: Buffer): boolean {
  let [star, starAt, deep, deepAt, whole] = [-1, 0, -1, 0, false];
  for (let [k, i] = [0, 0]; ;) {
    if (k === pattern.length) {
      if (i === path.length || path[i] === SLASH || (i > 0 && path[i - 1] === SLASH)) return true;
    } else if (pattern[k] === STAR && pattern[k + 1] === STAR) {
      whole = k > 0 && pattern[k - 1] === SLASH && pattern[k + 2] === SLASH;
      k += whole ? 3 : 2;
      [deep, deepAt, star] = [k, i, -1];
      continue;
    } else if (pattern[k] === STAR) {
      [star, starAt] = [++k, i];
      continue;
    } else if (i < path.length) {
      const escaped = pattern[k] === BACKSLASH && k + 1 < pattern.length;
      const fits = escaped
        ? path[i] === pattern[k + 1]
        : path[i] === pattern[k] || (pattern[k] === QUESTION && path[i] !== SLASH);
      if (fits) {
        k += escaped ? 2 : 1;
        i++;
        continue;
      }
    }
    if (star !== -1 && starAt < path.length && path[starAt] !== SLASH) {
      [k, i] = [star, ++starAt];
      continue;
    }
    if (deep === -1) return false;
    while (whole && deepAt < path.length && path[deepAt] !== SLASH) deepAt++;
    if (deepAt >= path.length) return false;
    [k, i, star] = [deep, ++deepAt, -1];
  }
}

/** Why rules cannot be used, as a sentence; undefined if they can. */
export function rulesProblem(value: unknown): string | undefined {
  if (!Array.isArray(value)) return "rules must be an array";
  if (value.length > MAX_RULES) return `there may be ${MAX_RULES} rules, got ${value.length}`;
  for (const [index, rule] of value.entries()) {
    const problem = ruleProblem(rule);
    if (problem !== undefined) return `rules[${index}]${problem}`;
  }
  return undefined;
}

function ruleProblem(rule: unknown): string | undefined {
  if (typeof rule !== "object" || rule === null) return " must be an object";
  const { path, types, group, why } = rule as Record<string, unknown>;
  if (typeof path !== "string" || !path.startsWith("/") || path.length > 4096 || path.includes("\0"))
    return ".path must be an absolute path, with * and ? and ** where they are wanted";
  if (types !== undefined) {
    if (!Array.isArray(types) || types.some((type) => typeof type !== "string" || !(type in RULE_TYPES)))
      return `.types must be a list of ${Object.keys(RULE_TYPES).join(", ")}`;
  }
  if (typeof group !== "string" || !(group === "ignore" || Object.hasOwn(GROUPS, group)))
    return `.group must be ignore or one of ${Object.keys(GROUPS).join(", ")}`;
  return why === undefined || typeof why === "string" ? undefined : ".why must be text";
}

/** Rules that people wrote. */
export function checkedRules(rules: readonly FileRule[]): readonly FileRule[] {
  const problem = rulesProblem(rules);
  if (problem !== undefined) throw new RimonError("RIMON_USAGE", problem);
  return rules;
}
