// YAML: the tree, and where each of its nodes stands.

import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";
import type { Alias, Document, Node, Pair, YAMLMap } from "yaml";

import { reasonOf, RimonError } from "../errors.ts";
import { errorOf, quote } from "./problem.ts";
import type { Located, Path, Position, Problem } from "./problem.ts";

const MAX_BYTES = 1024 * 1024;
const MAX_ALIASES = 100;

/** A file that was read. */
export interface Source {
  readonly tree: unknown;
  /** What is wrong with the text although it could be read: a key written twice. */
  readonly faults: readonly Located[];
  /** Where the key or the value at a path stands; undefined if it is not written. */
  find(path: Path, at: Problem["at"]): Position | undefined;
}

type Fault = readonly [offset: number, message: string];

/** Reads the text; throws a RIMON_CONFIG error if there is no tree to be had from it. */
export function readYaml(text: string, file: string): Source {
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_BYTES) {
    throw new RimonError("RIMON_CONFIG", `${file}: must not be larger than 1 MiB, got ${bytes} bytes`);
  }
  try {
    return readDocument(text.replace(/^\uFEFF/, ""), file);
  } catch (thrown) {
    if (thrown instanceof RimonError) throw thrown;
    const reason = thrown instanceof RangeError ? NESTED : `the file cannot be read as YAML: ${reasonOf(thrown)}`;
    throw new RimonError("RIMON_CONFIG", `${file}: ${reason}`, { cause: thrown });
  }
}

function readDocument(text: string, file: string): Source {
  const lines = new LineCounter();
  // Duplicate keys are found below in one pass; yaml compares every key with every other.
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: "error",
  });
  const positionAt = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };

  // One thing wrong makes yaml complain several times about the same place; the first complaint is the cause.
  const locate = (faults: readonly Fault[]): Located[] =>
    [...new Map(faults.toReversed()).entries()].map(([offset, message]) => ({ ...positionAt(offset), message }));

  const fatal: Fault[] = [
    ...document.errors,
    ...document.warnings.filter(({ code }) => code !== "TAG_RESOLVE_FAILED"),
  ].map(({ code, message, pos }) => [
    pos[0],
    YAML_FAULTS[code] ?? (message.startsWith("Maximum call stack") ? NESTED : (message.split("\n", 1)[0] ?? code)),
  ]);
  // oxlint-disable-next-line no-control-regex
  const control = text.search(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/);
  if (control >= 0) fatal.push([control, "a control character is not allowed"]);
  if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== "1.2") {
    fatal.push([0, "the file must be YAML 1.2: leave out the %YAML line"]);
  }
  const { anchored, aliasFaults, faults } = inspect(document);
  fatal.push(...aliasFaults);
  const { contents } = document;
  if (fatal.length === 0 && contents !== null && !isMap(contents) && !isNothing(contents)) {
    fatal.push([contents.range?.[0] ?? 0, "the file must be a mapping, such as: mode: monitor"]);
  }
  if (fatal.length > 0) throw errorOf(locate([...fatal, ...faults]), file);

  const tree: unknown = document.toJS({ maxAliasCount: MAX_ALIASES });
  return { tree: tree ?? {}, faults: locate(faults), find: finder(contents, anchored, positionAt) };
}

const NESTED = "the file is nested too deeply";

const YAML_FAULTS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: "tabs are not allowed as indentation: use spaces",
  MULTIPLE_DOCS: "the file must hold one document, not several",
};

const TAGS = ["str", "int", "float", "bool", "null", "map", "seq"].map((name) => `tag:yaml.org,2002:${name}`);

function isNothing(node: Node): boolean {
  return isScalar(node) && node.value === null && !node.source;
}

interface Inspected {
  /** The node each alias stands for. */
  readonly anchored: ReadonlyMap<Alias, Node>;
  readonly aliasFaults: readonly Fault[];
  readonly faults: readonly Fault[];
}

/** Finds what yaml lets pass and a configuration does not. */
function inspect(document: Document): Inspected {
  const anchors = new Map<string, Node>();
  const anchored = new Map<Alias, Node>();
  const aliasFaults: Fault[] = [];
  const faults: Fault[] = [];
  const offsetOf = (node: Node): number => node.range?.[0] ?? 0;
  visit(document, {
    Alias(_, alias) {
      const node = anchors.get(alias.source);
      if (node === undefined) {
        aliasFaults.push([offsetOf(alias), `*${alias.source} has no anchor &${alias.source} before it`]);
        return;
      }
      anchored.set(alias, node);
      if (anchored.size === MAX_ALIASES + 1) {
        aliasFaults.push([offsetOf(alias), `there must not be more than ${MAX_ALIASES} aliases`]);
      }
    },
    // A visitor of Value is not called where there is one of Map, so both are one.
    Value(_, node) {
      if (node.anchor !== undefined) anchors.set(node.anchor, node);
      if (node.tag !== undefined && node.tag !== "!" && !TAGS.includes(node.tag)) {
        faults.push([offsetOf(node), `the tag ${quote(node.tag)} is not known`]);
      }
      if (!isMap(node)) return;
      const seen = new Set<string>();
      for (const { key } of node.items) {
        if (!isScalar(key)) {
          faults.push([offsetOf(isNode(key) ? key : node), "a key must be plain text"]);
          continue;
        }
        const name = String(key.value);
        if (seen.has(name)) faults.push([offsetOf(key), `the key ${quote(name)} is written a second time`]);
        seen.add(name);
      }
    },
  });
  return { anchored, aliasFaults, faults };
}

function finder(
  root: Node | null,
  anchored: ReadonlyMap<Alias, Node>,
  positionAt: (offset: number) => Position,
): Source["find"] {
  const pairs = new WeakMap<YAMLMap, Map<string, Pair>>();
  const pairOf = (map: YAMLMap, name: string): Pair | undefined => {
    let known = pairs.get(map);
    if (known === undefined) {
      known = new Map(map.items.map((pair) => [isScalar(pair.key) ? String(pair.key.value) : "", pair]));
      pairs.set(map, known);
    }
    return known.get(name);
  };
  const positionOf = (node: unknown): Position | undefined =>
    isNode(node) && node.range ? positionAt(node.range[0]) : undefined;

  return (path, at) => {
    let key: unknown;
    let value: unknown = root;
    for (const step of path) {
      const container = isAlias(value) ? anchored.get(value) : value;
      if (isMap(container)) {
        const pair = pairOf(container, String(step));
        if (pair === undefined) return undefined;
        [key, value] = [pair.key, pair.value];
      } else if (isSeq(container) && typeof step === "number" && step < container.items.length) {
        key = value = container.items[step];
      } else {
        return undefined;
      }
    }
    // "mode:" with nothing behind it is best pointed at by its key.
    const nothing = !isNode(value) || isNothing(value);
    return positionOf(at === "key" || (nothing && key !== undefined) ? key : value) ?? positionOf(value);
  };
}
