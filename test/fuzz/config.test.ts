import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { RimonError } from "../../src/errors.ts";
import { explainConfiguration, parseConfiguration } from "../../src/policy/config.ts";

const RULES = ["memory-read", "ptrace-attach"];

const VALID = `environment: development
mode: monitor
interval: 1s
protect: &hosts ["exe:/usr/sbin/sshd", "comm:vault"]
rules:
  memory-read: { enabled: true, severity: critical, respond: [capture], allow: ["/a"] }
respond: { critical: [capture], high: [] }
exceptions:
  - { rule: ptrace-attach, suspect: { exe: /usr/bin/strace, uid: 0 }, target: "comm:vault", reason: "r", expires: 2026-12-31 }
alerts:
  group: 60s
  clusterAdmins: [{ webhook: { url: "https://h/", bearer: { file: /t } } }, { syslog: { address: "udp://127.0.0.1:514" } }]
tenants:
  - { id: org, processes: *hosts, admins: [{ stdout: {} }] }
actions:
  rotate-master-key: { http: { url: "http://h/", body: "x" }, cooldown: 60s }
  evict-tenant-keks: { socket: /run/s }
audit: { rotateSize: 64MiB, checkpointEvery: 256 }
`;

function parsesOrSaysWhy(text: string): void {
  try {
    const parsed = parseConfiguration(text, {
      file: "policy.yaml",
      rules: RULES,
      hostname: "node",
      stateDirectory: "/var/lib/rimon",
      now: 1_795_000_000_000,
    });
    for (const { path, origin } of explainConfiguration(parsed)) assert.ok(path !== "" && origin !== undefined);
  } catch (thrown) {
    if (!(thrown instanceof RimonError)) throw thrown;
    assert.equal(thrown.code, "RIMON_CONFIG");
    for (const line of thrown.message.split("\n")) {
      assert.match(line, /^policy\.yaml:(?:[1-9][0-9]*:[1-9][0-9]*:)? \S/);
    }
  }
}

test("random bytes are a configuration or a RIMON_CONFIG error", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => parsesOrSaysWhy(Buffer.from(bytes).toString())),
    { numRuns: 800 },
  );
});

test("random text out of what YAML is made of is a configuration or a RIMON_CONFIG error", () => {
  const words =
    `mode rules : - ? [ ] { } , & * ! | > ' " # ~ << \\ &a *a !!set --- ... %YAML __proto__ constructor`.split(" ");
  const piece = fc.constantFrom(...words, " ", "\n", "\n  ", ": ", "- ", "\t", "---\n", "\uFEFF", "\u0000");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => parsesOrSaysWhy(pieces.join(""))),
    { numRuns: 1500 },
  );
});

test("a valid file with a few bytes changed is a configuration or a RIMON_CONFIG error", () => {
  const edit = fc.record({
    at: fc.nat(VALID.length),
    remove: fc.nat(12),
    insert: fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.constantFrom("", "\n", ": ", "- ", "*hosts", "{}", "[]", "null", "1"),
    ),
  });
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
      let text = VALID;
      for (const { at, remove, insert } of edits) text = text.slice(0, at) + insert + text.slice(at + remove);
      parsesOrSaysWhy(text);
    }),
    { numRuns: 1500 },
  );
});

test("any tree of values is a configuration or a RIMON_CONFIG error", () => {
  const names = [
    "mode",
    "rules",
    "respond",
    "exceptions",
    "alerts",
    "tenants",
    "actions",
    "audit",
    "enforce",
    "protect",
  ];
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names, "memory-read"), fc.jsonValue({ maxDepth: 4 })), (tree) =>
      parsesOrSaysWhy(JSON.stringify(tree)),
    ),
    { numRuns: 1000 },
  );
});
