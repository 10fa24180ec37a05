import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";
import { parse, stringify } from "yaml";
import { z } from "zod";

import { RimonError } from "../../src/errors.ts";
import { explainConfiguration, jsonSchema, parseConfiguration } from "../../src/policy/config.ts";
import type { ConfigurationContext } from "../../src/policy/config.ts";
import { BROKEN_FILES } from "./broken-files.ts";

const DIGEST = "ab".repeat(32);

const CONTEXT: ConfigurationContext = {
  file: "policy.yaml",
  rules: ["memory-read", "ptrace-attach", "library-preloaded"],
  severities: { "memory-read": "critical", "ptrace-attach": "high" },
  hostname: "node-7",
  stateDirectory: "/var/lib/rimon",
  now: Date.parse("2026-11-20T12:00:00Z"),
};

const FULL = `
environment: production
mode: enforce
interval: 2s
node: vault-1
protect: ["exe:/usr/sbin/sshd", "comm:vault"]
snapshots:
  interval: 1m
  subsystems: [seccomp, modules]
  baseline: { file: /etc/rimon/good.dsse, publicKeys: [/etc/rimon/a.pub, /etc/rimon/b.pub], threshold: 2, ifRefused: none }
files: { publicKeys: [/etc/rimon/files.pub], realtime: true, containers: true, interval: 2h, paths: [/usr], rules: [{ path: /usr/lib/x, group: ignore }] }
gate:
  mode: enforce
  mounts:
    - { path: /usr, opens: true }
    - { path: /srv, mode: learn, below: true }
  known: [/etc/rimon/executables.json]
  publicKeys: [/etc/rimon/org.pub]
  threshold: 2
  packages: true
  denied: [/etc/rimon/denied]
  rules:
    - { name: ours, verdict: allow, path: /opt/ours, owner: 0, filesystem: ext4, in: [baseline], uid: 7, by: /usr/bin/make }
    - { verdict: deny, writableBy: [group, others] }
  otherwise: allow
  unanswered: deny
  deadline: 500ms
  maxSize: 1GiB
  interpreters: [/usr/bin/perl]
  upgrade: { by: [/usr/bin/dpkg], marker: /run/upgrade, atMost: 10m }
  stateFile: /srv/gate.json
rules:
  memory-read: { enabled: true, severity: critical, respond: [capture, rotate-master-key] }
  library-preloaded:
    allow: [/usr/lib/libjemalloc.so.2]
respond: { critical: [capture], high: [] }
exceptions:
  - rule: ptrace-attach
    suspect: { exe: /usr/bin/strace, sha256: "${DIGEST.toUpperCase()}", uid: 0, comm: strace, parent: bash }
    target: comm:vault
    reason: on-call debugging
    expires: 2026-12-31
alerts:
  minimumSeverity: high
  group: 30s
  clusterAdmins:
    - webhook:
        url: https://example.org/hook?token=abc
        headersFile: /etc/rimon/headers
        bearer: { env: RIMON_TOKEN }
        method: PUT
        timeout: 5s
        caFile: /etc/rimon/ca.pem
    - syslog: { address: "udp://[::1]", facility: local3 }
    - stdout: {}
    - file: { path: /var/log/rimon.ndjson }
    - falcosidekick: { url: "http://127.0.0.1:2801/" }
    - exec: { command: [/usr/bin/notify, now], timeout: 3s }
  spool: { directory: /srv/spool, maxAlerts: 5 }
tenants:
  - { id: org-pharma, processes: ["unit:vault"], admins: [{ webhook: { url: "http://alerts.example.org/", bearer: { file: /run/token } } }] }
actions:
  rotate-master-key: { http: { url: "http://127.0.0.1/rotate", body: "{finding}" }, cooldown: 2m }
  evict-tenant-keks: { socket: /run/vault/custody.sock }
  kill-suspect: { enabled: true, scope: ["comm:vault"] }
  capture: { enabled: false, directory: /srv/captures, keep: 3 }
audit: { path: /srv/audit.ndjson, keyFile: /srv/audit.key, rotateSize: 1MiB, checkpointEvery: 8 }
enforce:
  - { protect: "comm:vault", operations: [memory-read] }
  - { operations: [core-pattern] }
`;

function parseText(text: string, context: Partial<ConfigurationContext> = {}) {
  return parseConfiguration(text, { ...CONTEXT, ...context });
}

for (const text of ["", "\n", "# nothing is set\n", "---\n", "\uFEFF", "{}"]) {
  test(`a file that sets nothing is the default configuration: ${JSON.stringify(text)}`, () => {
    const { configuration, weakened } = parseText(text);
    assert.deepEqual(configuration, {
      environment: "production",
      mode: "monitor",
      intervalMs: 1000,
      node: "node-7",
      protect: [],
      rules: {},
      respond: { critical: ["capture"], high: ["capture"] },
      exceptions: [],
      alerts: {
        clusterAdmins: [],
        minimumSeverity: "medium",
        groupMs: 60_000,
        spool: { directory: "/var/lib/rimon/spool", maxAlerts: 10_000 },
      },
      tenants: [],
      actions: {
        "rotate-master-key": { enabled: false, cooldownMs: 60_000 },
        "evict-tenant-keks": { enabled: false, cooldownMs: 60_000 },
        "kill-suspect": { enabled: false, scope: [] },
        capture: { enabled: true, directory: "/var/lib/rimon/captures", keep: 100 },
      },
      audit: {
        path: "/var/lib/rimon/audit.ndjson",
        keyFile: "/var/lib/rimon/audit.key",
        rotateBytes: 64 * 1024 * 1024,
        checkpointEvery: 256,
      },
      enforce: [],
    });
    assert.deepEqual(weakened, []);
  });
}

test("everything that can be set is set", () => {
  const { configuration } = parseText(FULL);
  assert.deepEqual(configuration, {
    environment: "production",
    mode: "enforce",
    intervalMs: 2000,
    node: "vault-1",
    protect: [
      { by: "exe", value: "/usr/sbin/sshd" },
      { by: "comm", value: "vault" },
    ],
    snapshots: {
      intervalMs: 60_000,
      subsystems: ["seccomp", "modules"],
      baseline: {
        file: "/etc/rimon/good.dsse",
        publicKeys: ["/etc/rimon/a.pub", "/etc/rimon/b.pub"],
        threshold: 2,
        ifRefused: "none",
        lastGood: "/var/lib/rimon/baselines/isolation.dsse",
      },
    },
    files: {
      baseline: "/var/lib/rimon/files.json",
      publicKeys: ["/etc/rimon/files.pub"],
      threshold: 1,
      lastGood: "/var/lib/rimon/baselines/files.dsse",
      realtime: true,
      containers: true,
      intervalMs: 7_200_000,
      fullEveryMs: 86_400_000,
      bytesPerSecond: 50 * 1024 * 1024,
      paths: ["/usr"],
      rules: [{ path: "/usr/lib/x", group: "ignore" }],
    },
    gate: {
      mounts: [
        { path: "/usr", mode: "enforce", opens: true, below: false },
        { path: "/srv", mode: "learn", opens: false, below: true },
      ],
      known: ["/etc/rimon/executables.json"],
      publicKeys: ["/etc/rimon/org.pub"],
      threshold: 2,
      packages: true,
      denied: ["/etc/rimon/denied"],
      rules: [
        {
          name: "ours",
          verdict: "allow",
          path: "/opt/ours",
          owner: 0,
          filesystem: "ext4",
          in: ["baseline"],
          uid: 7,
          by: "/usr/bin/make",
        },
        { verdict: "deny", writableBy: ["group", "others"] },
      ],
      otherwise: "allow",
      unanswered: "deny",
      deadlineMs: 500,
      maxBytes: 1024 ** 3,
      interpreters: ["/usr/bin/perl"],
      upgrade: { by: ["/usr/bin/dpkg"], marker: "/run/upgrade", atMostMs: 600_000 },
      stateFile: "/srv/gate.json",
    },
    rules: {
      "memory-read": { enabled: true, severity: "critical", respond: ["capture", "rotate-master-key"] },
      "library-preloaded": { allow: ["/usr/lib/libjemalloc.so.2"] },
    },
    respond: { critical: ["capture"], high: [] },
    exceptions: [
      {
        rule: "ptrace-attach",
        suspect: { exe: "/usr/bin/strace", sha256: DIGEST, uid: 0, comm: "strace", parent: "bash" },
        target: { by: "comm", value: "vault" },
        reason: "on-call debugging",
        expires: "2027-01-01T00:00:00.000Z",
      },
    ],
    alerts: {
      clusterAdmins: [
        {
          kind: "webhook",
          url: "https://example.org/hook?token=abc",
          method: "PUT",
          headersFile: "/etc/rimon/headers",
          bearer: { env: "RIMON_TOKEN" },
          timeoutMs: 5000,
          caFile: "/etc/rimon/ca.pem",
        },
        { kind: "syslog", transport: "udp", host: "::1", port: 514, facility: 19 },
        { kind: "stdout" },
        { kind: "file", path: "/var/log/rimon.ndjson" },
        { kind: "falcosidekick", url: "http://127.0.0.1:2801/", method: "POST", timeoutMs: 10_000 },
        { kind: "exec", command: ["/usr/bin/notify", "now"], timeoutMs: 3000 },
      ],
      minimumSeverity: "high",
      groupMs: 30_000,
      spool: { directory: "/srv/spool", maxAlerts: 5 },
    },
    tenants: [
      {
        id: "org-pharma",
        processes: [{ by: "unit", value: "vault" }],
        admins: [
          {
            kind: "webhook",
            url: "http://alerts.example.org/",
            method: "POST",
            bearer: { file: "/run/token" },
            timeoutMs: 10_000,
          },
        ],
      },
    ],
    actions: {
      "rotate-master-key": {
        enabled: true,
        driver: { kind: "http", url: "http://127.0.0.1/rotate", method: "POST", timeoutMs: 10_000, body: "{finding}" },
        cooldownMs: 120_000,
      },
      "evict-tenant-keks": {
        enabled: true,
        driver: { kind: "socket", path: "/run/vault/custody.sock", timeoutMs: 10_000 },
        cooldownMs: 60_000,
      },
      "kill-suspect": { enabled: true, scope: [{ by: "comm", value: "vault" }] },
      capture: { enabled: false, directory: "/srv/captures", keep: 3 },
    },
    audit: { path: "/srv/audit.ndjson", keyFile: "/srv/audit.key", rotateBytes: 1024 * 1024, checkpointEvery: 8 },
    enforce: [
      { protect: { by: "comm", value: "vault" }, operations: ["memory-read"] },
      { operations: ["core-pattern"] },
    ],
  });
});

test("what is weaker than the default is told in sentences", () => {
  const { weakened } = parseText(FULL);
  assert.deepEqual(weakened, [
    "Processes are looked at every 2s instead of every 1s.",
    "The rule library-preloaded allows /usr/lib/libjemalloc.so.2.",
    "The rule ptrace-attach has an exception until 2027-01-01T00:00:00.000Z: on-call debugging",
    "Findings below severity high are not alerted.",
    "Findings of severity high are not captured.",
    "The action capture is off.",
    "Credentials are sent in clear text to alerts.example.org.",
  ]);
});

const WEAKENED: [text: string, weakened: string[]][] = [
  ["mode: monitor\n", []],
  ["mode: enforce\n", ["The mode is enforce, but enforce has no entry: nothing is refused, as in monitor."]],
  ["mode: enforce\nenforce: [{ protect: 'comm:vault', operations: [memory-read] }]\n", []],
  ["mode: enforce\nenforce: [{ operations: [core-pattern, machine-memory] }]\n", []],
  ["enforce: [{ protect: 'comm:vault', operations: [memory-read] }]\n", []],
  ["alerts: { minimumSeverity: low }\n", []],
  ["actions: { kill-suspect: { enabled: false } }\n", []],
  ["rules: { memory-read: { enabled: false } }\n", ["The rule memory-read is off."]],
  ["rules: { memory-read: { severity: critical } }\n", []],
  ["rules: { ptrace-attach: { severity: critical } }\n", []],
  ["rules: { memory-read: { severity: low } }\n", ["The rule memory-read has severity low instead of critical."]],
  ["rules: { library-preloaded: { severity: high } }\n", ["The rule library-preloaded has severity high."]],
  ["rules: { memory-read: { respond: [] } }\n", ["Findings of the rule memory-read are not captured."]],
  ["respond: { critical: [] }\n", ["Findings of severity critical are not captured."]],
  // An exception that has ended is neither an error nor active.
  [`exceptions: [{ rule: memory-read, reason: r, expires: 2026-11-19, suspect: { uid: 5 } }]\n`, []],
  [
    `exceptions: [{ rule: memory-read, reason: r, expires: 2026-11-20, suspect: { uid: 5 } }]\n`,
    ["The rule memory-read has an exception until 2026-11-21T00:00:00.000Z: r"],
  ],
  [
    "environment: development\nmode: off\nexceptions: [{ rule: memory-read, reason: r, suspect: { exe: /bin/x } }]\n",
    [
      "The environment is development: exceptions need neither a digest nor an end.",
      "The mode is off: findings are neither alerted nor answered.",
      "The rule memory-read has an exception without an end: r",
    ],
  ],
];

for (const [text, weakened] of WEAKENED) {
  test(`weakened: ${JSON.stringify(text)}`, () => assert.deepEqual(parseText(text).weakened, weakened));
}

for (const { name, text, problems } of BROKEN_FILES) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => parseText(text),
      (thrown) => {
        assert.ok(thrown instanceof RimonError);
        assert.equal(thrown.code, "RIMON_CONFIG");
        assert.deepEqual(
          thrown.message.split("\n"),
          problems.map((problem) => `policy.yaml:${problem}`),
        );
        assert.doesNotMatch(thrown.message, /hunter2/);
        return true;
      },
    );
  });
}

test("a file larger than 1 MiB is refused before it is read", () => {
  assert.throws(() => parseText(`# ${"é".repeat(600_000)}`), {
    code: "RIMON_CONFIG",
    message: "policy.yaml: must not be larger than 1 MiB, got 1200002 bytes",
  });
});

test("of very many problems the first hundred are told and the rest counted", () => {
  const text = Array.from({ length: 250 }, (_, index) => `k${index}: 1\n`).join("");
  assert.throws(
    () => parseText(text),
    (thrown: Error) => {
      const lines = thrown.message.split("\n");
      assert.equal(lines.length, 101);
      assert.equal(lines.at(-1), "policy.yaml: and 150 more problems");
      return true;
    },
  );
});

test("aliases that multiply are refused", () => {
  const levels = Array.from({ length: 9 }, (_, level) => {
    const items =
      level === 0
        ? '["comm:x"]'
        : `[${Array(9)
            .fill(`*l${level - 1}`)
            .join(", ")}]`;
    return `k${level}: &l${level} ${items}\n`;
  });
  assert.throws(() => parseText(levels.join("")), { code: "RIMON_CONFIG", message: /Excessive alias count/ });
  const many = `protect: [&a "comm:x", ${Array(101).fill("*a").join(", ")}]\n`;
  assert.throws(() => parseText(many), { code: "RIMON_CONFIG", message: /more than 100 aliases/ });
  assert.throws(() => parseText("protect: &a [*a]\n"), {
    code: "RIMON_CONFIG",
    message: /must be a selector.*got a list/,
  });
});

test("deep nesting is a problem of the file, not a crash", () => {
  for (const text of ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(50_000)]) {
    assert.throws(() => parseText(text), { code: "RIMON_CONFIG" });
  }
});

test("an exception's day ahead of production's limit is the ninetieth", () => {
  const text = (expires: string) =>
    `exceptions: [{ rule: memory-read, reason: r, expires: ${expires}, suspect: { uid: 5 } }]\n`;
  for (const allowed of ["2027-02-18", "2027-02-18T23:59:59Z", "2026-11-21", "2020-01-01"]) parseText(text(allowed));
  for (const refused of ["2027-02-19", "2027-02-19T00:00:01Z", "9999-12-31"]) {
    assert.throws(() => parseText(text(refused)), /at most 90 days ahead/);
    parseText(`environment: development\n${text(refused)}`);
  }
});

function positionOf(words: string): { line: number; column: number } {
  const before = FULL.slice(0, FULL.indexOf(words)).split("\n");
  return { line: before.length, column: (before.at(-1) ?? "").length + 1 };
}

test("each value says where it comes from", () => {
  const explained = new Map(explainConfiguration(parseText(FULL)).map(({ path, ...rest }) => [path, rest]));
  const expected: Record<string, unknown> = {
    mode: { value: "enforce", origin: { line: 3, column: 7 } },
    "rules.memory-read.respond[1]": { value: "rotate-master-key", origin: positionOf("rotate-master-key]") },
    "alerts.clusterAdmins[0].webhook.bearer.env": { value: "RIMON_TOKEN", origin: positionOf("RIMON_TOKEN") },
    "alerts.clusterAdmins[0].webhook.url": {
      value: "https://example.org/hook?token=…",
      origin: positionOf("https://example.org/hook"),
    },
    "alerts.clusterAdmins[4].falcosidekick.method": { value: "POST", origin: "default" },
    "actions.evict-tenant-keks.socket.path": {
      value: "/run/vault/custody.sock",
      origin: positionOf("/run/vault/custody.sock"),
    },
    "actions.evict-tenant-keks.socket.timeout": { value: "10s", origin: "default" },
    "actions.evict-tenant-keks.enabled": { value: true, origin: "default" },
  };
  for (const [path, value] of Object.entries(expected)) assert.deepEqual(explained.get(path), value, path);

  const origins = explainConfiguration(parseText("")).map(({ origin }) => origin);
  assert.ok(origins.length > 20 && origins.every((origin) => origin === "default"));
});

test("the effective configuration, written as a file, means the same", () => {
  for (const text of ["", FULL, "environment: development\nmode: off\n"]) {
    const parsed = parseText(text);
    const again = parseText(stringify(parsed.effective));
    assert.deepEqual(again.configuration, parsed.configuration);
    assert.deepEqual(again.weakened, parsed.weakened);
  }
});

test("the editor's schema accepts what the parser accepts, and refuses what it can tell", () => {
  const schema = jsonSchema(CONTEXT.rules);
  assert.equal(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  const validator = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
  for (const text of ["{}", FULL, ...WEAKENED.map(([text]) => text), stringify(parseText(FULL).effective)]) {
    const result = validator.safeParse(parse(text));
    assert.ok(result.success, `${text}\n${result.error?.message}`);
  }
  for (const text of [
    "mod: monitor",
    "mode: of",
    "interval: fast",
    "respond: { critical: [kill] }",
    "protect: comm:x",
  ]) {
    assert.ok(!validator.safeParse(parse(text)).success, text);
  }
});

test("a written value is never taken for a default, whatever it is", () => {
  const durations = fc.integer({ min: 1000, max: 5000 }).map((ms) => `${ms}ms`);
  fc.assert(
    fc.property(
      fc.record(
        {
          mode: fc.constantFrom("monitor", "enforce"),
          interval: durations,
          node: fc.stringMatching(/^[a-z0-9.:#'"-]{1,20}$/),
          protect: fc.array(fc.stringMatching(/^comm:[ -~]{1,15}$/), { maxLength: 4 }),
          respond: fc.dictionary(
            fc.constantFrom("info", "low", "medium", "high", "critical"),
            fc.uniqueArray(fc.constantFrom("capture", "kill-suspect")),
          ),
        },
        { requiredKeys: [] },
      ),
      fc.boolean(),
      (file, asJson) => {
        const parsed = parseText(asJson ? JSON.stringify(file) : stringify(file));
        const { configuration, origins } = parsed;
        for (const key of ["mode", "interval", "node"] as const) {
          assert.equal(origins.get(key) === "default", file[key] === undefined);
        }
        if (file.node !== undefined) assert.equal(configuration.node, file.node);
        if (file.interval !== undefined) assert.equal(`${configuration.intervalMs}ms`, file.interval);
        assert.deepEqual(
          configuration.protect.map(({ by, value }) => `${by}:${value}`),
          file.protect ?? [],
        );
        for (const [severity, actions] of Object.entries(file.respond ?? {})) {
          assert.deepEqual(configuration.respond[severity as "low"], actions);
        }
      },
    ),
  );
});

test("in mode monitor the gate refuses nothing, and without a word it audits", () => {
  const { configuration } = parseText(
    "mode: monitor\ngate:\n  mounts: [{ path: /a, mode: enforce }, { path: /b }, { path: /c, mode: learn }]\n",
  );
  assert.deepEqual(
    configuration.gate?.mounts.map(({ path, mode }) => [path, mode]),
    [
      ["/a", "audit"],
      ["/b", "audit"],
      ["/c", "learn"],
    ],
  );
  assert.deepEqual(
    configuration.gate?.rules.map(({ name, verdict }) => [name, verdict]),
    [
      ["denied", "deny"],
      ["known", "allow"],
    ],
  );
  assert.equal(configuration.gate?.stateFile, "/var/lib/rimon/gate.json");
});
