import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { debuggerPresent } from "../../src/detectors/debugger-present.ts";
import { aProcess, detect, executable, exited, identified, seen, told } from "./observations.ts";
import { check } from "./table.ts";

const VAULT = seen(aProcess(123));
const run = (exe: string, cmdline: readonly string[] = [], comm = "x") =>
  seen(aProcess(93, { comm, cmdline, ...executable(exe, 7) }), { by: "exec" });
const FILE = { dev: 8, inode: 7 };

check(debuggerPresent, [
  { when: "gdb by its name", observed: [run("/usr/bin/gdb")], says: "high: x (93, root) is gdb", suspect: 93 },
  {
    when: "a version of lldb, from anywhere",
    observed: [run("/opt/llvm/lldb-19")],
    says: "high: x (93, root) is lldb",
    suspect: 93,
  },
  {
    when: "its file was deleted behind it",
    observed: [run("/tmp/strace (deleted)")],
    says: "high: x (93, root) is strace",
    suspect: 93,
  },
  {
    when: "gcore, which bash runs",
    observed: [run("/usr/bin/bash", ["/bin/sh", "/usr/bin/gcore", "7"], "gcore")],
    says: "high: gcore (93, root) runs gcore",
    suspect: 93,
  },
  {
    when: "pyrasite, which a versioned python runs",
    observed: [run("/usr/bin/python3.11", ["python3", "/usr/local/bin/pyrasite-memory-viewer", "1"])],
    says: "high: x (93, root) runs pyrasite",
    suspect: 93,
  },
  {
    when: "a shell is given gdb as an option's value, not as a script",
    observed: [run("/usr/bin/bash", ["bash", "-c", "/usr/bin/gdb"])],
    says: undefined,
  },
  {
    when: "an editor opens a file called gdb",
    observed: [run("/usr/bin/vim", ["vim", "/usr/bin/gdb"])],
    says: undefined,
  },
  {
    when: "a mark in the bytes of a renamed file",
    observed: [run("/tmp/innocent"), identified(FILE, { imports: ["ptrace"], marks: ["gdb"] })],
    says: "high: x (93, root) is gdb under the name innocent",
    suspect: 93,
  },
  {
    when: "a mark known from an earlier run",
    observed: [identified(FILE, { marks: ["strace"] }), run("/tmp/innocent")],
    says: "high: x (93, root) is strace under the name innocent",
    suspect: 93,
  },
  {
    when: "the renamed tool is gone before its file was read",
    observed: [run("/tmp/innocent"), exited(93), identified(FILE, { imports: ["process_vm_readv"] })],
    says: "medium: x (93, root) can reach into other processes: it imports process_vm_readv",
    suspect: 93,
  },
  {
    when: "an unknown program imports ptrace",
    observed: [run("/tmp/own"), identified(FILE, { imports: ["ptrace", "process_vm_writev"] })],
    says: "medium: x (93, root) can reach into other processes: it imports ptrace, process_vm_writev",
    suspect: 93,
  },
  { when: "an ordinary program", observed: [run("/usr/bin/ls"), identified(FILE, {})], says: undefined },
  {
    when: "another file was identified",
    observed: [run("/tmp/own"), identified({ dev: 9, inode: 7 }, { marks: ["gdb"] })],
    says: undefined,
  },
  {
    when: "the file was written anew since it was identified",
    observed: [run("/tmp/own"), identified({ ...FILE, mtimeNs: "2" }, { marks: ["gdb"] })],
    says: undefined,
  },
  {
    when: "the file's identity is not known",
    observed: [seen(aProcess(93, { comm: "gdb" })), identified(FILE, { marks: ["gdb"] })],
    says: undefined,
  },
  {
    when: "only the comm says gdb, and any process may call itself so",
    observed: [seen(aProcess(93, { comm: "gdb" }))],
    says: undefined,
  },
  {
    when: "a kernel thread",
    observed: [seen(aProcess(93, { kernelThread: true, ...executable("/usr/bin/gdb", 7) }))],
    says: undefined,
  },
]);

describe("debugger-present and the pid of a protected process", () => {
  const high =
    "high: x (93, root) can reach into other processes: it imports ptrace, started with the pid of vault (123, root)";
  for (const given of [["-p", "123"], ["-p123"], ["--pid=123"], ["--pid", "123"], ["123"], ["-x", "p123"]]) {
    it(`fires high: ${given.join(" ")}`, () => {
      const observed = [VAULT, run("/tmp/own", ["own", ...given]), identified(FILE, { imports: ["ptrace"] })];
      assert.equal(told(debuggerPresent, observed), high);
      assert.equal(detect(debuggerPresent, observed)?.target?.pid, 123);
    });
  }

  for (const given of [["124"], ["-p", "1234"], ["v123"], ["1.123"], ["/proc/0123x"], ["123456789"], [""]]) {
    it(`stays medium: ${given.join(" ")}`, () => {
      const observed = [VAULT, run("/tmp/own", ["own", ...given]), identified(FILE, { imports: ["ptrace"] })];
      assert.equal(
        told(debuggerPresent, observed),
        "medium: x (93, root) can reach into other processes: it imports ptrace",
      );
    });
  }

  it("stays medium while the arguments are not known", () => {
    const own = seen(aProcess(93, { comm: "x", ...executable("/tmp/own", 7) }));
    const found = detect(debuggerPresent, [VAULT, own, identified(FILE, { imports: ["ptrace"] })]);
    assert.equal(found?.severity, "medium");
    assert.equal(found.target, undefined);
  });

  it("names a known debugger's victim as well", () => {
    assert.equal(
      told(debuggerPresent, [VAULT, run("/usr/bin/gdb", ["gdb", "-p", "123"], "gdb")]),
      "high: gdb (93, root) is gdb, started with the pid of vault (123, root)",
    );
  });

  it("tells of several that run the same file the one that was given a protected pid", () => {
    const decoy = seen(aProcess(92, { comm: "decoy", ...executable("/tmp/own", 7) }));
    const found = detect(debuggerPresent, [
      VAULT,
      decoy,
      run("/tmp/own", ["own", "123"]),
      identified(FILE, { marks: ["gdb"] }),
    ]);
    assert.equal(found?.suspect?.pid, 93);
  });
});
