import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { RimonError } from "../src/errors.ts";
import type { Verdict } from "../src/finding.ts";
import { recordingHeader, replay } from "../src/replay.ts";
import { configured } from "./detectors/configured.ts";
import { aProcess, AT, attached, seen, tick } from "./detectors/observations.ts";
import { arbitraryObservation } from "./fuzz/arbitrary-observation.ts";

const CONFIGURATION = configured(`protect: ["comm:vault"]\n`);
const HEADER = { recording: 1, node: "node-3", pid: 500, ancestors: [77, 1] };

async function verdictsOf(lines: readonly (object | string)[]): Promise<Verdict[]> {
  async function* source(): AsyncGenerator<string> {
    for (const line of lines) yield typeof line === "string" ? line : JSON.stringify(line);
  }
  const verdicts: Verdict[] = [];
  for await (const verdict of replay(source(), CONFIGURATION, "attack.ndjson")) verdicts.push(verdict);
  return verdicts;
}

const ATTACK = [seen(aProcess(41)), seen(aProcess(93, { comm: "own" })), attached(41, 93)];

describe("a recording", () => {
  it("gives the verdicts that a live node gave, on its behalf", async () => {
    const [verdict, ...none] = await verdictsOf([HEADER, ...ATTACK]);
    assert.deepEqual(none, []);
    assert.equal(verdict?.finding.message, "own (93, root) attached to vault (41, root) with ptrace");
    assert.equal(verdict.finding.node, "node-3");
  });

  it("needs no header", async () => {
    const [verdict] = await verdictsOf(ATTACK);
    assert.equal(verdict?.finding.node, "node-7");
  });

  it("may have empty lines and no end", async () => {
    assert.equal((await verdictsOf(["", HEADER, "  ", ...ATTACK, ""])).length, 1);
    assert.deepEqual(await verdictsOf([]), []);
    assert.deepEqual(await verdictsOf([HEADER]), []);
  });

  it("protects the rimon that made it", async () => {
    const [verdict] = await verdictsOf([HEADER, seen(aProcess(500, { comm: "node" })), attached(500, 93)]);
    assert.match(verdict?.finding.message ?? "", /attached to node \(500, root\)/);
  });

  it("begins with what this process would write", async () => {
    const { recording, pid, ancestors } = recordingHeader("n");
    assert.deepEqual([recording, pid], [1, process.pid]);
    assert.ok(ancestors.includes(process.ppid));
  });

  it("gives the same verdicts each time, identifiers included", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arbitraryObservation, { maxLength: 40 }), async (observations) => {
        assert.deepEqual(await verdictsOf([HEADER, ...observations]), await verdictsOf([HEADER, ...observations]));
      }),
      { numRuns: 100 },
    );
  });
});

describe("a line that cannot be used is named", () => {
  const bad: readonly (readonly [line: object | string, says: RegExp])[] = [
    ["{", /^attack\.ndjson:2: expected one JSON object a line: /],
    ["not json", /^attack\.ndjson:2: expected one JSON object a line: /],
    ["7", /^attack\.ndjson:2: expected an observation, got 7$/],
    ["null", /expected an observation, got null$/],
    ["[]", /expected an observation, got an array$/],
    ['"x"', /expected an observation, got "x"$/],
    [{}, /expected the kind of an observation, got nothing$/],
    [{ kind: "process.vanished", at: AT, sensor: "s" }, /the kind of an observation, got "process\.vanished"$/],
    [{ kind: "constructor", at: AT, sensor: "s" }, /the kind of an observation, got "constructor"$/],
    [{ kind: 5, at: AT, sensor: "s" }, /the kind of an observation, got 5$/],
    [{ kind: "tick", sensor: "s" }, /expected tick\.at to be milliseconds since the epoch, got nothing$/],
    ['{"kind":"tick","sensor":"s","at":1e999}', /tick\.at to be milliseconds since the epoch, got Infinity$/],
    [{ kind: "tick", sensor: "s", at: 9e15 }, /tick\.at to be milliseconds since the epoch, got 9000000000000000$/],
    [{ kind: "tick", at: AT }, /expected tick\.sensor to be text, got nothing$/],
    [{ ...tick(AT), extra: 1 }, /tick has a field "extra" that it cannot have$/],
    ['{"kind":"tick","at":1,"sensor":"s","__proto__":{}}', /tick has a field "__proto__" that it cannot have$/],
    [{ kind: "process.seen", at: AT, sensor: "s", by: "scan" }, /process\.seen\.process to be an object, got nothing$/],
    [seen({ ...aProcess(41), pid: -1 }), /process\.seen\.process\.pid to be a process id, got -1$/],
    [seen({ ...aProcess(41), pid: 1.5 }), /process\.seen\.process\.pid to be a process id, got 1\.5$/],
    [seen({ ...aProcess(41), pid: 2 ** 53 }), /process\.seen\.process\.pid to be a process id, got 9007199254740992$/],
    [seen({ ...aProcess(41), cmdline: ["a", 5 as never] }), /process\.cmdline\[1\] to be text, got 5$/],
    [{ ...seen(aProcess(41)), by: "chance" }, /process\.seen\.by to be one of scan, exec, act, got "chance"$/],
    [
      { kind: "maps.seen", at: AT, sensor: "s", pid: 4, startTime: 1, digest: "d", mappings: [{ start: "0x10" }] },
      /maps\.seen\.mappings\[0\]\.start to be an address in hexadecimal, got "0x10"$/,
    ],
    [
      { kind: "posture.seen", at: AT, sensor: "s", pid: 4, startTime: 1, posture: { coreLimit: ["0"] } },
      /posture\.coreLimit to be a soft and a hard limit, got an array$/,
    ],
    [`${" ".repeat(4 * 1024 * 1024)}{}`, /a line of 4194306 characters; at most 4194304 are read$/],
    [HEADER, /expected the kind of an observation, got nothing$/],
  ];
  for (const [line, says] of bad) {
    it((typeof line === "string" ? line.trim() : JSON.stringify(line)).slice(0, 90), async () => {
      await assert.rejects(verdictsOf([HEADER, line]), (error) => {
        assert.ok(error instanceof RimonError);
        assert.equal(error.code, "RIMON_USAGE");
        assert.match(error.message, says);
        assert.ok(error.message.startsWith("attack.ndjson:2: "));
        return true;
      });
    });
  }

  it("after the verdicts of the lines before it", async () => {
    async function* source(): AsyncGenerator<string> {
      for (const line of ATTACK) yield JSON.stringify(line);
      yield "{";
    }
    const verdicts = replay(source(), CONFIGURATION, "f");
    assert.equal((await verdicts.next()).done, false);
    await assert.rejects(verdicts.next(), /^RimonError: f:4: /);
  });
});

describe("a header that cannot be used is refused", () => {
  for (const [header, says] of [
    [{ ...HEADER, recording: 2 }, /^f:1: expected a recording of version 1, got 2$/],
    [{ recording: 1 }, /^f:1: expected a header with node, pid and ancestors$/],
    [{ ...HEADER, ancestors: ["1"] }, /^f:1: expected a header with node, pid and ancestors$/],
    [{ ...HEADER, recording: null }, /^f:1: expected a recording of version 1, got null$/],
  ] as const) {
    it(JSON.stringify(header), async () => {
      async function* source(): AsyncGenerator<string> {
        yield JSON.stringify(header);
      }
      await assert.rejects(replay(source(), CONFIGURATION, "f").next(), { name: "RimonError", message: says });
    });
  }
});
