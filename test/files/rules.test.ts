// What a pattern means, by a table; and the two that read it, in C and in TypeScript, against each other and a slow third.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { DEFAULT_ROOTS, DEFAULT_RULES } from "../../src/baselines/files/defaults.ts";
import {
  ATTRIBUTES, findCut, findRule, GROUPS, groupsOf, patternMatches, rulesProblem, type FileRule, type GroupName,
} from "../../src/baselines/files/rules.ts"; // prettier-ignore
import { temporaryDirectory } from "../fixtures/temporary.ts";

const matches = (pattern: string, path: string): boolean => patternMatches(Buffer.from(pattern), Buffer.from(path));

const TABLE: readonly (readonly [pattern: string, matching: readonly string[], not: readonly string[]])[] = [
  ["/", ["/", "/a", "/a/b"], []],
  ["/usr", ["/usr", "/usr/bin", "/usr/bin/ls"], ["/", "/us", "/usr2", "/opt/usr"]],
  ["/usr/", ["/usr/bin", "/usr/bin/ls"], ["/usr", "/usr2"]],
  ["/etc/*.conf", ["/etc/a.conf", "/etc/.conf", "/etc/a.conf/below"], ["/etc/a/b.conf", "/etc/a.conf2", "/etc/conf"]],
  ["/etc/**/*.conf", ["/etc/a.conf", "/etc/a/b.conf", "/etc/a/b/c.conf"], ["/etc.conf", "/etc/a/b.confx"]],
  ["/usr/**/cache", ["/usr/cache", "/usr/a/cache", "/usr/a/b/cache/x"], ["/usr/mycache", "/usr/a/mycache", "/cache"]],
  ["/var/**.log", ["/var/a.log", "/var/a/b.log", "/var/.log"], ["/var/a.logs", "/var"]],
  ["/a?c", ["/abc", "/a-c/x"], ["/ac", "/a/c", "/abbc"]],
  ["/a\\*", ["/a*", "/a*/b"], ["/ab", "/a"]],
  ["/etc/cron*", ["/etc/crontab", "/etc/cron.d", "/etc/cron.d/x", "/etc/cron"], ["/etc/acron"]],
  ["/*/*/x", ["/a/b/x", "/a/b/x/y"], ["/a/x", "/a/b/c/x"]],
  ["/a/**", ["/a/b", "/a/b/c"], ["/a", "/ab"]],
];

describe("a pattern", () => {
  for (const [pattern, matching, not] of TABLE) {
    it(pattern, () => {
      for (const path of matching) assert.ok(matches(pattern, path), path);
      for (const path of not) assert.ok(!matches(pattern, path), path);
    });
  }

  it("of many stars is decided at once", () => {
    assert.ok(!matches(`/${"**/*a*".repeat(200)}z`, `/${"a/".repeat(2_000)}`));
    assert.ok(!matches(`/${"*a".repeat(200)}z`, `/${"a".repeat(4_000)}`));
  });
});

/** One try after another, as the words of rules.ts say. `before` is what of the pattern was read, `passed` what of the path. */
function slow(left: string, path: string, before = "", passed = ""): boolean {
  if (left === "") return path === "" || path.startsWith("/") || passed.endsWith("/");
  const take = (n: number, k: number): boolean =>
    slow(left.slice(k), path.slice(n), before + left.slice(0, k), passed + path.slice(0, n));
  if (left.startsWith("**/") && before.endsWith("/")) {
    for (let at = 0; at <= path.length; at++) if ((at === 0 || path[at - 1] === "/") && take(at, 3)) return true;
    return false;
  }
  if (left.startsWith("**")) {
    for (let at = 0; at <= path.length; at++) if (take(at, 2)) return true;
    return false;
  }
  if (left.startsWith("*")) {
    for (let at = 0; at <= path.length; at++) {
      if (take(at, 1)) return true;
      if (path[at] === "/") return false;
    }
    return false;
  }
  if (path === "") return false;
  if (left.startsWith("\\") && left.length > 1) return path[0] === left[1] && take(1, 2);
  return (left[0] === path[0] || (left[0] === "?" && path[0] !== "/")) && take(1, 1);
}

const letters = (of: readonly string[], maxLength: number): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...of), { maxLength }).map((words) => `/${words.join("")}`);
const pattern = letters(["a", "b", "/", "*", "?", "\\", "/**/", "**", "/"], 8);
const path = letters(["a", "b", "/a", "/b", "*"], 8);

describe("the readers of patterns", () => {
  const cases = fc.sample(fc.tuple(pattern, path), 20_000);

  it("in TypeScript and in C agree on every bytes", () => {
    const program = join(temporaryDirectory("match"), "match_pattern");
    const [here, native] = [
      fileURLToPath(new URL("match_pattern.c", import.meta.url)),
      fileURLToPath(new URL("../../native", import.meta.url)),
    ];
    const flags = [
      "-std=c11",
      "-D_GNU_SOURCE",
      "-O1",
      "-g",
      "-Wall",
      "-Wextra",
      "-Werror",
      "-fsanitize=address,undefined",
    ];
    const compiled = spawnSync("gcc", [...flags, "-I", native, "-o", program, here, join(native, "file_rules.c")], {
      encoding: "utf8",
    });
    assert.equal(compiled.status, 0, compiled.stderr);
    const odd = fc.sample(fc.tuple(fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ maxLength: 12 })), 5_000);
    const pairs = [
      ...cases.map(([a, b]) => [Buffer.from(a), Buffer.from(b)] as const),
      ...odd.map(([a, b]) => [Buffer.from(a), Buffer.from(b)] as const),
    ];
    const input = pairs.map(([a, b]) => `x${a.toString("hex")} x${b.toString("hex")}\n`).join("");
    const ran = spawnSync(program, [], { input, encoding: "utf8", maxBuffer: 2 ** 24 });
    assert.equal(ran.status, 0, ran.stderr);
    const said = ran.stdout.trim().split("\n");
    assert.equal(said.length, pairs.length);
    for (const [index, [a, b]] of pairs.entries())
      assert.equal(
        said[index] === "1",
        patternMatches(a, b),
        `${JSON.stringify([a.toString("latin1"), b.toString("latin1")])}`,
      );
    assert.ok(said.includes("1") && said.includes("0"));
  });

  it("agree with trying everything", () => {
    for (const [each, of] of cases) assert.equal(matches(each, of), slow(each, of), JSON.stringify([each, of]));
  });
});

describe("rules", () => {
  const rules: readonly FileRule[] = [
    { path: "/srv/app/keep", group: "immutable" },
    { path: "/srv/app", group: "ignore" },
    { path: "/srv/other", group: "ignore" },
    { path: "/srv", types: ["folder"], group: "presence" },
    { path: "/srv", group: "config" },
  ];
  const decides = (name: string, type: "file" | "folder" = "file"): GroupName | "ignore" | undefined =>
    rules[findRule(rules, Buffer.from(name), type) ?? -1]?.group;

  it("the first that matches decides, by its type too", () => {
    assert.equal(decides("/srv/app/keep/x"), "immutable");
    assert.equal(decides("/srv/app/drop"), "ignore");
    assert.equal(decides("/srv/x", "folder"), "presence");
    assert.equal(decides("/srv/x"), "config");
    assert.equal(decides("/opt/x"), undefined);
  });

  it("a folder that is left out takes with it what is below, unless an earlier rule wants some of it", () => {
    assert.equal(findCut(rules, Buffer.from("/srv/app/keep/x")), undefined);
    assert.equal(findCut(rules, Buffer.from("/srv/other/x/y"))?.folder.toString(), "/srv/other");
    assert.equal(findCut(rules, Buffer.from("/srv/x")), undefined);
  });

  it("say what is wrong with them", () => {
    for (const [value, says] of [
      [{}, /must be an array/],
      [[null], /rules\[0\] must be an object/],
      [[{ path: "usr", group: "config" }], /\.path must be an absolute path/],
      [[{ path: "/usr", group: "frobnicate" }], /\.group must be ignore or one of immutable, config/],
      [[{ path: "/usr", group: "toString" }], /\.group must be/],
      [[{ path: "/usr", group: "config", types: ["door"] }], /\.types must be a list of file, folder/],
      [[{ path: "/usr", group: "config", why: 1 }], /\.why must be text/],
      [Array.from({ length: 4097 }, () => ({ path: "/", group: "config" })), /4096 rules/],
    ] as const)
      assert.match(rulesProblem(value) ?? "", says);
    assert.equal(rulesProblem(DEFAULT_RULES), undefined);
  });

  it("of a folder what comes and goes in it is never compared, but where everything is", () => {
    for (const name of Object.keys(GROUPS) as GroupName[]) {
      const compared = groupsOf(name, "folder");
      assert.equal(compared.includes("mtime"), name === "everything");
      assert.ok(compared.every((each) => ATTRIBUTES.includes(each)));
    }
  });
});

describe("the rules that rimon brings", () => {
  const FOCUS: readonly (readonly [path: string, group: GroupName | "ignore"])[] = [
    ["/usr/bin/ls", "immutable"], ["/usr/sbin/sshd", "immutable"], ["/lib", "immutable"], ["/usr/lib/x86_64-linux-gnu/libc.so.6", "immutable"],
    ["/etc/crontab", "immutable"], ["/etc/cron.d/x", "immutable"], ["/etc/cron.daily/x", "immutable"], ["/var/spool/cron/crontabs/root", "immutable"],
    ["/etc/ssh/sshd_config", "immutable"], ["/root/.ssh/authorized_keys", "immutable"], ["/opt/app/bin/server", "immutable"],
    ["/usr/local/bin/tool", "immutable"], ["/etc/passwd", "config"], ["/etc/ld.so.preload", "config"], ["/etc/systemd/system/x.service", "config"],
    ["/boot/vmlinuz-6.1", "immutable"], ["/root/.bashrc", "config"],
    ["/etc/ld.so.cache", "ignore"], ["/usr/lib/python3/dist-packages/x/__pycache__/y.pyc", "ignore"], 
    ["/usr/share/doc/x/copyright", "ignore"], ["/boot/grub/grubenv", "ignore"],
  ]; // prettier-ignore
  for (const [name, group] of FOCUS) {
    it(`${name}: ${group}`, () => {
      const bytes = Buffer.from(name);
      const index = findCut(DEFAULT_RULES, bytes)?.rule ?? findRule(DEFAULT_RULES, bytes, "file");
      assert.equal(DEFAULT_RULES[index ?? -1]?.group, group);
      assert.ok(DEFAULT_ROOTS.some((root) => name === root || name.startsWith(`${root}/`)));
    });
  }
});
