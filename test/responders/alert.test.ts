import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it, test } from "node:test";
import fc from "fast-check";
import type { SinkSettings, Tenant } from "../../src/configuration.ts";
import { alertLine, hideTenants, viewFor, type Alert } from "../../src/responders/alert-view.ts";
import { createAlertResponder, createSinks, type OpenOutbox } from "../../src/responders/alert.ts";
import { verdictOf } from "./verdicts.ts";

const CLUSTER = { kind: "cluster" } as const;
const tenant = (id: string) => ({ kind: "tenant", tenant: id }) as const;

test("the cluster admin sees the suspect in full and tenants by id only", () => {
  const verdict = verdictOf({ tenants: ["org-pharma", "org-bio"], count: 5 }, [
    { action: "kill-suspect", allowed: false, reason: "not in scope" },
  ]);
  const alert = viewFor(CLUSTER, verdict);
  assert.deepEqual(alert.tenants, ["org-pharma", "org-bio"]);
  assert.deepEqual(alert.suspect?.cmdline, ["gdb", "-p", "4121"]);
  assert.deepEqual(alert.suspect?.ancestry?.[0], { pid: 9120, comm: "bash" });
  assert.deepEqual(alert.target, { pid: 4121, startTime: 815, comm: "vault" });
  assert.equal(alert.summary, "critical on node-7: gdb (9312, root) read the memory of vault (4121) (seen 5 times)");
  assert.equal(alert.actions[0]?.reason, "not in scope");
});

test("a tenant sees itself, the suspect's name and the target, and no more", () => {
  const verdict = verdictOf(
    {
      tenants: ["org-pharma", "org-bio"],
      message: "gdb read the keys of org-pharma and ORG-BIO",
      evidence: [{ kind: "tick", at: 1, sensor: "org-bio" }],
    },
    [{ action: "kill-suspect", allowed: false, reason: "org-bio is not in scope" }],
  );
  const alert = viewFor(tenant("org-pharma"), verdict);
  assert.deepEqual(alert.tenants, ["org-pharma"]);
  assert.equal(alert.summary, "critical on node-7: gdb read the keys of org-pharma and ***");
  assert.deepEqual(alert.suspect, { pid: 9312, startTime: 4711, comm: "gdb", exe: "/usr/bin/gdb", uid: 0 });
  assert.deepEqual(alert.actions, [{ action: "kill-suspect", allowed: false }]);
  assert.ok(!/org-bio/i.test(alertLine(alert)));
});

for (const [text, own, others, shown] of [
  ["org-pharma", "org-pharma", ["org", "pharma"], "org-pharma"],
  ["org-pharma and org", "org-pharma", ["org"], "org-pharma and ***"],
  ["org-pharma-x", "org", ["org-pharma"], "***-x"],
  ["xorg-bio", "xorg", ["org-bio"], "x***"],
  ["org-a-b", "org-a", ["org", "a-b"], "***-***"],
  ["gdb a vault", "b", ["a"], "gdb *** vault"],
  ["acme and Acme", "acme", ["Acme"], "acme and ***"],
  ["a.c abc", "own", ["a.c"], "*** abc"],
] as const) {
  test(`"${text}" for ${own}, hiding ${others.join(" and ")}`, () =>
    assert.equal(hideTenants(text, own, others), shown));
}

test("whatever a finding holds, a tenant's payload names no other tenant", () => {
  const id = fc.oneof(
    fc.constantFrom("org-pharma", "org-bio", "org-bio-2", "pharma-bio", "bio"),
    fc.stringMatching(/^[a-z]{3}-[0-9]{3,6}$/),
  );
  const property = fc.property(
    fc.uniqueArray(id, { minLength: 2, maxLength: 5 }),
    fc.array(fc.oneof(fc.nat(4), fc.constantFrom("gdb", "/srv/", " ", "-", "\u0000", "\u200b", "\n", "\\", '"')), {
      maxLength: 30,
    }),
    fc.boolean(),
    (tenants, pieces, listed) => {
      const text = pieces.map((piece) => (typeof piece === "number" ? (tenants[piece] ?? "x") : piece)).join("");
      const own = tenants[0] ?? "";
      const actor = { pid: 12, startTime: 34, comm: text, exe: text, cgroup: text, cmdline: [text], uid: 0 };
      const verdict = verdictOf(
        {
          tenants: listed ? tenants : [own],
          message: text,
          node: text,
          subject: text,
          suspect: { ...actor, ancestry: [{ pid: 1, comm: text }] },
          target: actor,
          evidence: [{ kind: "own-file.changed", at: 1, sensor: text, path: text, role: "key", change: "mode" }],
        },
        [{ action: "capture", allowed: false, reason: text }],
      );
      const payload = alertLine(viewFor(tenant(own), verdict, tenants)).toLowerCase();
      for (const other of tenants.slice(1)) {
        // An id that is part of the own one cannot be kept out of it.
        const without = own.includes(other) ? payload.replaceAll(own, "") : payload;
        assert.ok(!without.includes(other), `${other} in ${payload}`);
      }
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("a terminal cannot be steered by a process's name", () => {
  const hostile = "a\u001b[2J\u009b2J\u202egpj\nb";
  const line = alertLine(
    viewFor(CLUSTER, verdictOf({ message: hostile, suspect: { pid: 2, startTime: 3, comm: hostile } })),
  );
  assert.ok(!/[\p{Cc}\p{Cf}]/u.test(line));
  const alert = JSON.parse(line) as Alert;
  assert.equal(alert.summary, "critical on node-7: a [2J 2J gpj b");
  assert.equal(alert.suspect?.comm, hostile);
});

const STDOUT: SinkSettings = { kind: "stdout" };
const WEBHOOK: SinkSettings = {
  kind: "webhook",
  method: "POST",
  url: "https://user:secret@hooks.example/services/T0/token?key=secret",
  timeoutMs: 1000,
};
const TENANTS: readonly Tenant[] = [
  { id: "org-pharma", processes: [{ by: "comm", value: "pharma-vault" }], admins: [STDOUT] },
  { id: "org-bio", processes: [], admins: [STDOUT] },
  { id: "org-mute", processes: [], admins: [] },
];

function recordingOutboxes(answers: Record<string, "full" | Error> = {}) {
  const pushed: { name: string; alert: Alert; payload: string }[] = [];
  const openOutbox: OpenOutbox = ({ name }) => ({
    async push(payload) {
      const answer = answers[name];
      if (answer instanceof Error) throw answer;
      if (answer === "full") return "full";
      pushed.push({ name, alert: JSON.parse(payload) as Alert, payload });
      return "queued";
    },
  });
  return { pushed, openOutbox };
}

test("everybody concerned is told, and nobody else", async () => {
  const { pushed, openOutbox } = recordingOutboxes();
  const responder = createAlertResponder({
    clusterAdmins: [STDOUT, WEBHOOK],
    tenants: TENANTS,
    openOutbox,
    stdout: new PassThrough(),
  });
  const outcome = await responder.respond(verdictOf({ tenants: ["org-pharma", "org-mute", "org-unknown"] }));
  assert.equal(outcome.result, "done");
  assert.equal(
    outcome.message,
    "cluster: 2 sinks, org-pharma: 1 sink queued; no sink is configured for org-mute, org-unknown",
  );
  assert.deepEqual(
    pushed.map(({ name }) => name),
    ["cluster-1-stdout", "cluster-2-webhook", "tenant-org-pharma-1-stdout"],
  );
  assert.equal(pushed[0]?.alert.audience.kind, "cluster");
  assert.ok(!pushed[0]?.payload.includes("pharma-vault"));
  assert.deepEqual(pushed[2]?.alert.audience, { kind: "tenant", tenant: "org-pharma" });
  assert.ok(!pushed[2]?.payload.includes("org-mute"));
});

test("an outbox that takes nothing is named", async () => {
  const { openOutbox } = recordingOutboxes({ "cluster-1-stdout": "full", "tenant-org-bio-1-stdout": new Error("EIO") });
  const options = { clusterAdmins: [STDOUT], tenants: TENANTS, openOutbox, stdout: new PassThrough() };
  const outcome = await createAlertResponder(options).respond(verdictOf({ tenants: ["org-bio", "org-pharma"] }));
  assert.equal(outcome.result, "failed");
  assert.equal(
    outcome.message,
    "cluster-1-stdout: its outbox is full, the alert was not queued; tenant-org-bio-1-stdout: the alert could not be " +
      "queued: EIO; org-pharma: 1 sink queued",
  );
});

test("without any sink the alert is skipped, and says so", async () => {
  const options = {
    clusterAdmins: [],
    tenants: [],
    openOutbox: recordingOutboxes().openOutbox,
    stdout: new PassThrough(),
  };
  const outcome = await createAlertResponder(options).respond(verdictOf());
  assert.equal(outcome.result, "skipped");
  assert.equal(outcome.message, "no sink is configured for cluster, org-pharma");
});

test("the names of sinks are file names, tell tenants apart and hold nothing of a URL", () => {
  const names = ["a/b", "a_b", "../../etc", "a b", "ä".repeat(300)].map(
    (id) => createSinks(tenant(id), [WEBHOOK], new PassThrough())[0]?.name ?? "",
  );
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^tenant-[A-Za-z0-9._-]{1,80}-1-webhook$/);
});

describe("the key of an outbox", () => {
  const TENANT = tenant("org-pharma");
  const URL = "https://hooks.example.org/T0/s3cr3t-t0ken";
  const HOOK = { kind: "webhook", url: URL, method: "POST", timeoutMs: 1_000 } as const;
  const SINKS: readonly SinkSettings[] = [
    { kind: "stdout" },
    { kind: "file", path: "/var/log/alerts" },
    { kind: "file", path: "/var/log/other" },
    HOOK,
    { ...HOOK, url: "https://hooks.example.org/T1/x" },
    { ...HOOK, kind: "falcosidekick" },
    { kind: "syslog", transport: "udp", host: "log", port: 514, facility: 16 },
    { kind: "syslog", transport: "tcp", host: "log", port: 514, facility: 16 },
    { kind: "exec", command: ["/bin/tell", "--token=s3cr3t-t0ken"], timeoutMs: 1_000 },
  ];
  const keys = (audience: Parameters<typeof createSinks>[0], settings: readonly SinkSettings[]): string[] =>
    createSinks(audience, settings, new PassThrough()).map(({ key }) => key);

  it("is the same wherever the sink stands, and no other's", () => {
    const [forth, back] = [keys(CLUSTER, SINKS), keys(CLUSTER, SINKS.toReversed())];
    assert.deepEqual(forth, back.toReversed());
    assert.equal(new Set([...forth, ...keys(TENANT, SINKS)]).size, 2 * SINKS.length);
    assert.equal(new Set(keys(CLUSTER, [HOOK, HOOK, HOOK])).size, 3);
  });

  it("stays when a token's file or a timeout changes", () => {
    const other = { ...HOOK, timeoutMs: 2_000, bearer: { file: "/run/token" } };
    assert.deepEqual(keys(CLUSTER, [HOOK]), keys(CLUSTER, [other]));
  });

  it("has nothing of a URL or a command in it", () => {
    for (const key of [...keys(CLUSTER, SINKS), ...keys(TENANT, SINKS)]) {
      assert.match(key, /^(cluster|tenant-org-pharma)-[a-z]+-[0-9a-f]{16}$/);
    }
  });
});
