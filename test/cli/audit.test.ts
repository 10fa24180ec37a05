import assert from "node:assert/strict";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { before, describe, it } from "node:test";
import type { AuditLogOptions } from "../../src/store/audit-log.ts";
import { runCommand } from "../fixtures/command.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { openLog } from "../store/scratch.ts";
import { ANSI, jsonLines } from "./commands.ts";

const FIRST = "01JD0000000000000000000001";
const SECOND = "01JD0000000000000000000002";
const REPEAT = "01JD0000000000000000000003";

const verdict = (finding: Readonly<Record<string, unknown>>) => ({
  finding: { rule: "memory-read", severity: "critical", message: "dd (12) read the memory of vault (7)", ...finding },
  actions: [
    { action: "alert", allowed: true },
    { action: "kill-suspect", allowed: false, reason: "no scope" },
  ],
});
const outcome = (finding: string) => ({ finding, action: "alert", result: "done", message: "queued for 2 sinks" });

/** A log of a head, "ready", three verdicts with two outcomes between them, and what closing adds. */
async function written(overrides: Partial<AuditLogOptions> = {}): Promise<string> {
  const { log, path, troubles } = await openLog(temporaryDirectory("audit"), overrides);
  await log.append("ready", { protected: [] });
  await log.append("verdict", verdict({ id: FIRST }));
  await log.append("outcome", outcome(FIRST));
  await log.append("verdict", verdict({ id: SECOND, message: "a name with \u001b[31mcolour\n and a line" }));
  await log.append("outcome", outcome(SECOND));
  await log.append("verdict", verdict({ id: REPEAT, repeats: FIRST }));
  await log.close();
  assert.deepEqual(troubles, []);
  return path;
}

/** The same bytes but one; the line it is in and the record that was there. */
function flip(path: string, where: string): { line: number; seq: number } {
  const text = readFileSync(path, "latin1");
  const at = text.indexOf(where);
  assert.ok(at > 0, `${where} in ${path}`);
  const other = String.fromCharCode(text.charCodeAt(at) ^ 1);
  writeFileSync(path, text.slice(0, at) + other + text.slice(at + 1), "latin1");
  const line = text.slice(0, at).split("\n").length;
  return { line, seq: (JSON.parse(text.split("\n")[line - 1] ?? "") as { seq: number }).seq };
}

describe("audit show", { concurrency: 2 }, () => {
  let path: string;
  before(async () => {
    path = await written();
  });

  it("a line for each record, and nothing of an attacker's that a terminal would obey", async () => {
    const { code, stdout, stderr } = await runCommand(["audit", "show", path]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(
      stdout,
      new RegExp(`^ +3  [\\d-]+ [\\d:.]+  verdict +${FIRST} critical memory-read: dd \\(12\\) .* -> alert$`, "m"),
    );
    assert.match(stdout, new RegExp(`^ +4  .*  outcome +${FIRST} alert done: queued for 2 sinks$`, "m"));
    assert.doesNotMatch(stdout, ANSI);
    for (const line of stdout.split("\n")) assert.match(line, /^ +\d+ {2}\d{4}-/);
  });

  const filters: readonly (readonly [args: readonly string[], records: readonly (readonly [number, string])[]])[] = [
    [["--finding", FIRST], [[3, "verdict"], [4, "outcome"], [7, "verdict"]]],
    [["--finding", SECOND], [[5, "verdict"], [6, "outcome"]]],
    [["--finding", SECOND, "--type", "outcome"], [[6, "outcome"]]],
    [["--type", "verdict"], [[3, "verdict"], [5, "verdict"], [7, "verdict"]]],
    [["--type", "ready"], [[2, "ready"]]],
    [["--finding", "01JD9999999999999999999999"], []],
    [["--type", "nonsense"], []],
  ]; // prettier-ignore
  for (const [args, records] of filters) {
    it(args.join(" "), async () => {
      const { code, stdout } = await runCommand(["audit", "show", path, "--json", ...args]);
      assert.equal(code, 0);
      assert.deepEqual(
        jsonLines(stdout).map(({ seq, type }) => [seq, type]),
        records,
      );
    });
  }

  it("says that nothing matches", async () => {
    const { code, stdout } = await runCommand(["audit", "show", path, "--type", "nonsense"]);
    assert.deepEqual([code, stdout], [0, "no record matches"]);
  });

  it("--json gives the lines of the file", async () => {
    const { stdout } = await runCommand(["audit", "show", path, "--json"]);
    assert.deepEqual(jsonLines(stdout), jsonLines(readFileSync(path, "utf8")));
  });

  it("a line that is no record is named", async () => {
    const copy = join(temporaryDirectory("audit"), "audit.ndjson");
    writeFileSync(copy, `${readFileSync(path, "utf8").split("\n")[0]}\nnonsense\n`);
    const { code, stderr } = await runCommand(["audit", "show", copy, "--json"]);
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(`^RIMON_AUDIT: ${copy}:2: .*run: rimon audit verify\n$`));
  });
});

describe("audit verify", { concurrency: 2 }, () => {
  it("a whole log: exit code 0", async () => {
    const path = await written();
    const told = await runCommand(["audit", "verify", path]);
    assert.deepEqual([told.code, told.stderr], [0, ""]);
    assert.match(
      told.stdout,
      new RegExp(`^verified  ${path}: records 1 to \\d+ in 1 file, [1-9]\\d* signed checkpoints`),
    );
    assert.doesNotMatch(told.stdout, ANSI);

    const { code, stdout } = await runCommand(["audit", "verify", path, "--json"]);
    const [found, ...more] = jsonLines(stdout);
    assert.deepEqual([code, more.length, found?.["type"], found?.["ok"], found?.["file"]], [0, 0, "verification", true, path]); // prettier-ignore
    assert.equal(found?.["signedThrough"], found?.["lastSeq"]);
  });

  const flips: readonly (readonly [where: string, after: number, says: RegExp])[] = [
    // What a line says is vouched for by the next one.
    ["dd (12)", 1, /prev must be sha256:\w+, got sha256:\w+: the line before was changed/],
    ['"done"', 0, /\S/],
    ['"seq":5', 0, /\S/],
  ];
  for (const [where, after, says] of flips) {
    it(`a flipped byte in ${where}: exit code 1 and its file, line and record`, async () => {
      const path = await written();
      const flipped = flip(path, where);
      const [line, seq] = [flipped.line + after, flipped.seq + after];
      const { code, stdout, stderr } = await runCommand(["audit", "verify", path]);
      assert.deepEqual([code, stderr], [1, ""]);
      assert.match(stdout, /^NOT VERIFIED /);
      const bad = new RegExp(`^first bad record  ${path}:${line} \\(record ${seq}\\): (.*)`, "m").exec(stdout)?.[1];
      assert.match(bad ?? stdout, says);
      const { firstBad } = JSON.parse((await runCommand(["audit", "verify", path, "--json"])).stdout) as {
        firstBad: Record<string, unknown>;
      };
      assert.deepEqual([firstBad["file"], firstBad["line"], firstBad["seq"]], [path, line, seq]);
    });
  }

  it("a flipped byte in a rotated file names that file; a rotated file that is gone is named too", async () => {
    const path = await written({ rotateBytes: 1_000 });
    const folder = join(path, "..");
    const rotated = readdirSync(folder).filter((name) => name.startsWith(`${basename(path)}.`) && !name.endsWith("lock")).sort(); // prettier-ignore
    assert.ok(rotated.length >= 2, rotated.join());
    assert.equal((await runCommand(["audit", "verify", path])).code, 0);
    const all = await runCommand(["audit", "show", path, "--json", "--type", "verdict"]);
    assert.equal(jsonLines(all.stdout).length, 3, "audit show reads the rotated files as well");

    const middle = join(folder, rotated[1] ?? "");
    const aside = join(folder, "aside");
    renameSync(middle, aside);
    const gone = await runCommand(["audit", "verify", path]);
    assert.equal(gone.code, 1);
    assert.match(gone.stdout, new RegExp(`first bad record  ${middle}:0 .*not there`));
    renameSync(aside, middle);

    const { line, seq } = flip(middle, '"body"');
    const flipped = await runCommand(["audit", "verify", path]);
    assert.equal(flipped.code, 1);
    assert.match(flipped.stdout, new RegExp(`^first bad record  ${middle}:${line} \\(record ${seq}\\)`, "m"));
  });

  it("--public-key: another's key does not verify, its own does, and what is no key is a sentence", async () => {
    const path = await written();
    const other = await written();
    const keyOf = (log: string): string => join(log, "..", "audit.key.pub");
    const own = await runCommand(["audit", "verify", path, "--public-key", keyOf(path)]);
    assert.equal(own.code, 0, own.stderr);
    assert.doesNotMatch(own.stdout, /which the log itself names/);
    assert.equal((await runCommand(["audit", "verify", path, "--public-key", keyOf(other)])).code, 1);
    for (const bad of [path, join(path, "..", "missing")]) {
      const { code, stderr } = await runCommand(["audit", "verify", path, "--public-key", bad]);
      assert.equal(code, 2);
      assert.match(stderr, /^RIMON_AUDIT: .*\n$/);
      assert.ok(stderr.includes(bad), stderr);
    }
  });

  describe("without --public-key", () => {
    /** Verifies with a configuration whose log is `log` and whose key is `key`. */
    async function verify(log: string, key: string, file = log) {
      const config = join(temporaryDirectory("config"), "rimon.yaml");
      writeFileSync(config, `audit: { path: "${log}", keyFile: "${key}" }\n`);
      return runCommand(["audit", "verify", file, "--config", config]);
    }
    const keyOf = (log: string): string => join(log, "..", "audit.key");

    it("the configured log is held against the configured key, which is said", async () => {
      const path = await written();
      const own = await verify(path, keyOf(path));
      assert.equal(own.code, 0, own.stderr);
      assert.ok(own.stdout.includes(`note  signatures were checked against ${keyOf(path)}.pub`), own.stdout);
      // Whoever writes a log anew signs it with a key of their own.
      const other = await written();
      const forged = await verify(path, keyOf(other));
      assert.equal(forged.code, 1);
      assert.ok(forged.stdout.includes(`note  signatures were checked against ${keyOf(other)}.pub`), forged.stdout);
    });

    it("so are its rotated files, and the log of the state folder where nothing is configured", async () => {
      const path = await written({ rotateBytes: 1_000 });
      const rotated = readdirSync(join(path, "..")).find((name) => /\.\d{12}$/.test(name)) ?? "";
      const told = await verify(path, keyOf(path), join(path, "..", rotated));
      assert.match(told.stdout, /note {2}signatures were checked against .*audit\.key\.pub$/m);
      const folder = join(path, "..");
      renameSync(path, join(folder, "audit.ndjson"));
      for (const name of readdirSync(folder)) {
        const renamed = name.replace(/^audit\.log\.(?=\d)/, "audit.ndjson.");
        if (renamed !== name) renameSync(join(folder, name), join(folder, renamed));
      }
      const usual = await runCommand(["audit", "verify", "--json"], { env: { RIMON_STATE_DIR: folder } });
      assert.equal(jsonLines(usual.stdout)[0]?.["publicKeyFile"], `${keyOf(path)}.pub`);
    });

    it("any other log, and one whose key is not there, against the key that it names, which is said", async () => {
      const path = await written();
      const other = await written();
      const copied = await verify(other, keyOf(other), path);
      assert.equal(copied.code, 0, copied.stderr);
      assert.match(copied.stdout, /note {2}signatures were checked against \S+, which the log itself names/);
      const keyless = await verify(path, join(temporaryDirectory("key"), "audit.key"));
      assert.equal(keyless.code, 0, keyless.stderr);
      assert.match(keyless.stdout, /which the log itself names/);
    });
  });

  it("a missing file: exit code 1 and a sentence that names it", async () => {
    const missing = join(temporaryDirectory("audit"), "audit.ndjson");
    const { code, stdout } = await runCommand(["audit", "verify", missing]);
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`first bad record  ${missing}:0: there is no such audit log`));
  });
});
