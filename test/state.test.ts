import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { State } from "../src/state.ts";
import {
  aProcess, AT, executable, exited, forked, identified, mapped, mapping, nodeWith, posture, seen, setting, tick, written,
} from "./detectors/observations.ts"; // prettier-ignore

const VAULT = aProcess(41, executable("/usr/bin/vault", 3));
const key = (pid: number) =>
  ({ kind: "key-file.held", at: AT, sensor: "s", pid, startTime: pid * 10, path: "/k" }) as const;
const pids = (state: State): number[] => [...state.protectedProcesses()].map(({ process }) => process.pid);

describe("a pass over /proc is older than what events said meanwhile", () => {
  it("does not bring the image from before an exec back", () => {
    const state = nodeWith([
      seen(VAULT),
      seen({ ...VAULT, comm: "new" }, { by: "exec", at: AT + 5 }),
      seen(VAULT, { at: AT + 4 }),
    ]);
    assert.equal(state.find(41)?.process.comm, "new");
  });

  it("does not bring an exited process back", () => {
    const state = nodeWith([seen(VAULT), exited(41, { at: AT + 5 }), seen(VAULT, { at: AT + 5 })]);
    assert.deepEqual([...state.processes()], []);
    assert.equal(state.find(41)?.exitedAt, AT + 5);
  });

  it("does bring back a process whose main thread ended and whose others live on", () => {
    const state = nodeWith([seen(VAULT), exited(41, { at: AT + 5 }), seen(VAULT, { at: AT + 6 })]);
    assert.deepEqual(pids(state), [41]);
  });

  it("does not put an earlier owner of a pid in a later one's place", () => {
    const state = nodeWith([
      seen({ ...VAULT, startTime: 999, comm: "later" }, { by: "exec" }),
      seen(VAULT, { at: AT + 9 }),
    ]);
    assert.equal(state.find(41)?.process.comm, "later");
  });
});

it("a zombie named in an act stays exited", () => {
  const state = nodeWith([seen(VAULT), exited(41), seen(VAULT, { by: "act", at: AT + 1 })]);
  assert.deepEqual([...state.processes()], []);
});

describe("a reused pid", () => {
  const state = nodeWith([seen(VAULT), key(41), seen({ ...VAULT, startTime: 999, comm: "other" }, { at: AT + 1 })]);

  it("is the new process", () => {
    assert.equal(state.find(41)?.process.comm, "other");
    assert.equal(state.find(41)?.holdsKeyFile, false);
    assert.deepEqual(pids(state), []);
  });

  it("leaves the old one to be found by its start time", () => {
    assert.equal(state.find(41, 410)?.process.comm, "vault");
    assert.equal(state.isProtected(41, 410), true);
    assert.equal(state.isProtected(41), false);
    assert.equal(state.find(41, 5), undefined);
  });

  it("an exit of the old one does not touch the new one", () => {
    state.apply(exited(41, { startTime: 410 }));
    assert.equal(state.find(41)?.exitedAt, undefined);
  });

  it("a fact about the old one does not stick to the new one", () => {
    state.apply(posture(41, { coredumpFilter: 1 }));
    assert.equal(state.find(41)?.posture, undefined);
  });

  it("each has its own parents", () => {
    const state = nodeWith([
      seen(aProcess(2, { comm: "a" })),
      seen(aProcess(3, { comm: "b" })),
      seen({ ...VAULT, parentPid: 2 }),
      seen({ ...VAULT, parentPid: 3, startTime: 999 }, { at: AT + 1 }),
    ]);
    assert.deepEqual(state.actor(41, 410)?.ancestry?.[0]?.comm, "a");
    assert.deepEqual(state.actor(41, 999)?.ancestry?.[0]?.comm, "b");
  });
});

describe("what the loader was told", () => {
  const told = { loader: [{ name: "LD_PRELOAD", paths: ["/a.so"] }], loaderCut: true, libraryPath: true } as const;

  it("is not undone by what the environment says later", () => {
    const known = nodeWith([seen(VAULT), posture(41, told), posture(41, { loader: [], procOwner: 0 })]).find(41);
    assert.deepEqual(known?.posture?.current, { ...told, procOwner: 0 });
  });

  it("is not undone by a reading without it", () => {
    const state = nodeWith([seen(VAULT), posture(41, told), posture(41, { procOwner: 0 }), posture(41, {})]);
    assert.deepEqual(state.find(41)?.posture?.current, told);
  });

  it("is what a later reading says where that says more", () => {
    const known = nodeWith([seen(VAULT), posture(41, { loader: [] }), posture(41, { loader: told.loader })]).find(41);
    assert.deepEqual(known?.posture?.current, { loader: told.loader });
  });
});

describe("an exec", () => {
  const facts = [posture(41, { coredumpFilter: 1 }), mapped(41, [mapping("/lib/a")]), key(41)];

  it("forgets posture, maps and key files", () => {
    const known = nodeWith([seen(VAULT), ...facts, seen(VAULT, { by: "exec" })]).find(41);
    assert.deepEqual([known?.posture, known?.maps, known?.holdsKeyFile], [undefined, undefined, false]);
  });

  it("is noticed by a pass, too, if the file differs", () => {
    const other = { ...VAULT, ...executable("/usr/bin/other", 4) };
    assert.equal(nodeWith([seen(VAULT), ...facts, seen(other)]).find(41)?.posture, undefined);
  });

  it("is not read into a pass that could not tell the file", () => {
    const { exeFile: _, ...unknown } = VAULT;
    const known = nodeWith([seen(VAULT), ...facts, seen(unknown)]).find(41);
    assert.equal(known?.posture?.current.coredumpFilter, 1);
    assert.equal(known.process.exeFile?.inode, 3);
  });

  it("can end protection and begin it", () => {
    assert.deepEqual(pids(nodeWith([seen(VAULT), seen({ ...VAULT, comm: "sh" }, { by: "exec" })])), []);
    assert.deepEqual(pids(nodeWith([seen({ ...VAULT, comm: "sh" }), seen(VAULT, { by: "exec" })])), [41]);
  });
});

it("a reading that asked for less leaves what is known", () => {
  const state = nodeWith([
    seen({ ...VAULT, cgroup: "/a" }),
    seen({ pid: 41, startTime: 410, parentPid: 7, comm: "vault", kernelThread: false }),
  ]);
  assert.deepEqual([state.find(41)?.process.cgroup, state.find(41)?.process.parentPid], ["/a", 7]);
});

describe("maps", () => {
  it("may grow for three seconds", () => {
    const [a, b, c] = ["/a", "/bb", "/ccc"].map((path) => mapping(path));
    const state = nodeWith([seen(VAULT), mapped(41, [a!]), mapped(41, [a!, b!], AT + 2_999)]);
    assert.deepEqual(state.find(41)?.maps?.added, []);
    state.apply(mapped(41, [a!, b!, c!], AT + 3_000));
    assert.deepEqual(state.find(41)?.maps?.added, [c]);
    assert.equal(state.find(41)?.maps?.since, AT);
  });
});

describe("maps of a child", () => {
  const page = { ...mapping(""), permissions: "rwxp" };

  it("that was forked has nothing its parent had not", () => {
    const state = nodeWith([
      seen(VAULT),
      mapped(41, [page]),
      seen(aProcess(42, { parentPid: 41 })),
      mapped(42, [page]),
    ]);
    assert.deepEqual(state.find(41)?.maps?.added, [page]);
    assert.deepEqual(state.find(42)?.maps?.added, []);
  });

  it("that ran a program of its own has all of it", () => {
    const state = nodeWith([
      seen(VAULT),
      mapped(41, [page]),
      seen(aProcess(42, { parentPid: 41 }), { by: "exec" }),
      mapped(42, [page]),
    ]);
    assert.deepEqual(state.find(42)?.maps?.added, [page]);
  });
});

describe("exited processes", () => {
  it("are remembered for a minute", () => {
    const state = nodeWith([seen(VAULT), exited(41), tick(AT + 59_999)]);
    assert.equal(state.find(41)?.process.comm, "vault");
    assert.equal(state.isProtected(41), true);
    state.apply(tick(AT + 60_000));
    assert.equal(state.find(41), undefined);
  });

  it("are at most 8192, the latest", () => {
    const state = nodeWith([]);
    for (let pid = 1; pid <= 8_193; pid++) {
      state.apply(seen(aProcess(pid)));
      state.apply(exited(pid));
    }
    assert.equal(state.find(1), undefined);
    assert.equal(state.find(2)?.process.pid, 2);
    assert.equal(state.find(8_193)?.process.pid, 8_193);
  });

  it("nobody knew are no trouble", () => {
    assert.equal(nodeWith([exited(9)]).find(9), undefined);
  });
});

describe("bounds", () => {
  it("at most 65536 forks are remembered", () => {
    const state = nodeWith([]);
    for (let pid = 1; pid <= 65_537; pid++) state.apply(forked(pid + 10, 5));
    assert.deepEqual(state.ancestry(11), []);
    assert.deepEqual(state.ancestry(12), [{ pid: 5, comm: "" }]);
  });

  it("at most 8192 executables are, the latest identified", () => {
    const state = nodeWith([]);
    const file = (inode: number) => ({ dev: 8, inode, size: 1, mtimeNs: "1" });
    for (let inode = 0; inode < 8_192; inode++) state.apply(identified(file(inode), {}));
    state.apply(identified(file(0), { marks: ["gdb"] }));
    state.apply(identified(file(9_999), {}));
    assert.deepEqual(state.executable(file(0))?.traits.marks, ["gdb"]);
    assert.equal(state.executable(file(1)), undefined);
  });

  it("at most 256 written sysctls are", () => {
    const state = nodeWith([]);
    for (let number = 0; number < 257; number++) state.apply(written(`a.${number}`, 9));
    assert.equal(state.lastWrite("a.0"), undefined);
    assert.deepEqual(state.lastWrite("a.256"), { pid: 9, at: AT });
  });
});

describe("ancestry", () => {
  const chain = (state: State, pid: number): string =>
    state.ancestry(pid).map(({ pid, comm }) => `${comm}${pid}`).join(" < "); // prettier-ignore

  it("is nearest first, up to pid 1", () => {
    const state = nodeWith([
      seen(aProcess(1, { comm: "init", parentPid: 0 })),
      seen(aProcess(7, { comm: "sshd" })),
      seen(aProcess(8, { comm: "bash", parentPid: 7 })),
      seen(aProcess(9, { parentPid: 8 })),
    ]);
    assert.equal(chain(state, 9), "bash8 < sshd7 < init1");
  });

  it("goes on behind a parent that has exited", () => {
    const state = nodeWith([seen(aProcess(7, { comm: "sshd" })), seen(aProcess(8, { parentPid: 7 })), exited(7)]);
    assert.equal(chain(state, 8), "sshd7 < 1");
  });

  it("goes by the fork where nothing else was seen", () => {
    assert.equal(chain(nodeWith([forked(8, 7), forked(9, 8)]), 9), "8 < 7");
  });

  it("ends at a parent nobody knows", () => {
    assert.equal(chain(nodeWith([seen(aProcess(9, { parentPid: 8 }))]), 9), "8");
  });

  it("does not take who came later with the parent's pid for the parent", () => {
    const state = nodeWith([seen(aProcess(9, { parentPid: 8 })), seen(aProcess(8, { startTime: 91, comm: "later" }))]);
    assert.equal(chain(state, 9), "8");
  });

  it("finds the parent behind the one that reused its pid", () => {
    const state = nodeWith([
      seen(aProcess(8, { comm: "bash" })),
      seen(aProcess(9, { parentPid: 8 })),
      exited(8),
      seen(aProcess(8, { startTime: 91, comm: "later" }), { at: AT + 1 }),
    ]);
    assert.equal(chain(state, 9), "bash8 < 1");
  });

  it("ends where it goes round", () => {
    const same = { startTime: 5 };
    const state = nodeWith([
      seen(aProcess(7, { ...same, parentPid: 8 })),
      seen(aProcess(8, { ...same, parentPid: 7 })),
      seen(aProcess(6, { parentPid: 6 })),
    ]);
    assert.equal(chain(state, 7), "vault8");
    assert.equal(chain(state, 6), "");
  });

  it("is at most 32 long", () => {
    const state = nodeWith(Array.from({ length: 50 }, (_, index) => forked(index + 2, index + 1)));
    assert.equal(state.ancestry(51).length, 32);
  });
});

describe("a child of a protected process, before it was read", () => {
  const OTHER = { ...aProcess(50, executable("/bin/other", 9)), comm: "other" };
  const state = (...more: Parameters<typeof nodeWith>[0]) => nodeWith([seen(VAULT), forked(50, 41), ...more]);

  it("is protected as its parent is, whatever its start time", () => {
    assert.ok(state().isProtected(50));
    assert.ok(state().isProtected(50, 777));
    const { pid, startTime, comm, ancestry } = state().actor(50, 777) ?? {};
    assert.deepEqual({ pid, startTime, comm }, { pid: 50, startTime: 777, comm: VAULT.comm });
    assert.equal(ancestry?.[0]?.pid, 41);
  });

  it("is what it is once it was read", () => {
    const read = state(seen(OTHER));
    assert.equal(read.isProtected(50), false);
  });

  it("is not enumerated, and is forgotten after a minute", () => {
    assert.deepEqual(pids(state()), [41]);
    assert.equal(state(tick(AT + 60_000)).isProtected(50), false);
  });

  it("is left as it is if a pass had read it before", () => {
    const read = nodeWith([seen(VAULT), seen(OTHER), forked(50, 41)]);
    assert.equal(read.isProtected(50), false);
  });

  it("of a process that is not protected is nobody", () => {
    assert.equal(nodeWith([seen(OTHER), forked(61, 50)]).find(61), undefined);
  });
});

describe("protection", () => {
  it("is judged anew for every process", () => {
    const state = nodeWith([seen(VAULT), seen(aProcess(50, { comm: "nginx" }))]);
    assert.deepEqual(pids(state), [41]);
    state.protectBy(({ comm }) => (comm === "nginx" ? "comm:nginx" : undefined));
    assert.deepEqual(pids(state), [50]);
    assert.equal(state.find(50)?.protectedBy, "comm:nginx");
    assert.equal(state.find(41)?.protectedBy, undefined);
  });

  it("may hang on a key file", () => {
    const state = new State((_, { holdsKeyFile }) => (holdsKeyFile ? "holder" : undefined));
    state.apply(seen(VAULT));
    assert.equal(state.isProtected(41), false);
    state.apply(key(41));
    assert.equal(state.isProtected(41), true);
  });

  it("is never that of a kernel thread", () => {
    assert.equal(nodeWith([seen({ ...VAULT, kernelThread: true })]).isProtected(41), false);
  });
});

it("a pid of another pid namespace is the innermost one", () => {
  const state = nodeWith([seen({ ...VAULT, pidNamespace: 77, namespacePids: [41, 5, 1] })]);
  assert.equal(state.findInNamespace(77, 1)?.process.pid, 41);
  assert.equal(state.findInNamespace(77, 5), undefined);
  assert.equal(state.findInNamespace(78, 1), undefined);
});

it("a setting knows the value before, and whether there was one", () => {
  const state = nodeWith([setting("kernel.core_pattern", undefined)]);
  assert.deepEqual(state.setting("kernel.core_pattern"), { value: undefined, previous: undefined, first: true });
  state.apply(setting("kernel.core_pattern", "core"));
  assert.deepEqual(state.setting("kernel.core_pattern"), { value: "core", previous: undefined, first: false });
});

it("an actor that nobody saw is named by what is known", () => {
  const state = nodeWith([seen({ ...VAULT, comm: "sh" }), forked(8, 41), forked(9, 8)]);
  const unread = { pid: 9, comm: "" };
  assert.deepEqual(
    state.actor(9).ancestry?.map(({ pid }) => pid),
    [8, 41, 1],
  );
  assert.deepEqual({ ...state.actor(9), ancestry: [] }, { ...unread, startTime: -1, ancestry: [] });
  assert.deepEqual({ ...state.actor(9, 5), ancestry: [] }, { ...unread, startTime: 5, ancestry: [] });
});

it("who runs a file is told of the living and of those that have just gone", () => {
  const state = nodeWith([seen(VAULT), seen({ ...VAULT, pid: 42 }), exited(42)]);
  assert.deepEqual(
    [...state.processesOf(VAULT.exeFile!)].map(({ process }) => process.pid),
    [41, 42],
  );
  assert.deepEqual([...state.processesOf({ ...VAULT.exeFile!, mtimeNs: "2" })], []);
});
