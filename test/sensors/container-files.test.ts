// The root filesystems of containers on the live kernel: real overlays, changed by real programs inside of them.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { CONTAINER_RULES } from "../../src/baselines/files/defaults.ts";
import type { FileTouched } from "../../src/file-touched.ts";
import { createContainerFiles, upperOf } from "../../src/sensors/container-files.ts";
import { startContainer, type Container } from "../fixtures/container.ts";
import { until } from "../native/child.ts";
import { aProcess, seen } from "../detectors/observations.ts";
import { watchFiles, type Watching } from "./file-watching.ts";

async function watched(t: TestContext, before?: string) {
  const container = await startContainer(before);
  t.after(() => container.stop());
  const watching = await watchFiles({ roots: [], rules: [], containers: CONTAINER_RULES });
  t.after(() => watching.stop());
  watching.context.emit(
    seen(aProcess(container.pid, { cgroup: `/docker/${container.id}`, exe: "/bin/sh", comm: "sh" })),
  );
  await watching.pass();
  assert.equal(watching.context.of("sensor.state").at(-1)?.state, "live");
  return { container, watching };
}

const told = (watching: Watching): string[] =>
  watching.context.of("file.touched").map(({ change, path, pid }) => `${change} ${path} ${pid ?? "nobody"}`);

/** What was told of a path that the container names. */
function touched({ context }: Watching, { id }: Container, path: string): Promise<FileTouched> {
  return until(`what was done to ${path}`, () =>
    context.of("file.touched").find((each) => each.container === id && each.path === path),
  );
}

test("made, written over, removed, moved in a container: by whom, as the container names it", async (t) => {
  const { container, watching } = await watched(t);
  const { pid } = container;
  assert.deepEqual(told(watching), []);
  await container.run("echo x > /etc/new");
  const made = await touched(watching, container, "/etc/new");
  assert.deepEqual([made.change, made.pid, made.folder], ["created", pid, false]);
  assert.equal(watching.state.actor(pid, made.startTime).comm, "sh");
  await container.run("echo x >> /etc/passwd");
  assert.equal((await touched(watching, container, "/etc/passwd")).pid, pid);
  await container.run("rm /bin/tool");
  assert.equal((await touched(watching, container, "/bin/tool")).change, "removed");
  await container.run("/bin/busybox mv /etc/new /etc/newer");
  const moved = await touched(watching, container, "/etc/newer");
  assert.deepEqual([moved.change, moved.from], ["moved", "/etc/new"]);
  await container.run("chmod 4755 /bin/sh");
  assert.ok((await touched(watching, container, "/bin/sh")).pid !== undefined);
  // Nothing but that, and nothing by the node's names.
  const paths = new Set(watching.context.of("file.touched").map(({ path }) => path));
  assert.deepEqual([...paths].toSorted(), ["/bin/sh", "/bin/tool", "/etc/new", "/etc/newer", "/etc/passwd"]);
});

test("where a container may write, it may", async (t) => {
  const { container, watching } = await watched(t);
  await container.run("/bin/busybox mkdir -p /tmp /var/log /var/cache/app; echo x > /tmp/a; echo x > /var/log/b; echo x > /var/cache/app/c"); // prettier-ignore
  await container.run("echo x > /last");
  await touched(watching, container, "/last");
  await watching.pass();
  const files = watching.context.of("file.touched").filter(({ folder }) => !folder);
  assert.deepEqual([...new Set(files.map(({ path }) => path))], ["/last"]);
});

test("what was changed before anybody looked is told at the first look, once", async (t) => {
  const { container, watching } = await watched(t, "echo x > /etc/planted; rm /bin/tool; echo x >> /etc/passwd");
  const nobody = ["removed /bin/tool nobody", "written /etc/passwd nobody", "written /etc/planted nobody"];
  assert.deepEqual(told(watching), nobody);
  assert.match(watching.context.of("file.touched")[0]?.unnamed ?? "", /first looked/);
  await watching.pass();
  assert.deepEqual(told(watching), nobody);
  await container.run("echo y > /etc/planted");
  await until("the write", () => told(watching).find((each) => each === `written /etc/planted ${container.pid}`));
});

test("a container that comes later is watched from the next pass on; one that is gone costs nothing", async (t) => {
  const { watching } = await watched(t);
  const later = await startContainer();
  watching.context.emit(seen(aProcess(later.pid, { cgroup: `/kubepods/pod1/cri-containerd-${later.id}.scope` })));
  await watching.pass();
  await later.run("echo x > /etc/new");
  assert.equal((await touched(watching, later, "/etc/new")).pid, later.pid);
  await later.stop();
});

test("switched off: nothing is told", async (t) => {
  const { container, watching } = await watched(t);
  watching.files = { roots: [container.upper], rules: [] };
  await watching.pass();
  await container.run("echo x > /etc/new");
  const path = join(container.upper, "etc", "new");
  const asOfTheNode = await until("the write", () => watching.touches(path).at(0));
  assert.equal(asOfTheNode.container, undefined);
});

test("a root that is no overlay is said, after a runtime had its time to enter it", async () => {
  const containers = createContainerFiles();
  const id = "ab".repeat(32);
  containers.notice(seen(aProcess(process.pid, { cgroup: `/docker/${id}` })));
  for (let pass = 0; pass < 9; pass++) assert.deepEqual(await containers.refresh([]), { containers: [], without: [] });
  const { without } = await containers.refresh([]);
  assert.equal(without.length, 1);
  assert.match(without[0] ?? "", /^container abababababab: its root is \w+, not an overlay/);
});

test("more containers than can be watched are said", async () => {
  const containers = createContainerFiles();
  for (let each = 0; each < 1_030; each++)
    containers.notice(seen(aProcess(each + 2, { cgroup: `/docker/${each.toString(16).padStart(64, "0")}` })));
  const { without } = await containers.refresh([]);
  assert.deepEqual(without, ["of more than 1024 containers not all are watched"]);
});

test("the upper directory of a mount table", () => {
  const line = (options: string): string => `45 42 0:40 / / rw,relatime - overlay overlay ${options}`;
  assert.equal(upperOf(line("rw,lowerdir=/l/A:/l/B,upperdir=/d/x\\040y,workdir=/d/w")), "/d/x y");
  assert.equal(upperOf(`1 0 0:1 / / rw - ext4 /dev/a rw\n${line("rw,upperdir=/d/u")}`), "/d/u");
  assert.equal(upperOf(line("ro,lowerdir=/l/A:/l/B")), undefined);
  assert.throws(() => upperOf("1 0 0:1 / / rw - zfs pool rw"), /its root is zfs, not an overlay/);
  assert.throws(() => upperOf(""), /its root is not in its mount table/);
});
