// The sensor on the live kernel: real files, real programs that change them.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { FileTouched } from "../../src/file-touched.ts";
import type { Observation } from "../../src/observation.ts";
import { Child } from "../fixtures/child.ts";
import { compile } from "../fixtures/compile.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { until } from "../native/child.ts";
import { initFiles } from "../../src/files/check.ts";
import { watchFiles, type Watching } from "./file-watching.ts";

async function open(t: TestContext, rules: NonNullable<Watching["files"]>["rules"] = []) {
  const folder = temporaryDirectory("file-events");
  const inside = join(folder, "inside");
  const outside = join(folder, "outside");
  mkdirSync(inside);
  mkdirSync(outside);
  const watching = await watchFiles({ roots: [inside], rules });
  t.after(() => watching.stop());
  return { watching, inside, outside };
}

function run(command: string, ...args: string[]): number {
  const { status, pid, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return pid;
}

const shell = (script: string): number => run("sh", "-c", script);

/** The touches of a path by a process, once there are any. */
function touched({ touches }: Watching, path: string, pid: number): Promise<FileTouched[]> {
  return until(`what ${pid} did to ${path}`, () => {
    const found = touches(path).filter((each) => each.pid === pid);
    return found.length === 0 ? undefined : found;
  });
}

test("off until it is asked for, and off again", async (t) => {
  const folder = temporaryDirectory("file-events");
  const watching = await watchFiles(undefined);
  t.after(() => watching.stop());
  const states = (): string[] =>
    watching.context
      .of("sensor.state")
      .filter(({ sensor }) => sensor === "file-events")
      .map(({ state }) => state);
  assert.deepEqual(states(), ["off"]);
  watching.files = { roots: [folder], rules: [] };
  await watching.pass();
  assert.deepEqual(states(), ["off", "live"]);
  await touched(watching, join(folder, "a"), shell(`echo x > ${folder}/a`));
  watching.files = undefined;
  await watching.pass();
  const pid = shell(`echo x > ${folder}/b`);
  watching.files = { roots: [folder], rules: [] };
  await watching.pass();
  await touched(watching, join(folder, "c"), shell(`echo x > ${folder}/c`));
  assert.deepEqual(watching.touches(join(folder, "b")).map((each) => each.pid === pid), []); // prettier-ignore
  assert.deepEqual(states(), ["off", "live", "off", "live"]);
});

test("a shell that is gone at once is named, with its parents", async (t) => {
  const { watching, inside } = await open(t);
  for (let round = 0; round < 10; round++) {
    const path = join(inside, `f${round}`);
    const pid = shell(`echo x > ${path}`);
    const [first] = await touched(watching, path, pid);
    assert.equal(first?.change, "created");
    const actor = watching.state.actor(pid, first?.startTime);
    assert.equal(actor.comm, "sh", `round ${round}`);
    assert.deepEqual(actor.cmdline, ["sh", "-c", `echo x > ${path}`]);
    assert.equal(actor.ancestry?.[0]?.pid, process.pid);
  }
});

test("modify, act and restore is told, though the file is as it was", async (t) => {
  const { watching, inside } = await open(t);
  const path = join(inside, "program");
  writeFileSync(path, "good");
  const before = statSync(path);
  const pid = shell(`printf evil > ${path}; cat ${path} > /dev/null; printf good > ${path}; touch -d @1 ${path}`);
  utimesSync(path, before.atime, before.mtime);
  const found = await touched(watching, path, pid);
  assert.ok(found.some(({ change }) => change === "written"));
  assert.equal(readFileSync(path, "utf8"), "good");
});

test("written by a mapping: told; opened for writing and not written: not told", async (t) => {
  const { watching, inside } = await open(t);
  const path = join(inside, "mapped");
  writeFileSync(path, "x");
  // What was written before that has another ctime.
  const idle = shell(`exec 3>> ${path}`);
  await watching.pass();
  const [first] = await touched(watching, path, run(compile("file-acts"), "map", path));
  assert.equal(first?.change, "written");
  await watching.pass();
  const again = shell(`exec 3>> ${path}`);
  await touched(watching, join(inside, "last"), shell(`echo x > ${inside}/last`));
  await watching.pass();
  assert.deepEqual(
    watching.touches(path).filter(({ pid }) => pid === again),
    [],
  );
  // Rimon's own write, of which nothing is told, shows by its ctime alone: at most this is told as somebody else's.
  assert.ok(watching.touches(path).filter(({ pid }) => pid === idle).length <= 1);
});

test("who only opened a file for writing is not named for what others did to it before, and is for what it did", async (t) => {
  const { watching, inside } = await open(t);
  let round = 0;
  const settled = async (): Promise<void> => {
    const last = join(inside, `last${round++}`);
    await touched(watching, last, shell(`echo x > ${last}`));
    await watching.pass();
  };
  const opened = (path: string): number => shell(`exec 3>> ${path}`);
  const before: readonly [what: string, act: (path: string) => number][] = [
    ["write", (path) => shell(`echo x >> ${path}`)],
    ["chmod", (path) => run("chmod", "600", path)],
    ["touch", (path) => run("touch", path)],
    ["mv", (path) => run("mv", join(inside, "other"), path)],
    ["truncate", (path) => run(compile("file-acts"), "truncate", path)],
  ];
  for (const [what, act] of before) {
    const path = join(inside, what);
    shell(`echo x > ${path}; echo x > ${inside}/other`);
    // At once, and after it was told.
    const pids = [act(path), opened(path)].slice(1);
    await settled();
    pids.push(opened(path));
    await settled();
    assert.deepEqual(
      watching.touches(path).filter(({ pid }) => pid !== undefined && pids.includes(pid)),
      [],
      what,
    );
  }
  // A mode that is set afterwards does not hide who wrote by a mapping.
  const path = join(inside, "mapped");
  shell(`echo x > ${path}`);
  await settled();
  const writer = run(compile("file-acts"), "map", path);
  // Times of files are as coarse as a tick.
  shell(`sleep 0.05; chmod 600 ${path}`);
  const [first] = await touched(watching, path, writer);
  assert.equal(first?.change, "written");
  await settled();
  const idle = opened(path);
  await settled();
  assert.deepEqual(
    watching.touches(path).filter(({ pid }) => pid === idle),
    [],
  );
});

test("a folder that comes with content, moves within, and goes", async (t) => {
  const { watching, inside, outside } = await open(t);
  mkdirSync(join(outside, "tree", "deep"), { recursive: true });
  writeFileSync(join(outside, "tree", "deep", "leaf"), "x");
  const pid = run("mv", join(outside, "tree"), join(inside, "tree"));
  const [moved] = await touched(watching, join(inside, "tree"), pid);
  assert.deepEqual([moved?.change, moved?.from, moved?.crossed], ["moved", join(outside, "tree"), "in"]);
  const [leaf] = await touched(watching, join(inside, "tree", "deep", "leaf"), pid);
  assert.deepEqual([leaf?.change, leaf?.folder], ["moved", false]);
  const away = run("mv", join(inside, "tree"), join(outside, "gone"));
  const [gone] = await touched(watching, join(outside, "gone"), away);
  assert.deepEqual([gone?.crossed, gone?.from], ["out", join(inside, "tree")]);
});

test("rules decide: what they ignore is not told, by whatever pattern", async (t) => {
  const { watching, inside } = await open(t, [
    { path: "/**/inside/cache", group: "ignore" },
    { path: "/**/*.log", types: ["file"], group: "ignore" },
  ]);
  mkdirSync(join(inside, "cache"));
  const pid = shell(`cd ${inside}; echo x > cache/a; echo x > a.log; chmod 700 cache; mkdir b.log; echo x > z`);
  await touched(watching, join(inside, "z"), pid);
  const paths = new Set(watching.context.of("file.touched").map(({ path }) => path.slice(inside.length + 1)));
  assert.deepEqual([...paths].toSorted(), ["b.log", "z"]);
});

test("a path that is a link is watched where it leads, and itself", async (t) => {
  const folder = temporaryDirectory("file-events");
  mkdirSync(join(folder, "real"));
  execFileSync("ln", ["-s", "real", join(folder, "link")]);
  const watching = await watchFiles({ roots: [join(folder, "link")], rules: [] });
  t.after(() => watching.stop());
  await touched(watching, join(folder, "real", "a"), shell(`echo x > ${folder}/link/a`));
  await touched(watching, join(folder, "link"), run("ln", "-sfn", "/nowhere", join(folder, "link")));
});

test("a filesystem that is mounted below a watched folder is watched from the next pass on", async (t) => {
  const { watching, inside } = await open(t);
  const place = join(inside, "mount");
  mkdirSync(place);
  execFileSync("mount", ["-t", "tmpfs", "rimon-test", place]);
  // Nothing of rimon's keeps it busy.
  t.after(() => execFileSync("umount", [place]));
  await watching.pass();
  await touched(watching, join(place, "a"), shell(`echo x > ${place}/a`));
});

test("what cannot be watched is said, and the rest goes on", async (t) => {
  const { watching, inside } = await open(t);
  watching.files = { roots: [inside, "/proc/sys"], rules: [] };
  await watching.pass();
  const state = watching.context.of("sensor.state").findLast(({ sensor }) => sensor === "file-events");
  assert.equal(state?.state, "degraded");
  assert.match(state?.reason ?? "", /^watched by inotify, which does not say who: .*\/proc: ENOTSUP/);
  await touched(watching, join(inside, "a"), shell(`echo x > ${inside}/a`));
});

test("a storm is told by folder and process, and nothing of it is lost", async (t) => {
  const { watching, inside } = await open(t);
  const files = 3_000;
  run(compile("file-storm"), inside, String(files), "1", "keep");
  const pid = shell(`echo x > ${inside}/last`);
  const count = (): number => {
    const paths = new Set<string>();
    let more = 0;
    for (const each of watching.context.of("file.touched")) {
      if (each.pid === pid) continue;
      if (each.files === undefined) paths.add(each.path);
      else more += each.files.count;
    }
    return paths.size + more;
  };
  await until("all of it", async () => {
    await watching.pass();
    return count() >= files ? true : undefined;
  });
  assert.deepEqual(watching.context.of("sensor.lost"), []);
  const summed = watching.context.of("file.touched").find((each) => each.files !== undefined);
  assert.equal(summed?.path, inside);
  assert.ok((summed?.files?.names.length ?? 0) > 0);
});

test("while rimon is stopped its queue overflows: that is told, and what was changed is found", async (t) => {
  const folder = temporaryDirectory("file-events");
  writeFileSync(join(folder, "victim"), "good");
  chmodSync(join(folder, "victim"), 0o755);
  const limit = Number(readFileSync("/proc/sys/fs/fanotify/max_queued_events", "utf8"));
  const monitor = new Child(process.execPath, [
    "--import",
    import.meta.resolve("tsx"),
    fileURLToPath(new URL("file-watching.ts", import.meta.url)),
    folder,
  ]);
  t.after(() => monitor.kill("SIGKILL"));
  await monitor.lines.waitFor((line) => line === "watching", 20_000);
  monitor.kill("SIGSTOP");
  run(compile("file-storm"), folder, String(limit + 1_000), "1", "remove");
  shell(`echo evil > ${folder}/victim`);
  monitor.kill("SIGCONT");
  const told = (): Observation[] =>
    monitor.lines.items.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Observation);
  await until("the loss", () => told().find(({ kind }) => kind === "sensor.lost"));
  monitor.send("pass");
  const victim = await until("the file", () =>
    told().find((each) => each.kind === "file.touched" && each.path === join(folder, "victim")),
  );
  assert.ok(victim.kind === "file.touched");
  assert.deepEqual([victim.change, victim.pid], ["written", undefined]);
  assert.match(victim.unnamed ?? "", /after events were lost/);
});

async function withBaseline(t: TestContext, inside: string) {
  const baseline = join(temporaryDirectory("file-baseline"), "files.json");
  await initFiles({ file: baseline, roots: [inside], rules: [{ path: "/", group: "config" }] });
  const watching = await watchFiles({
    roots: [],
    rules: [],
    baseline: { baseline, publicKeys: [], threshold: 1, lastGood: `${baseline}.kept` },
  });
  t.after(() => watching.stop());
  const differences = (path: string) =>
    until(`a difference of ${path}`, () => {
      const found = watching.context.of("file.changed").filter((each) => each.path === path);
      return found.length === 0 ? undefined : found;
    });
  return { watching, differences };
}

test("with a baseline: what a file was, what it is now, and who did it", async (t) => {
  const inside = temporaryDirectory("file-events");
  const program = join(inside, "program");
  writeFileSync(program, "good");
  mkdirSync(join(inside, "kept"));
  writeFileSync(join(inside, "kept", "leaf"), "1");
  const { watching, differences } = await withBaseline(t, inside);

  const writer = shell(`printf evil > ${program}; chmod 4755 ${program}`);
  const [changed] = await differences(program);
  assert.equal(changed?.sensor, "file-events");
  assert.deepEqual(changed?.actor && [changed.actor.pid, changed.actor.comm], [writer, "sh"]);
  assert.ok(changed?.attributes.some(({ attribute }) => attribute === "content"));
  const adder = shell(`echo x > ${inside}/new`);
  const [added] = await differences(join(inside, "new"));
  assert.deepEqual([added?.change, added?.actor?.pid], ["added", adder]);
  const mover = run("mv", join(inside, "kept"), join(inside, "elsewhere"));
  const [moved] = await differences(join(inside, "elsewhere", "leaf"));
  assert.deepEqual([moved?.actor?.pid, moved?.from], [mover, join(inside, "kept", "leaf")]);

  // What was changed and changed back between two scans.
  await watching.pass();
  const restorer = shell(`printf x > ${inside}/kept.tmp; rm ${inside}/kept.tmp`);
  const restored = await until("that it is as before", () =>
    watching.touches(join(inside, "kept.tmp")).find(({ pid }) => pid === restorer),
  );
  assert.equal(restored.asBefore, true);
});

test("a file that is restored before anybody looks is told as such", async (t) => {
  const inside = temporaryDirectory("file-events");
  const program = join(inside, "program");
  writeFileSync(program, "good");
  const { watching } = await withBaseline(t, inside);
  const pid = shell(`printf evil > ${program}; sh ${program} 2> /dev/null; printf good > ${program}`);
  const [first] = await touched(watching, program, pid);
  assert.equal(first?.asBefore, true);
  assert.deepEqual(watching.context.of("file.changed"), []);
});

/** A package with 20 tools and a configuration file, and an empty dpkg to install it in, which is watched. */
async function openDpkg(t: TestContext) {
  const root = temporaryDirectory("dpkg-root");
  const build = temporaryDirectory("dpkg-build");
  mkdirSync(join(build, "DEBIAN"));
  mkdirSync(join(build, "usr/bin"), { recursive: true });
  mkdirSync(join(build, "etc"));
  for (let n = 0; n < 20; n++) writeFileSync(join(build, "usr/bin", `tool${n}`), `tool ${n}`);
  writeFileSync(join(build, "etc/tool.conf"), "a=1");
  writeFileSync(join(build, "DEBIAN/conffiles"), "/etc/tool.conf\n");
  writeFileSync(
    join(build, "DEBIAN/control"),
    "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a tool\n",
  );
  const archive = join(temporaryDirectory("dpkg-archive"), "tool.deb");
  shell(
    `mkdir -p ${root}/var/lib/dpkg/info ${root}/var/lib/dpkg/updates ${root}/usr/bin ${root}/etc; : > ${root}/var/lib/dpkg/status; : > ${root}/var/lib/dpkg/available`,
  );
  const watching = await watchFiles({ roots: [`${root}/usr`, `${root}/etc`], rules: [], root });
  t.after(() => watching.stop());
  const dpkg = (...args: string[]) =>
    run("dpkg", `--root=${root}`, "--log=/dev/null", "--force-all", "--force-script-chrootless", ...args);
  return {
    root,
    build,
    watching,
    dpkg,
    /** With what a script of it does once it is unpacked. */
    install(script?: string): number {
      shell(`cd ${build} && find usr -type f | xargs md5sum > DEBIAN/md5sums`);
      if (script !== undefined)
        writeFileSync(join(build, "DEBIAN/postinst"), `#!/bin/sh -e\n${script}\n`, { mode: 0o755 });
      run("dpkg-deb", "--root-owner-group", "--build", build, archive);
      return dpkg("-i", archive);
    },
    told: (pid: number) =>
      until("the upgrade", async () => {
        await watching.pass();
        return watching.context.of("packages.changed").find((each) => each.pid === pid);
      }),
    /** "removed /usr/bin/tool1"; what is done at once may be told as one. */
    alone: () =>
      watching.context
        .of("file.touched")
        .flatMap(({ change, path, did = [change] }) => did.map((each) => `${each} ${path.replace(root, "")}`)),
  };
}

test("an upgrade by dpkg is told as one, each file held against what the package says", async (t) => {
  const { root, build, dpkg, install, told, alone } = await openDpkg(t);
  const first = install();
  const upgrade = await told(first);
  assert.deepEqual([upgrade.pid, upgrade.manager, upgrade.packages], [first, "/usr/bin/dpkg", ["tool"]]);
  assert.equal(upgrade.verified, 21);
  assert.deepEqual([upgrade.differing, upgrade.strange, alone()], [[], [], []]);

  // What is no longer of the package goes.
  execFileSync("rm", [join(build, "usr/bin/tool19")]);
  writeFileSync(join(build, "usr/bin/tool0"), "another");
  const second = await told(install());
  // The configuration file was not touched.
  assert.equal(second.verified, 19);
  assert.deepEqual([second.differing, second.strange, alone()], [[], [], []]);

  const purge = await told(dpkg("--purge", "tool"));
  assert.deepEqual([purge.verified, purge.strange, alone()], [0, [], []]);
  assert.ok(purge.files >= 20);
  assert.ok(!existsSync(join(root, "usr/bin/tool0")));
});

test("what a script of a package does that the database does not explain is told by itself", async (t) => {
  const { root, install, told, alone } = await openDpkg(t);
  const bin = `${root}/usr/bin`;
  const outside = temporaryDirectory("dpkg-outside");
  const script = [
    `rm ${bin}/tool1`,
    `chmod 4755 ${bin}/tool2`,
    `ln -sf /nowhere ${bin}/tool3`,
    `mv ${bin}/tool4 ${outside}/tool4`,
    `setcap cap_net_raw=ep ${bin}/tool5`,
    `cp ${bin}/tool6 ${bin}/copy && chmod 4755 ${bin}/copy && mv -f ${bin}/copy ${bin}/tool6`,
    `printf evil > ${bin}/tool7`,
    // It is as the package says.
    `cat ${bin}/tool8 > ${bin}/kept && cat ${bin}/kept > ${bin}/tool8 && rm ${bin}/kept`,
    `echo x > ${root}/etc/cron.evil`,
    `echo x > ${bin}/$(printf '\\377')`,
  ];
  const upgrade = await told(install(script.join("\n")));
  const tools = (...numbers: number[]): string[] => numbers.map((n) => `${bin}/tool${n}`);
  assert.deepEqual(upgrade.differing.toSorted(), tools(1, 3, 4, 7));
  assert.deepEqual(upgrade.strange, [`${root}/etc/cron.evil`]);
  assert.deepEqual(
    new Set(alone().filter((each) => !each.includes(outside))),
    new Set([
      "removed /usr/bin/tool1",
      "attributes /usr/bin/tool2",
      "moved /usr/bin/tool3",
      // By dpkg itself, which is not what the database says any more.
      "moved /usr/bin/tool1",
      "moved /usr/bin/tool4",
      "moved /usr/bin/tool7",
      "attributes /usr/bin/tool5",
      "moved /usr/bin/tool6",
      "written /usr/bin/tool7",
      "created /etc/cron.evil",
      "written /etc/cron.evil",
      "created /usr/bin/\\xff",
      "written /usr/bin/\\xff",
    ]),
  );
  assert.equal(alone().filter((each) => each.includes(`${outside}/tool4`)).length, 1);
});

test("an upgrade by rpm, too: what rpm says of each file is asked of rpm", async (t) => {
  const root = temporaryDirectory("rpm-root");
  const build = temporaryDirectory("rpm-build");
  const spec = join(build, "tool.spec");
  writeFileSync(
    spec,
    `Name: tool
Version: 1
Release: %{release}
Summary: a tool
License: none
BuildArch: noarch
%description
a tool
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc
for n in 1 2 3 4 5; do echo tool $n > %{buildroot}/usr/bin/tool$n; done
ln -s tool1 %{buildroot}/usr/bin/tool
echo a=1 > %{buildroot}/etc/tool.conf
%files
/usr/bin/tool
/usr/bin/tool[1-4]
%caps(cap_net_raw=ep) /usr/bin/tool5
%config /etc/tool.conf
%if %{release} > 1
%post -p <lua>
for path, text in pairs({ ["/usr/bin/tool3"] = "evil", ["/etc/cron.evil"] = "x" }) do
  local file = io.open(path, "w")
  file:write(text)
  file:close()
end
posix.chmod("/usr/bin/tool4", "u+s")
posix.symlink("/nowhere", "/usr/bin/tool.new")
os.rename("/usr/bin/tool.new", "/usr/bin/tool")
%endif
`,
  );
  const packageOf = (release: number): string => {
    run("rpmbuild", "-bb", "--define", `_topdir ${build}`, "--define", `release ${release}`, spec);
    return join(build, `RPMS/noarch/tool-1-${release}.noarch.rpm`);
  };
  const rpm = (...args: string[]): number => run("/usr/bin/rpm", "--root", root, "--nodeps", ...args);
  mkdirSync(join(root, "usr/bin"), { recursive: true });
  mkdirSync(join(root, "etc"));
  const watching = await watchFiles({ roots: [`${root}/usr`, `${root}/etc`], rules: [], root });
  t.after(() => watching.stop());
  const told = (pid: number) =>
    until("the upgrade", async () => {
      await watching.pass();
      return watching.context.of("packages.changed").find((each) => each.pid === pid);
    });

  const first = await told(rpm("-i", packageOf(1)));
  assert.deepEqual([first.manager, first.database, first.packages], ["/usr/bin/rpm", "rpm", ["tool"]]);
  assert.deepEqual([first.verified, first.differing, first.strange], [6, [], []]);

  // A script of the package changes a file behind the package's back, and leaves one of its own.
  const second = await told(rpm("-U", packageOf(2)));
  // It runs in rpm itself; of modes and links rpm has what they should be.
  const differing = ["tool", "tool3", "tool4"].map((name) => `${root}/usr/bin/${name}`);
  assert.deepEqual(second.differing.toSorted(), differing);
  assert.deepEqual(second.strange, [`${root}/etc/cron.evil`]);
  const alone = new Set(watching.context.of("file.touched").map(({ path }) => path));
  assert.deepEqual([...alone].toSorted(), [`${root}/etc/cron.evil`, ...differing]);
});

test("without fanotify: by inotify, with the reason, moves as moves, new folders with what is in them, nobody named", async (t) => {
  const folder = temporaryDirectory("file-events");
  const [inside, outside] = [join(folder, "inside"), join(folder, "outside")];
  mkdirSync(join(inside, "deep", "deeper"), { recursive: true });
  mkdirSync(join(outside, "tree"), { recursive: true });
  writeFileSync(join(outside, "tree", "leaf"), "x");
  const watching = await watchFiles({ roots: [inside], rules: [], level: 0 });
  t.after(() => watching.stop());
  const state = watching.context.of("sensor.state").findLast(({ sensor }) => sensor === "file-events");
  assert.deepEqual(
    [state?.state, state?.reason],
    ["degraded", "watched by inotify, which does not say who: ENOSYS: not asked for"],
  );
  const seen = (path: string, change: string): Promise<FileTouched> =>
    until(`${path} ${change}`, () =>
      watching
        .touches(join(folder, path))
        .find((each) => each.change === change || each.did?.includes(change as never)),
    );
  shell(`echo x > ${inside}/deep/deeper/a`);
  const made = await seen("inside/deep/deeper/a", "created");
  assert.deepEqual([made.pid, made.unnamed], [undefined, "inotify does not say who"]);
  run("mv", join(inside, "deep"), join(inside, "other"));
  assert.equal((await seen("inside/other", "moved")).from, join(inside, "deep"));
  shell(`chmod 600 ${inside}/other/deeper/a`);
  await seen("inside/other/deeper/a", "attributes");
  run("mv", join(outside, "tree"), join(inside, "tree"));
  assert.equal((await seen("inside/tree", "moved")).crossed, "in");
  await seen("inside/tree/leaf", "created");
  shell(`echo x >> ${inside}/tree/leaf`);
  await seen("inside/tree/leaf", "written");
  shell(`mkdir -p ${inside}/new/newer && echo x > ${inside}/new/newer/b`);
  await seen("inside/new/newer/b", "created");
  run("mv", join(inside, "tree"), join(outside, "tree"));
  await seen("inside/tree", "removed");
  run("rm", join(inside, "new", "newer", "b"));
  await seen("inside/new/newer/b", "removed");
  shell(`echo x >> ${outside}/tree/leaf; echo x > ${inside}/last`);
  await seen("inside/last", "created");
  assert.deepEqual(
    watching.context.of("file.touched").filter(({ path }) => path.startsWith(outside)),
    [],
  );
});
