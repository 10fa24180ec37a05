import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createAnalysis, type Analysis } from "../src/analysis.ts";
import type { Verdict } from "../src/finding.ts";
import { createIdentifiers } from "../src/identifier.ts";
import type { Observation } from "../src/observation.ts";
import { configured } from "./detectors/configured.ts";
import {
  accessed, aProcess, AT, attached, executable, exited, identified, seen, setting, tick, touched, written,
} from "./detectors/observations.ts"; // prettier-ignore
import { arbitraryObservation } from "./fuzz/arbitrary-observation.ts";

const PROTECT = `protect: ["comm:vault", "comm:nginx"]\n`;
const VAULT = seen(aProcess(41, { cgroup: "/vault.service" }));
const NGINX = seen(aProcess(50, { comm: "nginx", cgroup: "/nginx.service" }));
const GDB = seen(aProcess(93, { comm: "own", parentPid: 41, ...executable("/usr/bin/own", 7) }));
const FILE = { dev: 8, inode: 7 };
const SELF = { pid: 5000, ancestors: new Set([1, 77]) };

function analysing(yaml = ""): Analysis {
  return createAnalysis(configured(PROTECT + yaml), SELF, createIdentifiers());
}

function verdictsOf(analysis: Analysis, observations: readonly Observation[]): Verdict[] {
  return observations.flatMap((observation) => analysis.absorb(observation));
}

const one = (yaml: string, observations: readonly Observation[]): Verdict => {
  const verdicts = verdictsOf(analysing(yaml), observations);
  assert.equal(verdicts.length, 1, JSON.stringify(verdicts.map(({ finding }) => finding.message)));
  return verdicts[0]!;
};

describe("a finding", () => {
  it("holds what is known of both sides", () => {
    const { finding, actions } = one("", [VAULT, GDB, attached(41, 93)]);
    const { id, ...rest } = finding;
    assert.match(id, /^[0-9A-Z]{26}$/);
    assert.deepEqual(rest, {
      type: "finding",
      version: 1,
      time: "2026-11-18T11:06:40.000Z",
      node: "node-7",
      rule: "ptrace-attach",
      severity: "critical",
      technique: "ptrace",
      operation: "attach",
      sensor: "proc-connector",
      suspect: {
        pid: 93,
        startTime: 930,
        comm: "own",
        exe: "/usr/bin/own",
        exeFile: { dev: 8, inode: 7 },
        uid: 0,
        ancestry: [
          { pid: 41, startTime: 410, comm: "vault" },
          { pid: 1, comm: "" },
        ],
      },
      target: {
        pid: 41,
        startTime: 410,
        comm: "vault",
        uid: 0,
        cgroup: "/vault.service",
        ancestry: [{ pid: 1, comm: "" }],
      },
      tenants: [],
      message: "own (93, root) attached to vault (41, root) with ptrace",
      count: 1,
      evidence: [attached(41, 93)],
    });
    assert.deepEqual(actions[0], { action: "alert", allowed: true });
  });

  it("about a suspect nobody could read has its pid and nothing else", () => {
    const { finding } = one("", [VAULT, attached(41, 93)]);
    assert.deepEqual(finding.suspect, { pid: 93, startTime: -1, comm: "", ancestry: [] });
    assert.match(finding.message, /^process 93 \(gone/);
  });
});

describe("repeats", () => {
  const again = (at: number) => ({ ...attached(41, 93), at });

  it("are told at once the first time, then counted, then told with the count", () => {
    const analysis = analysing("alerts: { group: 60s }\n");
    const [first] = verdictsOf(analysis, [VAULT, GDB, again(AT)]);
    assert.equal(first?.finding.count, 1);
    assert.deepEqual(verdictsOf(analysis, [again(AT + 1_000), again(AT + 2_000), tick(AT + 59_999)]), []);
    const [summary, ...none] = verdictsOf(analysis, [tick(AT + 60_000)]);
    assert.deepEqual(none, []);
    assert.equal(summary?.finding.count, 3);
    assert.equal(summary.finding.repeats, first.finding.id);
    assert.equal(summary.finding.message, `${first.finding.message} (3 times since ${first.finding.time})`);
    assert.deepEqual(summary.finding.evidence, []);
    assert.ok(summary.finding.id > first.finding.id);
    assert.deepEqual(verdictsOf(analysis, [tick(AT + 130_000), tick(AT + 200_000)]), []);
  });

  it("are alerted, and nothing is done again", () => {
    const analysis = analysing("rules: { ptrace-attach: { respond: [capture, kill-suspect] } }\n");
    const [first] = verdictsOf(analysis, [VAULT, GDB, again(AT)]);
    assert.deepEqual(
      first?.actions.map(({ action }) => action),
      ["alert", "capture", "kill-suspect"],
    );
    const [summary] = verdictsOf(analysis, [again(AT + 1), tick(AT + 3_600_000)]);
    assert.deepEqual(
      summary?.actions.map(({ action }) => action),
      ["alert"],
    );
  });

  it("that are graver than all before them are none, whatever came first", () => {
    const analysis = analysing("respond: { critical: [capture] }\n");
    const told = verdictsOf(analysis, [
      VAULT,
      GDB,
      touched("advise", { at: AT }),
      touched("vm-read", { at: AT + 1 }),
      touched("advise", { at: AT + 2 }),
      touched("vm-read", { at: AT + 3 }),
    ]);
    const [mild, grave] = told;
    assert.deepEqual(
      told.map(({ finding: { rule, operation, severity } }) => [rule, operation, severity]),
      [
        ["memory-read", "read", "medium"],
        ["memory-read", "read", "critical"],
      ],
    );
    assert.deepEqual(
      grave?.actions.map(({ action }) => action),
      ["alert", "capture"],
    );
    const [summary, ...none] = verdictsOf(analysis, [tick(AT + 3_600_000)]);
    assert.deepEqual(none, []);
    assert.deepEqual([summary?.finding.repeats, summary?.finding.count], [grave?.finding.id, 3]);
    assert.notEqual(mild?.finding.id, grave?.finding.id);
  });

  it("by another suspect, or on another target, are no repeats", () => {
    const other = seen(aProcess(94, { comm: "own" }));
    const found = verdictsOf(analysing(), [VAULT, NGINX, GDB, other, attached(41, 93), attached(41, 94), attached(50, 94)]); // prettier-ignore
    assert.equal(found.length, 3);
  });

  it("by a new process with the suspect's pid are none either", () => {
    const reused = seen(aProcess(93, { comm: "own", startTime: 931 }), { at: AT + 1 });
    assert.equal(verdictsOf(analysing(), [VAULT, GDB, attached(41, 93), reused, attached(41, 93)]).length, 2);
  });

  it("many at once cost one alert", () => {
    const flood = Array.from({ length: 10_000 }, (_, index) => again(AT + index));
    assert.equal(verdictsOf(analysing(), [VAULT, GDB, ...flood]).length, 1);
  });
});

describe("exceptions", () => {
  const HASH = "ab".repeat(32);
  const excepted = `exceptions: [{ rule: ptrace-attach, reason: our own tool, expires: 2026-12-31, suspect: { exe: /usr/bin/own, sha256: ${HASH} } }]\n`;

  it("apply when the hash is the one they name", () => {
    const known = identified(FILE, {}, { sha256: HASH });
    const { exception, actions } = one(excepted, [VAULT, GDB, known, attached(41, 93)]);
    assert.equal(exception, "our own tool");
    assert.deepEqual(actions, []);
  });

  it("do not apply while the hash is not known, and say so", () => {
    for (const before of [[], [identified(FILE, {})], [identified({ ...FILE, mtimeNs: "2" }, {}, { sha256: HASH })]]) {
      const { exception, notes } = one(excepted, [VAULT, GDB, ...before, attached(41, 93)]);
      assert.equal(exception, undefined);
      assert.match(notes?.[0] ?? "", /"our own tool" was not applied: the digest .* is not known/);
    }
  });

  it("do not apply to another hash", () => {
    const known = identified(FILE, {}, { sha256: "cd".repeat(32) });
    const { exception, notes } = one(excepted, [VAULT, GDB, known, attached(41, 93)]);
    assert.deepEqual([exception, notes], [undefined, undefined]);
  });

  it("by target look at the whole process, not at what the finding says of it", () => {
    const yaml = `exceptions: [{ rule: ptrace-attach, reason: r, expires: 2026-12-31, target: "unit:vault.service" }]\n`;
    assert.equal(one(yaml, [VAULT, GDB, attached(41, 93)]).exception, "r");
    assert.equal(one(yaml, [NGINX, GDB, attached(50, 93)]).exception, undefined);
  });
});

describe("what was excused once", () => {
  const excepted = (expires: string) =>
    `exceptions: [{ rule: ptrace-attach, reason: r, expires: "${expires}", target: "comm:vault" }]
respond: { critical: [capture] }
`;
  const END = AT + 60_000;
  const excused = excepted(new Date(END).toISOString());
  const again = (at: number) => ({ ...attached(41, 93), at });
  const done = ({ actions }: Verdict): string[] => actions.map(({ action }) => action);

  it("is told and answered once the exception has ended, and that once", () => {
    const analysis = analysing(excused);
    const [first] = verdictsOf(analysis, [VAULT, GDB, again(AT), again(END - 1)]);
    assert.equal(first?.exception, "r");
    const [told, ...none] = verdictsOf(analysis, [again(END), again(END + 1)]);
    assert.deepEqual(none, []);
    assert.equal(told?.exception, undefined);
    assert.equal(told?.finding.repeats, undefined);
    assert.deepEqual(done(told!), ["alert", "capture"]);
    const [ofExcused, ofTold, ...more] = verdictsOf(analysis, [tick(END + 3_600_000)]);
    assert.deepEqual(more, []);
    assert.deepEqual(
      [ofExcused?.finding.repeats, ofExcused?.finding.count, ofExcused?.exception, done(ofExcused!)],
      [first.finding.id, 2, "r", []],
    );
    assert.deepEqual([ofTold?.finding.repeats, ofTold?.finding.count, done(ofTold!)], [told?.finding.id, 2, ["alert"]]);
  });

  it("is told when the suspect has become another program", () => {
    const HASH = "ab".repeat(32);
    const analysis = analysing(
      `exceptions: [{ rule: ptrace-attach, reason: r, expires: 2026-12-31, suspect: { exe: /usr/bin/own, sha256: ${HASH} } }]\n`,
    );
    const known = identified(FILE, {}, { sha256: HASH });
    assert.equal(verdictsOf(analysis, [VAULT, GDB, known, again(AT)])[0]?.exception, "r");
    const became = seen(aProcess(93, { comm: "evil", parentPid: 41, ...executable("/tmp/evil", 8) }), { at: AT + 1 });
    const [told, ...none] = verdictsOf(analysis, [became, again(AT + 2), again(AT + 3)]);
    assert.deepEqual([told?.exception, told?.finding.suspect?.exe, none], [undefined, "/tmp/evil", []]);
  });

  it("is told after a reload that takes the exception away, or brings actions, and what was counted is not lost", () => {
    for (const before of [excepted("2026-12-31"), "respond: { critical: [] }\n"]) {
      const analysis = analysing(before);
      const [first] = verdictsOf(analysis, [VAULT, GDB, again(AT), again(AT + 1), again(AT + 2)]);
      analysis.reconfigure(configured(`${PROTECT}respond: { critical: [capture] }\n`));
      const [told, ...none] = verdictsOf(analysis, [again(AT + 3), again(AT + 4)]);
      assert.deepEqual([done(told!), none], [["alert", "capture"], []]);
      const [summary, ...more] = verdictsOf(analysis, [tick(AT + 5)]);
      assert.deepEqual([summary?.finding.repeats, summary?.finding.count, more], [first?.finding.id, 3, []]);
    }
  });

  it("is not told again after a reload that changes nothing", () => {
    const analysis = analysing("respond: { critical: [capture] }\n");
    assert.equal(verdictsOf(analysis, [VAULT, GDB, again(AT)]).length, 1);
    analysis.reconfigure(configured(`${PROTECT}respond: { critical: [capture] }\n`));
    assert.deepEqual(verdictsOf(analysis, [again(AT + 1)]), []);
  });
});

describe("tenants", () => {
  const yaml = `tenants:
  - { id: org-pharma, processes: ["comm:vault"], admins: [{ stdout: {} }] }
  - { id: org-bio, processes: ["unit:vault.service", "comm:nginx"], admins: [{ stdout: {} }] }
  - { id: org-idle, processes: ["comm:sshd"], admins: [{ stdout: {} }] }
`;

  it("are those whose keys the target holds", () => {
    assert.deepEqual(one(yaml, [VAULT, GDB, attached(41, 93)]).finding.tenants, ["org-pharma", "org-bio"]);
    assert.deepEqual(one(yaml, [NGINX, GDB, attached(50, 93)]).finding.tenants, ["org-bio"]);
  });

  it("are those on the node when it concerns every one", () => {
    const pattern = written("kernel.core_pattern", 93);
    assert.deepEqual(one(yaml, [NGINX, GDB, pattern]).finding.tenants, ["org-bio"]);
    assert.deepEqual(one(yaml, [VAULT, NGINX, GDB, pattern]).finding.tenants.toSorted(), ["org-bio", "org-pharma"]);
    assert.deepEqual(one(yaml, [VAULT, NGINX, exited(41), exited(50), GDB, pattern]).finding.tenants, []);
  });

  it("are none where a finding concerns nobody", () => {
    const gdb = seen(aProcess(93, { comm: "gdb", ...executable("/usr/bin/gdb", 9) }));
    assert.deepEqual(one(yaml, [VAULT, gdb]).finding.tenants, []);
  });
});

describe("the configuration", () => {
  it("switches a rule off", () => {
    const yaml = "environment: development\nrules: { ptrace-attach: { enabled: false } }\n";
    assert.deepEqual(verdictsOf(analysing(yaml), [VAULT, GDB, attached(41, 93)]), []);
  });

  it("overrides a severity, that of the one detection included", () => {
    const yaml = "rules: { ptrace-attach: { severity: high }, debugger-present: { severity: high } }\n";
    assert.equal(one(yaml, [VAULT, GDB, attached(41, 93)]).finding.severity, "high");
    assert.equal(one(yaml, [GDB, identified(FILE, { imports: ["ptrace"] })]).finding.severity, "high");
    assert.equal(one("", [GDB, identified(FILE, { imports: ["ptrace"] })]).finding.severity, "medium");
  });

  it("allows a preloaded library", () => {
    const preload = setting("/etc/ld.so.preload", "/usr/lib/jemalloc.so");
    one("", [preload]);
    const yaml = "rules: { library-preloaded: { allow: [/usr/lib/jemalloc.so] } }\n";
    assert.deepEqual(verdictsOf(analysing(yaml), [preload]), []);
  });

  it("plans nothing in mode off", () => {
    const { actions } = one("environment: development\nmode: off\n", [VAULT, GDB, attached(41, 93)]);
    assert.deepEqual(actions, []);
  });

  it("can be another from one observation to the next", () => {
    const analysis = analysing();
    verdictsOf(analysis, [VAULT, NGINX, GDB]);
    analysis.reconfigure(configured(`protect: ["comm:nginx"]\nalerts: { group: 5s }\n`));
    assert.deepEqual(verdictsOf(analysis, [attached(41, 93)]), []);
    assert.equal(verdictsOf(analysis, [attached(50, 93)]).length, 1);
  });
});

describe("who is protected", () => {
  const by = (yaml: string, observation: Observation): string | undefined => {
    const analysis = createAnalysis(configured(yaml), SELF, createIdentifiers());
    analysis.absorb(observation);
    return [...analysis.state.protectedProcesses()][0]?.protectedBy;
  };

  it("is rimon itself, whatever the configuration says", () => {
    assert.equal(by(PROTECT, seen(aProcess(5000, { comm: "node" }))), "rimon itself");
  });

  it("is who a selector means, and only them", () => {
    assert.equal(by(PROTECT, VAULT), "comm:vault");
    assert.equal(by(PROTECT, seen(aProcess(9, { comm: "sshd", ...executable("/usr/sbin/sshd", 3) }))), undefined);
  });

  it("is a known holder of keys where no selector is given", () => {
    assert.equal(by("", seen(aProcess(9, { comm: "sshd", ...executable("/usr/sbin/sshd", 3) }))), "sshd");
  });
});

it("a suspect that is rimon's ancestor or a protected process is never killed", () => {
  const yaml = `rules: { ptrace-attach: { respond: [kill-suspect] } }
actions: { kill-suspect: { enabled: true, scope: ["comm:vault"] } }
`;
  const verdict = (suspect: Observation, pid: number) =>
    one(yaml, [VAULT, suspect, attached(41, pid)]).actions.find(({ action }) => action === "kill-suspect");
  assert.deepEqual(verdict(GDB, 93), { action: "kill-suspect", allowed: true });
  assert.match(verdict(seen(aProcess(77, { comm: "bash" })), 77)?.reason ?? "", /an ancestor of rimon/);
  assert.match(verdict(NGINX, 50)?.reason ?? "", /itself protected/);
  assert.match(verdict(seen(aProcess(5000, { comm: "node" })), 5000)?.reason ?? "", /rimon itself/);
  assert.match(verdict(seen(aProcess(60, { comm: "kthread", kernelThread: true })), 60)?.reason ?? "", /kernel thread/);
});

it("identifiers of findings sort as they were made", () => {
  const found = verdictsOf(analysing(), [
    VAULT, NGINX, GDB, attached(41, 93), accessed("mem", 93, 41), attached(50, 93), accessed("mem", 93, 50),
  ]); // prettier-ignore
  const ids = found.map(({ finding }) => finding.id);
  assert.equal(ids.length, 4);
  assert.deepEqual(ids, ids.toSorted());
});

it("no sequence of observations makes it throw, and each finding can be written and read", () => {
  fc.assert(
    fc.property(fc.array(arbitraryObservation, { maxLength: 60 }), (observations) => {
      for (const verdict of verdictsOf(analysing(), observations)) {
        assert.deepEqual(JSON.parse(JSON.stringify(verdict)), verdict);
        assert.notEqual(verdict.finding.message, "undefined");
        assert.doesNotMatch(verdict.finding.message, /\bundefined\b|\[object/);
      }
    }),
    { numRuns: 400 },
  );
});
