// The shape of the configuration file. Each leaf says what it "must be"; schema-problems.ts adds what came instead.

import * as z from "zod";

import { ACTION_NAMES } from "../configuration.ts";
import { SEVERITIES } from "../finding.ts";
import type { Severity } from "../finding.ts";
import { selectorProblem } from "../protection.ts";
import { DEFAULT } from "./defaults.ts";
import * as notation from "./notation.ts";
import { NODE_REFUSABLE, REFUSABLE } from "./refusals.ts";

/** Those that rules of the gate can name: baselines/gate-table.ts has their numbers. */
// prettier-ignore
const FILESYSTEM_NAMES = [
  "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "squashfs", "tmpfs", "vfat", "xfs",
] as const;

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

const gateMode = choice(["learn", "audit", "enforce"]);
const verdict = choice(["allow", "deny"]);
const uid = whole(0, 4_294_967_294);
const gate = mapping({
  mode: gateMode.exactOptional().meta({ default: DEFAULT.gateMode, description: "Of mounts that say no other." }),
  mounts: list(
    mapping({
      path,
      mode: gateMode.exactOptional(),
      opens: boolean.exactOptional().meta({ default: false, description: "Also what interpreters and loaders open." }),
      below: boolean.exactOptional().meta({ default: false, description: "Also file systems mounted below." }),
    }),
    1,
    "a list of at least one mount",
  ),
  known: list(path).exactOptional().meta({ description: "Baselines that rimon gate learn made." }),
  publicKeys: list(path).exactOptional().meta({ description: "Who may have sealed them, in PEM." }),
  threshold: whole(1, 100).exactOptional().meta({ default: 1 }),
  packages: boolean.exactOptional().meta({ default: false, description: "What dpkg installed is known." }),
  denied: list(path).exactOptional().meta({ description: "Files of SHA-256 digests, one a line, that never run." }),
  rules: list(
    mapping({
      name: line.exactOptional(),
      verdict,
      path: path.exactOptional(),
      owner: uid.exactOptional(),
      writableBy: list(choice(["owner", "group", "others"]), 1, "a list of owner, group or others").exactOptional(),
      filesystem: choice(FILESYSTEM_NAMES).exactOptional(),
      in: list(choice(["baseline", "packages", "denied"]), 1, "a list of baseline, packages or denied").exactOptional(),
      uid: uid.exactOptional(),
      by: path.exactOptional().meta({ description: "The executable of who runs it." }),
    }),
  )
    .max(1024, { error: "must be a list of at most 1024 rules" })
    .exactOptional()
    .meta({ default: DEFAULT.gateRules }),
  otherwise: verdict.exactOptional().meta({ default: DEFAULT.gateOtherwise }),
  unanswered: verdict.exactOptional().meta({ default: DEFAULT.gateUnanswered }),
  deadline: duration("10ms", "1m").exactOptional().meta({ default: DEFAULT.gateDeadline }),
  maxSize: size("4KiB", "1024GiB").exactOptional().meta({ default: DEFAULT.gateMaxSize }),
  interpreters: list(path).max(1024, { error: "must be a list of at most 1024 paths" }).exactOptional(),
  upgrade: mapping({
    by: list(path).max(1024, { error: "must be a list of at most 1024 paths" }).exactOptional(),
    marker: path.exactOptional().meta({ default: DEFAULT.gateUpgradeMarker }),
    atMost: duration("1s", "1d").exactOptional().meta({ default: DEFAULT.gateUpgradeAtMost }),
  }).exactOptional(),
  stateFile: path.exactOptional().meta({ description: "gate.json in the state folder by default." }),
});

/** The whole file. */
const sealedBaseline = mapping({
  file: path,
  publicKeys: list(path, 1, "a list of at least one file with a public key"),
  threshold: whole(1, 64).exactOptional().meta({ default: 1, description: "How many of the keys must have signed." }),
  ifRefused: choice(["last-good", "none"])
    .exactOptional()
    .meta({ default: DEFAULT.ifRefused, description: "What is used where the file is missing, changed or too old." }),
  lastGood: path.exactOptional().meta({ description: "Where the last one that was good is kept." }),
}).meta({ description: "A sealed baseline: rimon snapshot take makes one, rimon seal sign seals it." });

export const fileSchema = mapping({
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
  snapshots: mapping({
    interval: duration("1s", "24h").exactOptional().meta({ default: DEFAULT.snapshotInterval }),
    subsystems: list(choice(DEFAULT.snapshotSubsystems), 1, "a list of at least one subsystem").exactOptional(),
    baseline: sealedBaseline.exactOptional(),
  })
    .exactOptional()
    .meta({
      description: "Compares isolation structures of the kernel and of protected processes with what they were.",
    }),
  files: mapping({
    baseline: path.exactOptional().meta({ description: "The statement that rimon files init has written." }),
    publicKeys: list(path).exactOptional().meta({ description: "PEM files: it must be sealed by one of these." }),
    threshold: whole(1, 64).exactOptional().meta({ default: 1 }),
    lastGood: path.exactOptional().meta({ description: "Where the last one that was sealed and good is kept." }),
    realtime: boolean
      .exactOptional()
      .meta({ default: false, description: "Changes are told as they happen, with who makes them." }),
    containers: boolean
      .exactOptional()
      .meta({ default: false, description: "Changes to the root filesystems of containers are told as they happen." }),
    interval: duration("1m", "30d").exactOptional().meta({ default: DEFAULT.filesInterval }),
    full: duration("1m", "365d")
      .exactOptional()
      .meta({ default: DEFAULT.filesFull, description: "How often every file is read, changed or not." }),
    rate: size("1MiB", "1024GiB")
      .exactOptional()
      .meta({ default: DEFAULT.filesRate, description: "How much is read in a second." }),
    paths: list(path, 1, "a list of at least one absolute path").exactOptional(),
    rules: list(
      mapping({
        path,
        types: list(choice(["file", "folder", "link", "other"]), 1, "a list of at least one type").exactOptional(),
        group: choice(["immutable", "config", "growing", "access", "presence", "everything", "ignore"]),
        why: line.exactOptional(),
      }),
    )
      .exactOptional()
      .meta({ description: "For rimon files init: before the rules that it brings; the first that matches decides." }),
  })
    .exactOptional()
    .meta({ description: "Compares files with a baseline." }),
  gate: gate.exactOptional().meta({ description: "Checks executables of the mounts named before they run." }),
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
      protect: selector.exactOptional().meta({ description: "Without it the entry concerns the node." }),
      operations: list(z.string({ error: "must be an operation" }), 1, "a list of at least one operation").meta({
        items: { enum: [...REFUSABLE, ...NODE_REFUSABLE] },
      }),
    }),
  )
    .exactOptional()
    .meta({ description: "What mode enforce refuses to others on whom, or to everybody on the node." }),
});

export type File = z.infer<typeof fileSchema>;
export type FileBaseline = z.infer<typeof sealedBaseline>;
export type FileSink = z.infer<typeof sink>;
export type FileExec = z.infer<typeof exec>;
export type FileHttp = z.infer<ReturnType<typeof mapping<typeof http>>>;
export type FileKeyAction = z.infer<typeof keyAction>;

function isLine(value: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return !/[\u0000-\u001f\u007f]/.test(value);
}
