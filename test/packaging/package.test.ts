// A machine without a compiler: a clone starts with the prebuilt addon, and so does the packed package. And one with
// the compilers of the maintainers: the package makes its own prebuilt addons again, bit for bit.

import assert from "node:assert/strict";
import { appendFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { HEADER_PACKAGES, PREBUILT, madeFrom, prebuiltPath } from "../../scripts/native-source.mjs";
import type { DrillResult } from "../../src/drill/drill.ts";
import { TECHNIQUES } from "../../src/drill/techniques/all.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { copyOfCheckout, folderOfPrograms, runIn, type Ended } from "./bare-path.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const isRoot = process.getuid?.() === 0;
const bare = folderOfPrograms(["node", "npm", "sh", "env"]);

function assertDone({ code, stdout, stderr }: Ended): void {
  assert.equal(code, 0, `${stdout}\n${stderr}`);
}

describe("a clone without a compiler", () => {
  const clone = copyOfCheckout();
  const build = (...options: readonly string[]): Promise<Ended> =>
    runIn(clone, "node", ["scripts/build.mjs", ...options], bare);

  it("builds TypeScript only", async () => {
    assertDone(await build("--missing"));
    assert.ok(existsSync(join(clone, "dist/cli/main.js")));
    assert.ok(!existsSync(join(clone, "build")));
  });

  it("loses an addon of its own that is not from the present native/", async () => {
    const own = join(clone, "build/Release/rimon.node");
    mkdirSync(dirname(own), { recursive: true });
    writeFileSync(own, "old");
    assertDone(await build("--missing"));
    assert.ok(!existsSync(own));
  });

  it("says so when native/ was changed", async () => {
    appendFileSync(join(clone, "native/record.h"), "/* changed */\n");
    const start = await build("--missing");
    assert.equal(start.code, 1);
    const prebuilt = `prebuilds/linux-${process.arch}/rimon.glibc.node`;
    assert.match(start.stderr, new RegExp(`${prebuilt} is not from the present native/.*no gcc and no g\\+\\+`));
    const pack = await build("--package");
    assert.equal(pack.code, 1);
    assert.match(pack.stderr, /run: npm run prebuilds/);
  });
});

describe("the packed package, installed without a compiler", () => {
  const folder = temporaryDirectory("installed");
  const installed = join(folder, "node_modules/rimon");
  const rimon = (...args: readonly string[]): Promise<Ended> =>
    runIn(folder, join(folder, "node_modules/.bin/rimon"), args, bare);

  before(async () => {
    const clone = copyOfCheckout();
    assertDone(await runIn(clone, "npm", ["pack", "--pack-destination", folder], bare));
    const [tarball = ""] = readdirSync(folder);
    writeFileSync(join(folder, "package.json"), "{}");
    const how = ["--prefer-offline", "--no-audit", "--no-fund"];
    assertDone(await runIn(folder, "npm", ["install", ...how, `./${tarball}`], bare));
  });

  it("has every page its pages link to", () => {
    const pages = readdirSync(installed).filter((name) => name.endsWith(".md"));
    const links = pages.flatMap((page) =>
      [...readFileSync(join(installed, page), "utf8").matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, to = ""]) => to),
    );
    assert.ok(links.length > 0);
    const dead = links.filter((to) => !existsSync(join(installed, to)));
    assert.deepEqual(dead, []);
  });

  it("loads the prebuilt addon", async () => {
    const script = `
      import { readFileSync } from "node:fs";
      import { createMonitor } from "rimon";
      const configuration = { environment: "development", protect: ["comm:nobody"] };
      const monitor = await createMonitor({ configuration, stateDirectory: ${JSON.stringify(join(folder, "state"))} });
      console.log(/\\S+\\.node$/m.exec(readFileSync("/proc/self/maps", "utf8"))?.[0]);
      await monitor.stop();`;
    const { stdout, stderr } = await runIn(folder, "node", ["--input-type=module", "-e", script], bare);
    assert.equal(stdout.trim(), prebuiltPath(installed, process.arch), stderr);
  });

  it("rimon doctor finds its sensors", async () => {
    const { stdout, stderr } = await rimon("doctor", "--json");
    const { supported, sensors } = JSON.parse(stdout) as { supported: boolean; sensors: { health: string }[] };
    assert.equal(supported, true, stderr);
    if (isRoot) assert.ok(sensors.some(({ health }) => health === "proven"));
  });

  it("rimon drill attacks, and misses nothing it can see", async () => {
    const { stdout, stderr } = await rimon("drill", "--json");
    const results = stdout
      .split("\n")
      .filter(Boolean)
      .slice(0, -1)
      .map((line) => JSON.parse(line) as DrillResult);
    assert.deepEqual(
      results.map(({ technique }) => technique),
      TECHNIQUES.map(({ name }) => name),
      stderr,
    );
    const missed = results.filter(({ outcome }) => outcome === "missed");
    assert.deepEqual(missed, []);
    if (isRoot) assert.equal(results.find(({ technique }) => technique === "proc-mem")?.outcome, "seen");
  });

  it("makes its prebuilt addons again, bit for bit where the compilers are those they were made with", async (t) => {
    const build = (): Promise<Ended> => runIn(folder, "node", ["node_modules/rimon/scripts/build.mjs", "--prebuilds"]);
    const without = await build();
    assert.equal(without.code, 1);
    assert.match(without.stderr, /needs the headers of node-addon-api; run: npm install/);
    for (const name of HEADER_PACKAGES)
      cpSync(join(root, "node_modules", name), join(folder, "node_modules", name), { recursive: true });
    assertDone(await build());

    for (const { arch } of PREBUILT) {
      const [shipped, made] = [prebuiltPath(root, arch), prebuiltPath(installed, arch)];
      const [then, now] = [madeFrom(shipped), madeFrom(made)];
      assert.equal(now?.source, then?.source);
      if (now?.compiler === then?.compiler)
        assert.ok(readFileSync(made).equals(readFileSync(shipped)), `${arch} differs`);
      else t.diagnostic(`not compared bit for bit: ${arch} was made with ${then?.compiler}, here is ${now?.compiler}`);
    }
  });
});
