// The configuration file: YAML in; out comes a complete Configuration, or every problem at once with line and column.
// Nothing else imports yaml or zod: the two cost 40 ms, which no command pays that needs no configuration.

import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";
import type { Alias, Document, Node, Pair, YAMLMap } from "yaml";
import { z } from "zod";

import type { Configuration, Driver, HttpTarget, KeyActionSettings, SinkSettings } from "../configuration.ts";
import { ACTION_NAMES } from "../configuration.ts";
import { reasonOf, RimonError } from "../errors.ts";
import { SEVERITIES } from "../finding.ts";
import type { Severity } from "../finding.ts";
import { parseSelector, selectorProblem } from "../protection.ts";
import { checkMeaning, quote } from "./meaning.ts";
import type { Path, Problem } from "./meaning.ts";
import * as notation from "./notation.ts";
import { weaknessesOf } from "./weakened.ts";

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

export type Origin = { readonly line: number; readonly column: number } | "default";

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

const MAX_BYTES = 1024 * 1024;
const MAX_ALIASES = 100;
const MAX_PROBLEMS = 100;

const DEFAULT = {
  environment: "production",
  mode: "monitor",
  interval: "1s",
  respond: { critical: ["capture"], high: ["capture"] },
  minimumSeverity: "medium",
  group: "60s",
  maxAlerts: 10_000,
  method: "POST",
  timeout: "10s",
  facility: "authpriv",
  cooldown: "60s",
  keep: 100,
  rotateSize: "64MiB",
  checkpointEvery: 256,
} as const;

// The schema. Each leaf says what it "must be"; problemsOf adds what came instead.

function mapping<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, {
    // For unknown keys the message is the list of the known ones; see problemsOf.
    error: (issue) => (issue.code === "unrecognized_keys" ? Object.keys(shape).join(" ") : "must be a mapping"),
  });
}

function list<Item extends z.ZodType>(item: Item, least = 0, what = "a list") {
  const error = { error: `must be ${what}` };
  return z.array(item, error).min(least, error);
}

function choice<const Names extends readonly [string, ...string[]]>(names: Names) {
  return z.enum(names, { error: `must be ${names.slice(0, -1).join(", ")} or ${names.at(-1)}` });
}

function text(expected: string, accepts: (text: string) => boolean) {
  const error = { error: `must be ${expected}` };
  return z.string(error).refine(accepts, error);
}

function whole(least: number, most: number) {
  const error = { error: `must be a whole number from ${least} to ${most}` };
  return z.int(error).min(least, error).max(most, error);
}

function duration(least: string, most: string) {
  const [min, max] = [notation.parseDuration(least) ?? 0, notation.parseDuration(most) ?? 0];
  return text(`a duration from ${least} to ${most}, such as 500ms, 1s or 1m`, (value) => {
    const ms = notation.parseDuration(value);
    return ms !== undefined && ms >= min && ms <= max;
  }).meta({ pattern: notation.DURATION_PATTERN });
}

function size(least: string, most: string) {
  const [min, max] = [notation.parseSize(least) ?? 0, notation.parseSize(most) ?? 0];
  return text(`a size from ${least} to ${most}, such as 64MiB`, (value) => {
    const bytes = notation.parseSize(value);
    return bytes !== undefined && bytes >= min && bytes <= max;
  }).meta({ pattern: notation.SIZE_PATTERN });
}

/** Says what is wrong where one sentence does not fit all. */
function checked(expected: string, problemOf: (text: string) => string | undefined) {
  return z.string({ error: `must be ${expected}` }).superRefine((value, context) => {
    const message = problemOf(value);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  });
}

const boolean = z.boolean({ error: "must be true or false" });
const line = text("text on one line", (value) => isLine(value) && value.length > 0 && value.length <= 1024);
const path = text("an absolute path", (value) => isLine(value) && value.startsWith("/") && value.length <= 4096);
const severity = choice(SEVERITIES);
const actionNames = list(
  z.string({ error: `must be an action (${ACTION_NAMES.join(", ")})` }),
  0,
  "a list of actions",
).meta({
  items: { enum: [...ACTION_NAMES] },
});
const selector = checked("a selector such as comm:vault", selectorProblem).meta({
  pattern: "^(pid|comm|exe|unit|cgroup|uid|container):.+$",
});
const timeout = duration("100ms", "5m").exactOptional().meta({ default: DEFAULT.timeout });
const command = list(line, 1, "a list that begins with an absolute path").refine(
  (words) => typeof words[0] === "string" && words[0].startsWith("/"),
  { error: "must be a list that begins with an absolute path" },
);

const http = {
  url: checked("an http:// or https:// URL", notation.urlProblem),
  method: choice(["POST", "PUT", "GET", "DELETE"]).exactOptional().meta({ default: DEFAULT.method }),
  headersFile: path.exactOptional().meta({ description: 'One "Name: value" a line, read anew at every request.' }),
  bearer: z
    .union(
      [
        mapping({ file: path }),
        mapping({
          env: text("the name of an environment variable", (value) => /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(value)),
        }),
      ],
      { error: "must be { file: PATH } or { env: NAME }" },
    )
    .exactOptional()
    .meta({ description: "Where the token of the Authorization header is: never the token itself." }),
  timeout,
  caFile: path.exactOptional().meta({ description: "PEM bundle to trust besides the built-in ones." }),
};
const exec = mapping({ command, timeout });

const sink = mapping({
  webhook: mapping(http).exactOptional(),
  syslog: mapping({
    address: text("udp://HOST:PORT or tcp://HOST:PORT", (value) => notation.parseSyslogAddress(value) !== undefined),
    facility: choice(Object.keys(notation.FACILITIES) as [Facility, ...Facility[]])
      .exactOptional()
      .meta({ default: DEFAULT.facility }),
  }).exactOptional(),
  stdout: mapping({}).exactOptional(),
  file: mapping({ path }).exactOptional(),
  falcosidekick: mapping(http).exactOptional(),
  exec: exec.exactOptional(),
}).meta({ minProperties: 1, maxProperties: 1 });
type Facility = keyof typeof notation.FACILITIES;

const keyAction = mapping({
  enabled: boolean.exactOptional().meta({ description: "True as soon as there is a driver." }),
  exec: exec.exactOptional(),
  http: mapping({ ...http, body: z.string({ error: "must be text" }).exactOptional() }).exactOptional(),
  socket: z
    .union([path, mapping({ path, timeout })], { error: "must be an absolute path or { path, timeout }" })
    .exactOptional(),
  cooldown: duration("0s", "1d").exactOptional().meta({ default: DEFAULT.cooldown }),
});

const fileSchema = mapping({
  environment: choice(["production", "development"]).exactOptional().meta({ default: DEFAULT.environment }),
  mode: choice(["monitor", "enforce", "off"]).exactOptional().meta({ default: DEFAULT.mode }),
  interval: duration("1s", "5s").exactOptional().meta({ default: DEFAULT.interval }),
  node: line.exactOptional().meta({ description: "The name findings carry; the host name by default." }),
  protect: list(selector)
    .exactOptional()
    .meta({ description: "Whom to protect; without it the well-known holders of keys are looked for." }),
  rules: z
    .record(
      z.string(),
      mapping({
        enabled: boolean.exactOptional(),
        severity: severity.exactOptional(),
        respond: actionNames.exactOptional().meta({ description: "Replaces what respond says for the severity." }),
        allow: list(line).exactOptional(),
      }),
      { error: "must be a mapping of rules" },
    )
    .exactOptional(),
  respond: mapping(
    Object.fromEntries(SEVERITIES.map((name) => [name, actionNames.exactOptional()])) as Record<
      Severity,
      z.ZodExactOptional<typeof actionNames>
    >,
  )
    .exactOptional()
    .meta({ default: DEFAULT.respond }),
  exceptions: list(
    mapping({
      rule: text("the name of a rule", isLine),
      suspect: mapping({
        exe: path.exactOptional(),
        sha256: text("64 hexadecimal digits", (value) => /^[0-9a-fA-F]{64}$/.test(value)).exactOptional(),
        uid: whole(0, 4_294_967_294).exactOptional(),
        comm: line.exactOptional(),
        parent: line.exactOptional().meta({ description: "The comm of the parent." }),
      }).exactOptional(),
      target: selector.exactOptional(),
      reason: line,
      expires: text(
        "a date such as 2026-12-31 (that day included) or a time such as 2026-12-31T18:00:00Z",
        (value) => notation.parseExpiry(value) !== undefined,
      ).exactOptional(),
    }),
  ).exactOptional(),
  alerts: mapping({
    minimumSeverity: severity.exactOptional().meta({ default: DEFAULT.minimumSeverity }),
    group: duration("1s", "1h").exactOptional().meta({ default: DEFAULT.group }),
    clusterAdmins: list(sink).exactOptional(),
    spool: mapping({
      directory: path.exactOptional(),
      maxAlerts: whole(1, 1_000_000).exactOptional().meta({ default: DEFAULT.maxAlerts }),
    }).exactOptional(),
  }).exactOptional(),
  tenants: list(
    mapping({
      id: text("letters, digits, '.', '_' and '-', at most 64", (value) =>
        /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value),
      ),
      processes: list(selector, 1, "a list of at least one selector"),
      admins: list(sink).exactOptional(),
    }),
  ).exactOptional(),
  actions: mapping({
    "rotate-master-key": keyAction.exactOptional(),
    "evict-tenant-keks": keyAction.exactOptional(),
    "kill-suspect": mapping({
      enabled: boolean.exactOptional().meta({ default: false }),
      scope: list(selector).exactOptional().meta({ description: "Suspects acting on these processes only." }),
    }).exactOptional(),
    capture: mapping({
      enabled: boolean.exactOptional().meta({ default: true }),
      directory: path.exactOptional(),
      keep: whole(1, 1_000_000).exactOptional().meta({ default: DEFAULT.keep }),
    }).exactOptional(),
  }).exactOptional(),
  audit: mapping({
    path: path.exactOptional(),
    keyFile: path.exactOptional(),
    rotateSize: size("4KiB", "1024GiB").exactOptional().meta({ default: DEFAULT.rotateSize }),
    checkpointEvery: whole(1, 1_000_000).exactOptional().meta({ default: DEFAULT.checkpointEvery }),
  }).exactOptional(),
  enforce: list(
    mapping({
      protect: selector,
      operations: list(z.string({ error: "must be a rule" }), 1, "a list of at least one rule"),
    }),
  ).exactOptional(),
});

type File = z.infer<typeof fileSchema>;
type FileSink = z.infer<typeof sink>;
type FileHttp = z.infer<ReturnType<typeof mapping<typeof http>>>;
type FileKeyAction = z.infer<typeof keyAction>;

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

// Defaults, and from the words of the file to those of configuration.ts.

function complete(file: File, { hostname, stateDirectory }: ConfigurationContext) {
  const { alerts = {}, actions = {}, audit = {} } = file;
  const kill = actions["kill-suspect"] ?? {};
  const capture = actions.capture ?? {};
  return {
    environment: file.environment ?? DEFAULT.environment,
    mode: file.mode ?? DEFAULT.mode,
    interval: file.interval ?? DEFAULT.interval,
    node: file.node ?? hostname,
    protect: file.protect ?? [],
    rules: file.rules ?? {},
    respond: { ...DEFAULT.respond, ...file.respond },
    exceptions: file.exceptions ?? [],
    alerts: {
      minimumSeverity: alerts.minimumSeverity ?? DEFAULT.minimumSeverity,
      group: alerts.group ?? DEFAULT.group,
      clusterAdmins: (alerts.clusterAdmins ?? []).map(completeSink),
      spool: {
        directory: alerts.spool?.directory ?? `${stateDirectory}/spool`,
        maxAlerts: alerts.spool?.maxAlerts ?? DEFAULT.maxAlerts,
      },
    },
    tenants: (file.tenants ?? []).map((tenant) => ({ ...tenant, admins: (tenant.admins ?? []).map(completeSink) })),
    actions: {
      "rotate-master-key": completeKeyAction(actions["rotate-master-key"] ?? {}),
      "evict-tenant-keks": completeKeyAction(actions["evict-tenant-keks"] ?? {}),
      "kill-suspect": { enabled: kill.enabled ?? false, scope: kill.scope ?? [] },
      capture: {
        enabled: capture.enabled ?? true,
        directory: capture.directory ?? `${stateDirectory}/captures`,
        keep: capture.keep ?? DEFAULT.keep,
      },
    },
    audit: {
      path: audit.path ?? `${stateDirectory}/audit.ndjson`,
      keyFile: audit.keyFile ?? `${stateDirectory}/audit.key`,
      rotateSize: audit.rotateSize ?? DEFAULT.rotateSize,
      checkpointEvery: audit.checkpointEvery ?? DEFAULT.checkpointEvery,
    },
    enforce: file.enforce ?? [],
  };
}

type Effective = ReturnType<typeof complete>;

function completeHttp<Http extends FileHttp>(target: Http) {
  return { ...target, method: target.method ?? DEFAULT.method, timeout: target.timeout ?? DEFAULT.timeout };
}

function completeExec(target: z.infer<typeof exec>) {
  return { ...target, timeout: target.timeout ?? DEFAULT.timeout };
}

function completeSink(settings: FileSink) {
  const { webhook, syslog, falcosidekick, exec } = settings;
  if (webhook !== undefined) return { webhook: completeHttp(webhook) };
  if (falcosidekick !== undefined) return { falcosidekick: completeHttp(falcosidekick) };
  if (syslog !== undefined) return { syslog: { ...syslog, facility: syslog.facility ?? DEFAULT.facility } };
  if (exec !== undefined) return { exec: completeExec(exec) };
  return settings.file === undefined ? { stdout: {} } : { file: settings.file };
}

function completeKeyAction({ enabled, exec, http, socket, cooldown }: FileKeyAction) {
  const at = typeof socket === "string" ? { path: socket } : socket;
  return {
    enabled: enabled ?? (exec ?? http ?? socket) !== undefined,
    ...(exec === undefined ? {} : { exec: completeExec(exec) }),
    ...(http === undefined ? {} : { http: completeHttp(http) }),
    ...(at === undefined ? {} : { socket: { path: at.path, timeout: at.timeout ?? DEFAULT.timeout } }),
    cooldown: cooldown ?? DEFAULT.cooldown,
  };
}

function build(effective: Effective): Configuration {
  const { alerts, actions, audit } = effective;
  return {
    environment: effective.environment,
    mode: effective.mode,
    intervalMs: durationOf(effective.interval),
    node: effective.node,
    protect: effective.protect.map(parseSelector),
    rules: effective.rules as Configuration["rules"],
    respond: effective.respond as Configuration["respond"],
    exceptions: effective.exceptions.map(({ target, expires, suspect, ...rest }) => ({
      ...rest,
      ...(suspect === undefined ? {} : { suspect: { ...suspect, ...lowerCaseDigest(suspect.sha256) } }),
      ...(target === undefined ? {} : { target: parseSelector(target) }),
      ...(expires === undefined ? {} : { expires: new Date(notation.parseExpiry(expires) ?? 0).toISOString() }),
    })),
    alerts: {
      clusterAdmins: alerts.clusterAdmins.map(buildSink),
      minimumSeverity: alerts.minimumSeverity,
      groupMs: durationOf(alerts.group),
      spool: alerts.spool,
    },
    tenants: effective.tenants.map(({ id, processes, admins }) => ({
      id,
      processes: processes.map(parseSelector),
      admins: admins.map(buildSink),
    })),
    actions: {
      "rotate-master-key": buildKeyAction(actions["rotate-master-key"]),
      "evict-tenant-keks": buildKeyAction(actions["evict-tenant-keks"]),
      "kill-suspect": { ...actions["kill-suspect"], scope: actions["kill-suspect"].scope.map(parseSelector) },
      capture: actions.capture,
    },
    audit: {
      path: audit.path,
      keyFile: audit.keyFile,
      rotateBytes: notation.parseSize(audit.rotateSize) ?? 0,
      checkpointEvery: audit.checkpointEvery,
    },
    enforce: effective.enforce.map(({ protect, operations }) => ({ protect: parseSelector(protect), operations })),
  };
}

function buildSink(settings: ReturnType<typeof completeSink>): SinkSettings {
  if ("webhook" in settings) return { kind: "webhook", ...buildHttp(settings.webhook) };
  if ("falcosidekick" in settings) return { kind: "falcosidekick", ...buildHttp(settings.falcosidekick) };
  if ("file" in settings) return { kind: "file", path: settings.file.path };
  if ("exec" in settings) return { kind: "exec", ...buildExec(settings.exec) };
  if ("stdout" in settings) return { kind: "stdout" };
  const { address, facility } = settings.syslog;
  const target = notation.parseSyslogAddress(address);
  if (target === undefined) throw new TypeError(`a syslog address the schema let through: ${address}`);
  return { kind: "syslog", ...target, facility: notation.FACILITIES[facility] };
}

function buildKeyAction(settings: ReturnType<typeof completeKeyAction>): KeyActionSettings {
  const driver = buildDriver(settings);
  const head = { enabled: settings.enabled, cooldownMs: durationOf(settings.cooldown) };
  return driver === undefined ? head : { ...head, driver };
}

function buildDriver({ exec, http, socket }: ReturnType<typeof completeKeyAction>): Driver | undefined {
  if (exec !== undefined) return { kind: "exec", ...buildExec(exec) };
  if (socket !== undefined) return { kind: "socket", path: socket.path, timeoutMs: durationOf(socket.timeout) };
  if (http === undefined) return undefined;
  return { kind: "http", ...buildHttp(http), ...(http.body === undefined ? {} : { body: http.body }) };
}

function buildExec({ command, timeout }: ReturnType<typeof completeExec>) {
  return { command, timeoutMs: durationOf(timeout) };
}

function buildHttp({ url, method, headersFile, bearer, timeout, caFile }: ReturnType<typeof completeHttp>): HttpTarget {
  return {
    url,
    method,
    ...(headersFile === undefined ? {} : { headersFile }),
    ...(bearer === undefined ? {} : { bearer }),
    timeoutMs: durationOf(timeout),
    ...(caFile === undefined ? {} : { caFile }),
  };
}

function durationOf(checkedText: string): number {
  return notation.parseDuration(checkedText) ?? 0;
}

function lowerCaseDigest(sha256: string | undefined) {
  return sha256 === undefined ? {} : { sha256: sha256.toLowerCase() };
}

function isLine(value: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return !/[\u0000-\u001f\u007f]/.test(value);
}

// YAML: the tree, and where each of its nodes stands.

interface Source {
  readonly tree: unknown;
  /** What is wrong with the text although it could be read: a key written twice. */
  readonly faults: readonly Located[];
  /** Where the key or the value at a path stands; undefined if it is not written. */
  find(path: Path, at: Problem["at"]): Position | undefined;
}

interface Position {
  readonly line: number;
  readonly column: number;
}

type Located = Position & { readonly message: string };
type Fault = readonly [offset: number, message: string];

function readYaml(text: string, file: string): Source {
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

// Problems: from what zod says to sentences.

function problemsOf(issue: z.core.$ZodIssue, tree: unknown): Problem[] {
  const path = issue.path.filter((step) => typeof step !== "symbol");
  if (issue.code === "unrecognized_keys") {
    const known = issue.message.split(" ").filter((name) => name !== "");
    return issue.keys.map((key) => ({ path: [...path, key], at: "key", message: unknownKey(key, known) }));
  }
  const value = valueAt(tree, path);
  if (issue.code === "invalid_union") {
    // The branch that takes what was written for the right type knows best what is wrong with it.
    const [best, next] = issue.errors
      .filter((branch) => !branch.some((inner) => inner.code === "invalid_type" && inner.path.length === 0))
      .toSorted((a, b) => a.length - b.length);
    if (best !== undefined && best.length !== next?.length) {
      return best.flatMap((inner) => problemsOf({ ...inner, path: [...issue.path, ...inner.path] }, tree));
    }
  }
  if (value === undefined) return [{ path, at: "value", message: `is missing: it ${issue.message}` }];
  return [{ path, at: "value", message: `${issue.message}, got ${describe(value, path)}` }];
}

const SECRET_KEY = /token|passw|passphrase|secret|credential|api[-_]?key|authorization/i;
const HTTP_SECRET_KEY = /^(?:headers?|auth|user(?:name)?|pass|x-.*)$/i;

function unknownKey(key: string, known: readonly string[]): string {
  if (SECRET_KEY.test(key) || (known.includes("url") && HTTP_SECRET_KEY.test(key))) {
    return "is not allowed: no secret is written into the configuration; name a file with headersFile, or use bearer: { file } or { env }";
  }
  const nearest = notation.nearestName(key, known);
  if (nearest !== undefined) return `is not known; did you mean ${nearest}?`;
  return known.length === 0 ? "is not known: nothing can be set here" : `is not known; known here: ${known.join(", ")}`;
}

/** What came, without repeating what may be a secret that stands in the wrong place. */
function describe(value: unknown, path: Path): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "a mapping";
  if (typeof value !== "string") return String(value);
  return path.some((step) => ["url", "bearer", "headersFile", "body"].includes(String(step)))
    ? "a text (not shown)"
    : quote(value);
}

function valueAt(tree: unknown, path: Path): unknown {
  let value = tree;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
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

function errorOf(problems: readonly Located[], file: string): RimonError {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const told = sorted
    .slice(0, MAX_PROBLEMS)
    .map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`);
  if (sorted.length > told.length) told.push(`${file}: and ${sorted.length - told.length} more problems`);
  return new RimonError("RIMON_CONFIG", told.join("\n"));
}

function formatPath(path: Path): string {
  return path
    .map((step, index) => {
      if (typeof step === "number") return `[${step}]`;
      if (!/^[\w-]{1,64}$/.test(step)) return `[${quote(step)}]`;
      return index === 0 ? step : `.${step}`;
    })
    .join("");
}

// Origins.

function originsOf(effective: Effective, { find }: Source): Map<string, Origin> {
  return new Map(
    leavesOf(effective).map(({ path }) => {
      // A socket may be written as its path alone.
      const written =
        find(path, "value") ??
        (path.at(-2) === "socket" && path.at(-1) === "path" ? find(path.slice(0, -1), "value") : undefined);
      return [formatPath(path), written ?? "default"];
    }),
  );
}

/** The scalars of a tree, and what is empty in it. */
function leavesOf(tree: unknown, path: Path = []): { path: Path; value: unknown }[] {
  if (typeof tree !== "object" || tree === null) return [{ path, value: tree }];
  const entries: [string | number, unknown][] = Array.isArray(tree) ? [...tree.entries()] : Object.entries(tree);
  if (entries.length === 0) return [{ path, value: tree }];
  return entries.flatMap(([step, value]) => leavesOf(value, [...path, step]));
}
