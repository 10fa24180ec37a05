// What every command has in common: help that tells the truth, exit codes, and sentences instead of stack traces.

import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Child, startProgram } from "../fixtures/child.ts";
import { runCommand } from "../fixtures/command.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { openLog } from "../store/scratch.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const env = { RIMON_STATE_DIR: temporaryDirectory("state") };
const rimon = (...args: string[]) => runCommand(args, { env });

const COMMANDS = [
  ["run"], ["scan"], ["doctor"], ["drill"], ["bench"], ["replay", "FILE"], ["audit", "show", "FILE"], ["audit", "verify", "FILE"],
  ["snapshot", "take"], ["snapshot", "check", "FILE"], ["snapshot", "watch", "FILE"],
  ["files", "init", "PATH"], ["files", "check", "PATH"], ["files", "update", "PATH"], ["files", "show", "PATH"], ["files", "diff", "FILE", "FILE"],
  ["files", "explain", "PATH"],
  ["gate", "status"], ["gate", "try", "FILE"],
  ["seal", "keygen", "FILE"], ["seal", "sign", "FILE"], ["seal", "verify", "FILE"], ["config", "check", "FILE"], ["config", "schema"], ["config", "show"], ["explain", "RULE"],
]; // prettier-ignore

/** A value that each option's own check accepts. */
const VALUES: Readonly<Record<string, string>> = {
  "--mode": "monitor",
  "--pid": "1",
  "--uid": "1",
  "--expires": "1",
  "--threshold": "1",
  "--interval": "1",
  "--rule": "ignore:/x",
  "--max-size": "1MiB",
  "--rate": "1MiB",
  "--threads": "1",
}; // prettier-ignore;

describe("help", () => {
  it("of rimon names every command and the exit codes", async () => {
    const { code, stdout, stderr } = await rimon("--help");
    assert.deepEqual([code, stderr], [0, ""]);
    for (const [command] of COMMANDS) assert.match(stdout, new RegExp(`^  ${command}\\b`, "m"));
    assert.match(stdout, /Exit codes: 0 /);
  });

  for (const words of COMMANDS) {
    const command = words.filter((word) => word === word.toLowerCase());
    it(`of ${command.join(" ")} names only options that it takes`, async () => {
      const { code, stdout, stderr } = await rimon(...command, "--help");
      assert.deepEqual([code, stderr], [0, ""]);
      assert.ok(stdout.startsWith(`Usage: rimon ${command.join(" ")}`));
      const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)( <\w+(?:\.\.\.)?>)?/gm)].filter(
        ([, name]) => name !== "--help",
      );
      // One that takes a list takes all that follows, so none is last.
      const listed = (value = ""): boolean => value.endsWith("...>");
      const given = options
        .toSorted(([, , a], [, , b]) => Number(listed(b)) - Number(listed(a)))
        .flatMap(([, name = "", value]) => (value === undefined ? [name] : [name, VALUES[name] ?? "x"]));
      // One word too many is met after the options were read and before anything is done.
      const takesAll = /^Usage: .*\.\.\.[\]>]$/m.test(stdout);
      const tried = await rimon(...words, ...given, takesAll ? "--too-many" : "too-many");
      assert.equal(tried.code, 2);
      assert.match(tried.stderr, takesAll ? /^error: unknown option '--too-many'/ : /^error: too many arguments/);
    });
  }
});

describe("wrong usage is exit code 2, a sentence, and nothing on standard output", () => {
  const wrong: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [[], /^Usage: rimon /],
    [["frobnicate"], /unknown command 'frobnicate'/],
    [["explain", "--frobnicate"], /unknown option '--frobnicate'/],
    [["explain", "no-such-rule"], /^RIMON_USAGE: there is no rule "no-such-rule"; the rules are: ptrace-attach, /],
    [["replay"], /missing required argument 'file'/],
    [["run", "--mode", "loud"], /'loud' is invalid\. Allowed choices are monitor, enforce, off/],
    [["run", "--mode", "off"], /^RIMON_CONFIG: --mode off is for development/],
    [["scan", "--protect", "vault"], /^RIMON_CONFIG: a selector must be comm:NAME, .* got "vault"/],
    [["audit", "frobnicate"], /unknown command 'frobnicate'/],
    [["config"], /^Usage: rimon config/],
    [["audit", "show", "--finding"], /argument missing/],
  ];
  for (const [args, says] of wrong) {
    it(`rimon ${args.join(" ")}`, async () => {
      const { code, stdout, stderr } = await rimon(...args);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, says);
      assert.doesNotMatch(stderr, /\n {4}at /);
    });
  }
});

describe("a file that is missing, a folder or not ours is named in a sentence", () => {
  const folder = temporaryDirectory("folder");
  const secret = join(folder, "secret");
  writeFileSync(secret, "", { mode: 0o600 });
  const missing = join(folder, "missing");
  const takers: readonly (readonly string[])[] = [
    ["replay"], ["audit", "show"], ["config", "check"], ["config", "show", "--config"], ["run", "--config"],
    ["scan", "--config"], ["replay", secret, "--config"],
  ]; // prettier-ignore
  for (const taker of takers) {
    for (const [what, path] of [["missing", missing], ["a folder", folder]] as const) {
      it(`${taker.slice(0, 2).join(" ")}: ${what}`, async () => {
        const { code, stdout, stderr } = await rimon(...taker, path);
        assert.deepEqual([code, stdout], [2, ""]);
        assert.match(stderr, /^RIMON_[A-Z]+: .*\n$/);
        assert.ok(stderr.includes(path), stderr);
      });
    }
  } // prettier-ignore

  it("audit verify: missing and a folder fail the verification, and say why", async () => {
    for (const path of [missing, folder]) {
      const { code, stdout, stderr } = await rimon("audit", "verify", path);
      assert.deepEqual([code, stderr], [1, ""]);
      assert.match(stdout, /^NOT VERIFIED/);
    }
  });

  it("not ours", async () => {
    // Root reads everything: the capability that allows it is taken away.
    const main = join(root, "src/cli/main.ts");
    for (const args of [["replay"], ["config", "check"], ["audit", "show"]]) {
      const child = new Child(
        "setpriv",
        ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--reuid=65534", "--clear-groups"]
          .concat([process.execPath, "--import", import.meta.resolve("tsx"), main])
          .concat(args, secret),
        { env },
      );
      const { code } = await child.exited;
      assert.equal(code, 2, child.stderr);
      assert.match(child.stderr, /^RIMON_[A-Z]+: .*secret.*EACCES.*\n$/);
    }
  });
});

/** What must work wherever Node does, and the exit code it ends with. */
async function withoutPrivileges(
  folder: string,
): Promise<{ readonly args: readonly string[]; readonly code: number }[]> {
  const { log, path } = await openLog(folder);
  await log.append("ready", {});
  await log.close();
  const capture = join(root, "test/captures/attacks/seize.ndjson");
  return [
    { args: ["explain", "memory-read"], code: 0 },
    { args: ["replay", capture, "--protect", "comm:vault"], code: 1 },
    { args: ["config", "check"], code: 0 },
    { args: ["config", "schema"], code: 0 },
    { args: ["audit", "verify", path], code: 0 },
    { args: ["audit", "show", path], code: 0 },
  ];
}

describe("without the addon", async () => {
  const bare = temporaryDirectory("bare");
  cpSync(join(root, "src"), join(bare, "src"), { recursive: true });
  cpSync(join(root, "package.json"), join(bare, "package.json"));
  symlinkSync(join(root, "node_modules"), join(bare, "node_modules"));
  const main = join(bare, "src/cli/main.ts");

  for (const command of [["run"], ["scan"], ["drill"]]) {
    it(`${command.join(" ")} says what is missing and how to get it`, async () => {
      const child = startProgram(main, command, { env });
      const { code } = await child.exited;
      assert.equal(code, 3, child.stderr);
      assert.deepEqual(child.lines.items, []);
      assert.match(child.stderr, /^RIMON_NATIVE: no addon for linux-\w+: .*build\.mjs --addon-only\n$/s);
      assert.doesNotMatch(child.stderr, /\n {4}at /);
    });
  }

  it("doctor says so as well, and what to do about it", async () => {
    const told = startProgram(main, ["doctor"], { env });
    assert.equal((await told.exited).code, 3, told.stderr);
    assert.match(told.lines.items.join("\n"), /no addon for linux-\w+: .*build\.mjs/s);
    const asked = startProgram(main, ["doctor", "--json"], { env });
    assert.equal((await asked.exited).code, 3, asked.stderr);
    const { supported, advice } = JSON.parse(asked.lines.items.join("\n")) as { supported: boolean; advice: object[] };
    assert.equal(supported, false);
    assert.ok(advice.length > 0);
  });

  for (const { args, code } of await withoutPrivileges(bare)) {
    it(`${args.slice(0, 2).join(" ")} works`, async () => {
      const child = startProgram(main, args, { env });
      assert.equal((await child.exited).code, code, child.stderr);
      assert.ok(child.lines.items.length > 0);
    });
  }
});

describe("on another platform", async () => {
  const elsewhere = temporaryDirectory("darwin");
  const preload = join(elsewhere, "darwin.mjs");
  writeFileSync(preload, 'Object.defineProperty(process, "platform", { value: "darwin" });\n');
  const start = (args: readonly string[]): Child => {
    const imports = [import.meta.resolve("tsx"), preload].flatMap((each) => ["--import", each]);
    return new Child("setpriv", ["--pdeathsig", "KILL", process.execPath, ...imports, ...args], { env });
  };
  const main = join(root, "src/cli/main.ts");
  const recording = join(elsewhere, "recording.ndjson");

  for (const command of [["run"], ["run", "--record", recording], ["scan"], ["drill"]]) {
    it(`${command.slice(0, 2).join(" ")} says what it can do there`, async () => {
      const child = start([main, ...command]);
      const { code } = await child.exited;
      assert.deepEqual([code, child.lines.items], [3, []]);
      assert.match(child.stderr, /^RIMON_UNSUPPORTED: rimon watches Linux nodes; on darwin it can only .*\n$/);
      assert.ok(!existsSync(recording), "nothing is left of a recording that never began");
    });
  }

  it("doctor says so", async () => {
    const child = start([main, "doctor"]);
    const { code } = await child.exited;
    assert.deepEqual([code, child.stderr], [3, ""]);
    assert.match(child.lines.items.join("\n"), /rimon watches Linux nodes; this is darwin/);
  });

  for (const { args, code } of await withoutPrivileges(elsewhere)) {
    it(`${args.slice(0, 2).join(" ")} works`, async () => {
      const child = start([main, ...args]);
      assert.equal((await child.exited).code, code, child.stderr);
      assert.ok(child.lines.items.length > 0);
    });
  }

  it("the library can be imported, and says what it cannot do when it is asked to", async () => {
    const index = pathToFileURL(join(root, "src/index.ts")).href;
    const program = join(elsewhere, "program.mts");
    writeFileSync(
      program,
      `import { createMonitor, VERSION } from ${JSON.stringify(index)};
       console.log(process.platform, typeof VERSION);
       try {
         await createMonitor({ stateDirectory: ${JSON.stringify(elsewhere)} });
       } catch (error) {
         console.log(error.code);
       }\n`,
    );
    const child = start([program]);
    assert.equal((await child.exited).code, 0, child.stderr);
    assert.deepEqual(child.lines.items, ["darwin string", "RIMON_UNSUPPORTED"]);
  });
});

it("whoever reads only the first line gets it, and no stack trace", async () => {
  const tsx = import.meta.resolve("tsx");
  const command = `"${process.execPath}" --import "${tsx}" src/cli/main.ts explain | true; echo "$PIPESTATUS"`;
  const child = new Child("bash", ["-c", command], { cwd: root, env });
  await child.exited;
  assert.deepEqual([child.lines.items, child.stderr], [["0"], ""]);
});

it("a version is printed, and it is that of the package", async () => {
  const { code, stdout } = await rimon("--version");
  assert.equal(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+$/);
});

it("the default configuration is looked for, not demanded", async () => {
  mkdirSync(env.RIMON_STATE_DIR, { recursive: true });
  assert.equal((await rimon("config", "check")).code, 0);
});
