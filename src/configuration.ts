// The configuration as the rest of the program sees it: complete, checked, with every default filled in.
// policy/config.ts makes it out of YAML; nothing here reads a file.

import type { Severity } from "./finding.ts";

/** The file that holds if none is named, and it is there. */
export const DEFAULT_CONFIGURATION = "/etc/rimon/rimon.yaml";

export type Mode = "monitor" | "enforce" | "off";

/** "comm:vault", split. */
export interface Selector {
  readonly by: "pid" | "comm" | "exe" | "unit" | "cgroup" | "uid" | "container";
  readonly value: string;
}

export interface RuleSettings {
  readonly enabled?: boolean;
  readonly severity?: Severity;
  /** Replaces what `respond` says for the severity. */
  readonly respond?: readonly ActionName[];
  /** library-preloaded: paths or prefixes (ending in /) that may be preloaded. upper-layer-exec: such that may run. maps-changed, isolation-changed: programs that compile at run time. code-modified: files whose code is patched on purpose. */
  readonly allow?: readonly string[];
}

export interface Exception {
  readonly rule: string;
  readonly suspect?: {
    readonly exe?: string;
    readonly sha256?: string;
    readonly uid?: number;
    readonly comm?: string;
    readonly parent?: string;
  };
  readonly target?: Selector;
  readonly reason: string;
  /** The first instant at which it no longer holds, RFC 3339. */
  readonly expires?: string;
}

/** A header value or a password comes from a file or an environment variable, never from the configuration itself. */
export type SecretSource = { readonly file: string } | { readonly env: string };

export interface HttpTarget {
  readonly url: string;
  readonly method: "POST" | "PUT" | "GET" | "DELETE";
  /** One "Name: value" a line, read anew at every request, so that a rotated token is picked up. */
  readonly headersFile?: string;
  readonly bearer?: SecretSource;
  readonly timeoutMs: number;
  /** PEM bundle to trust besides the built-in ones. */
  readonly caFile?: string;
}

export type SinkSettings =
  | { readonly kind: "stdout" }
  | { readonly kind: "file"; readonly path: string }
  | ({ readonly kind: "webhook" } & HttpTarget)
  | ({ readonly kind: "falcosidekick" } & HttpTarget)
  | {
      readonly kind: "syslog";
      readonly transport: "udp" | "tcp";
      readonly host: string;
      readonly port: number;
      readonly facility: number;
    }
  | { readonly kind: "exec"; readonly command: readonly string[]; readonly timeoutMs: number };

export interface Tenant {
  readonly id: string;
  readonly processes: readonly Selector[];
  readonly admins: readonly SinkSettings[];
}

/** How an action reaches the keeper of the keys. */
export type Driver =
  | { readonly kind: "exec"; readonly command: readonly string[]; readonly timeoutMs: number }
  /** The body is sent as written with {finding}, {rule}, {severity}, {node}, {tenants} filled in; without one, the finding's summary as JSON. */
  | ({ readonly kind: "http"; readonly body?: string } & HttpTarget)
  | { readonly kind: "socket"; readonly path: string; readonly timeoutMs: number };

export interface KeyActionSettings {
  readonly enabled: boolean;
  readonly driver?: Driver;
  readonly cooldownMs: number;
}

export const ACTION_NAMES = ["capture", "rotate-master-key", "evict-tenant-keks", "kill-suspect"] as const;
export type ActionName = (typeof ACTION_NAMES)[number];

export interface ActionSettings {
  readonly "rotate-master-key": KeyActionSettings;
  readonly "evict-tenant-keks": KeyActionSettings;
  readonly "kill-suspect": {
    readonly enabled: boolean;
    /** Suspects acting on these processes only. Empty: on none. */
    readonly scope: readonly Selector[];
  };
  readonly capture: { readonly enabled: boolean; readonly directory: string; readonly keep: number };
}

/** What mode enforce can refuse to everybody on the node. */
export type NodeOperation = "core-pattern" | "machine-memory";

/** An executable that the kernel side refuses nothing. */
export interface Exempt {
  readonly exe: string;
  /** Hexadecimal, lower case. */
  readonly sha256: string;
}

/** A sealed baseline that is used. */
export interface BaselineSettings {
  readonly file: string;
  /** Who may have sealed it: files with public keys, as PEM. */
  readonly publicKeys: readonly string[];
  /** How many of the keys must have signed. */
  readonly threshold: number;
  /** What is used where it is not to be believed. */
  readonly ifRefused: "last-good" | "none";
  /** Where the last one that was good is kept. */
  readonly lastGood: string;
  /** It may have been made on another machine. */
  readonly ofAnyMachine?: boolean;
}

/** Which files are compared with a baseline, and in what; src/baselines/files/rules.ts says what a rule means. */
export interface FileSettings {
  /** The statement of the baseline. */
  readonly baseline: string;
  /** Who may have sealed it; empty: it need not be sealed. */
  readonly publicKeys: readonly string[];
  readonly threshold: number;
  /** Where the last one that was sealed and good is kept. */
  readonly lastGood: string;
  readonly intervalMs: number;
  /** Changes are told as they happen, too, with who made them. */
  readonly realtime: boolean;
  /** What is changed in the root filesystems of containers is told as it happens. */
  readonly containers: boolean;
  /** From one reading of every file to the next. */
  readonly fullEveryMs: number;
  /** Bytes of content a second. */
  readonly bytesPerSecond: number;
  /** Undefined: what a node runs. */
  readonly paths?: readonly string[];
  /** Before those that rimon brings. */
  readonly rules: readonly FileRuleSettings[];
}

export interface FileRuleSettings {
  readonly path: string;
  readonly types?: readonly ("file" | "folder" | "link" | "other")[];
  readonly group: "immutable" | "config" | "growing" | "access" | "presence" | "everything" | "ignore";
  readonly why?: string;
}

export type GateVerdict = "allow" | "deny";
/** Who is not root and may write to a file: its owner, its group, everybody. */
export type GateWriter = "owner" | "group" | "others";
/** Where a digest can be: in the sealed baselines, among what packages brought, on a list of what is never to run. */
export type GateSet = "baseline" | "packages" | "denied";

/** All that is given must hold. */
export interface GateRule {
  /** For findings; its number if it has none. */
  readonly name?: string;
  readonly verdict: GateVerdict;
  /** This file, or what is below this folder. */
  readonly path?: string;
  readonly owner?: number;
  /** Any of these may write to it. */
  readonly writableBy?: readonly GateWriter[];
  /** As /proc/mounts names it. */
  readonly filesystem?: string;
  /** Its digest is in any of these. */
  readonly in?: readonly string[];
  /** Effective, of who runs it. */
  readonly uid?: number;
  /** The executable of who runs it. */
  readonly by?: string;
}

export interface GateMount {
  readonly path: string;
  readonly mode: "learn" | "audit" | "enforce";
  /** Also what interpreters open there, and ELF files by whomever. */
  readonly opens: boolean;
  /** Also the file systems that are, or come to be, mounted below. */
  readonly below: boolean;
}

/** The exec gate: what is checked before it runs, and by what. */
export interface GateSettings {
  readonly mounts: readonly GateMount[];
  /** Baselines of executables. */
  readonly known: readonly string[];
  /** Who may have sealed them; none: they need not be sealed. */
  readonly publicKeys: readonly string[];
  readonly threshold: number;
  /** Whether what dpkg installed, and its md5sums agree with, is known. */
  readonly packages: boolean;
  /** Files of digests, one a line, that never run. */
  readonly denied: readonly string[];
  /** The first that matches decides. */
  readonly rules: readonly GateRule[];
  readonly otherwise: GateVerdict;
  /** What cannot be judged: too large, unreadable, too late. */
  readonly unanswered: GateVerdict;
  readonly deadlineMs: number;
  readonly maxBytes: number;
  readonly interpreters: readonly string[];
  readonly upgrade: { readonly by: readonly string[]; readonly marker: string; readonly atMostMs: number };
  /** Where it is kept how it stands, for `rimon gate status` and for the next start. */
  readonly stateFile: string;
}

export interface Configuration {
  readonly environment: "production" | "development";
  readonly mode: Mode;
  readonly intervalMs: number;
  /** The name findings carry; the host name by default. */
  readonly node: string;
  /** Empty: the well-known holders of keys are looked for. */
  readonly protect: readonly Selector[];
  /** Undefined: isolation structures are not compared. */
  readonly snapshots?: {
    readonly intervalMs: number;
    readonly subsystems: readonly string[];
    /** Undefined: what is there when it is first seen is what is compared with. */
    readonly baseline?: BaselineSettings;
  };
  /** Undefined: files are not compared with a baseline. */
  readonly files?: FileSettings;
  /** Undefined: nothing is checked before it runs. */
  readonly gate?: GateSettings;
  readonly rules: Readonly<Record<string, RuleSettings>>;
  readonly respond: Readonly<Partial<Record<Severity, readonly ActionName[]>>>;
  readonly exceptions: readonly Exception[];
  readonly alerts: {
    readonly clusterAdmins: readonly SinkSettings[];
    /** Findings below it are in the log only. */
    readonly minimumSeverity: Severity;
    /** How long repeats of one finding are counted instead of told. */
    readonly groupMs: number;
    readonly spool: { readonly directory: string; readonly maxAlerts: number };
  };
  readonly tenants: readonly Tenant[];
  readonly actions: ActionSettings;
  readonly audit: {
    readonly path: string;
    readonly keyFile: string;
    readonly rotateBytes: number;
    readonly checkpointEvery: number;
  };
  /** Without `protect` an entry concerns the node. */
  readonly enforce: readonly { readonly protect?: Selector; readonly operations: readonly string[] }[];
}
