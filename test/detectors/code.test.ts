// The rules about code that does not belong into a protected process: library-preloaded, maps-changed.

import { libraryPreloaded } from "../../src/detectors/library-preloaded.ts";
import { mapsChanged } from "../../src/detectors/maps-changed.ts";
import { aProcess, AT, executable, mapped, mapping, posture, seen, setting } from "./observations.ts";
import { check } from "./table.ts";

const VAULT = seen(aProcess(41, executable("/usr/bin/vault", 3)));
const SYSTEMD = seen(aProcess(1, { comm: "systemd", parentPid: 0 }));
const NGINX = seen(aProcess(50, { comm: "nginx" }));
const EVIL = { name: "LD_PRELOAD", paths: ["/tmp/a.so"] };
const PRELOAD = "/etc/ld.so.preload";

check(libraryPreloaded, [
  {
    when: "LD_PRELOAD at exec",
    observed: [SYSTEMD, VAULT, posture(41, { loader: [{ name: "LD_PRELOAD", paths: ["/tmp/a.so", "/b.so"] }] })],
    says: "high: vault (41, root) was started with LD_PRELOAD=/tmp/a.so:/b.so by systemd (1, root)",
    technique: "ld-preload",
    target: 41,
  },
  {
    when: "LD_AUDIT, its parent gone",
    observed: [VAULT, posture(41, { loader: [{ name: "LD_AUDIT", paths: ["/tmp/a.so"] }] })],
    says: "high: vault (41, root) was started with LD_AUDIT=/tmp/a.so by process 1 (gone before it could be read)",
    technique: "ld-audit",
    target: 41,
  },
  {
    when: "one allowed, one not",
    observed: [
      SYSTEMD,
      VAULT,
      posture(41, { loader: [{ name: "LD_PRELOAD", paths: ["/opt/shims/x.so", "/opt/shim.so", "/c.so"] }] }),
    ],
    allow: ["/opt/shims/", "/opt/shim.so"],
    says: "high: vault (41, root) was started with LD_PRELOAD=/c.so by systemd (1, root)",
    target: 41,
  },
  {
    when: "all of them are allowed",
    observed: [VAULT, posture(41, { loader: [{ name: "LD_PRELOAD", paths: ["/opt/shims/x.so"] }] })],
    allow: ["/opt/shims/"],
    says: undefined,
  },
  {
    when: "a folder is allowed only as a folder",
    observed: [SYSTEMD, VAULT, posture(41, { loader: [{ name: "LD_PRELOAD", paths: ["/opt/shims/x.so"] }] })],
    allow: ["/opt/shims"],
    says: "high: vault (41, root) was started with LD_PRELOAD=/opt/shims/x.so by systemd (1, root)",
    target: 41,
  },
  { when: "nothing was preloaded", observed: [VAULT, posture(41, { loader: [] })], says: undefined },
  { when: "the environment could not be read", observed: [VAULT, posture(41, {})], says: undefined },
  {
    when: "the kernel had read it at exec, and it was erased before /proc was read",
    observed: [SYSTEMD, VAULT, posture(41, { loader: [EVIL] }), posture(41, { loader: [] })],
    says: "high: vault (41, root) was started with LD_PRELOAD=/tmp/a.so by systemd (1, root)",
    technique: "ld-preload",
    target: 41,
  },
  {
    when: "of what is told already limits are read again",
    observed: [SYSTEMD, VAULT, posture(41, { loader: [EVIL] }), posture(41, { coredumpFilter: 1 })],
    says: undefined,
  },
  {
    when: "it was the program that ran there before",
    observed: [VAULT, posture(41, { loader: [EVIL] }), { ...VAULT, by: "exec" }, posture(41, { loader: [] })],
    says: undefined,
  },
  {
    when: "the environment is too long to be looked through",
    observed: [SYSTEMD, VAULT, posture(41, { loader: [], loaderCut: true })],
    says: "high: vault (41, root) was started by systemd (1, root) with an environment that could not be looked through to its end for LD_PRELOAD and LD_AUDIT",
    technique: "environment-cut",
    target: 41,
  },
  {
    when: "it is, and what was found is allowed",
    observed: [SYSTEMD, VAULT, posture(41, { loader: [EVIL], loaderCut: true })],
    allow: ["/tmp/a.so"],
    says: "high: vault (41, root) was started by systemd (1, root) with an environment that could not be looked through to its end for LD_PRELOAD and LD_AUDIT",
    technique: "environment-cut",
    target: 41,
  },
  {
    when: "it is, and something is found",
    observed: [SYSTEMD, VAULT, posture(41, { loader: [EVIL], loaderCut: true })],
    says: "high: vault (41, root) was started with LD_PRELOAD=/tmp/a.so by systemd (1, root)",
    technique: "ld-preload",
    target: 41,
  },
  {
    when: "nobody protects a process with too long an environment",
    observed: [NGINX, posture(50, { loader: [], loaderCut: true })],
    says: undefined,
  },
  { when: "LD_LIBRARY_PATH alone", observed: [VAULT, posture(41, { loader: [], libraryPath: true })], says: undefined },
  {
    when: "code of an odd place, and LD_LIBRARY_PATH",
    observed: [VAULT, posture(41, { loader: [], libraryPath: true }), mapped(41, [mapping("/tmp/a.so")])],
    says: "high: vault (41, root) runs code from /tmp/a.so; it was started with LD_LIBRARY_PATH",
    technique: "unusual-library",
    target: 41,
  },
  {
    when: "a process that nobody protects",
    observed: [NGINX, posture(50, { loader: [{ name: "LD_PRELOAD", paths: ["/tmp/a.so"] }] })],
    says: undefined,
  },
  {
    when: "/etc/ld.so.preload names libraries",
    observed: [setting(PRELOAD, "/a.so /b.so # why\n# /c.so\n\t/d.so:/e.so")],
    says: "high: /etc/ld.so.preload loads /a.so, /b.so, /d.so, /e.so into every program that starts",
    technique: "ld-so-preload",
    everyTenant: true,
  },
  { when: "/etc/ld.so.preload is not there", observed: [setting(PRELOAD, undefined)], says: undefined },
  { when: "/etc/ld.so.preload holds a comment", observed: [setting(PRELOAD, "# none\n\n")], says: undefined },
  {
    when: "/etc/ld.so.preload names what is allowed",
    observed: [setting(PRELOAD, "/usr/lib/jemalloc.so")],
    allow: ["/usr/lib/jemalloc.so"],
    says: undefined,
  },
  ...["/tmp/x.so", "/dev/shm/x.so", "/home/eve/x.so", "/memfd:x (deleted)", "/var/tmp/x"].map((path) => ({
    when: `code from ${path}`,
    observed: [VAULT, mapped(41, [mapping("/usr/lib/libc.so.6"), mapping(path), mapping(path)])],
    says: `high: vault (41, root) runs code from ${path}`,
    technique: "unusual-library",
    target: 41,
  })),
  {
    when: "the program itself lies in /tmp",
    observed: [
      seen(aProcess(41, executable("/tmp/vault", 3))),
      mapped(41, [mapping("/tmp/vault", { file: { dev: 8, inode: 3 } })]),
    ],
    says: undefined,
  },
  {
    when: "what the program's file is is not known",
    observed: [seen(aProcess(41)), mapped(41, [mapping("/tmp/vault", { file: { dev: 8, inode: 3 } })])],
    says: "high: vault (41, root) runs code from /tmp/vault",
    target: 41,
  },
  { when: "libraries of the system", observed: [VAULT, mapped(41, [mapping("/usr/lib/libc.so.6")])], says: undefined },
  { when: "code of nobody's", observed: [NGINX, mapped(50, [mapping("/tmp/x.so")])], says: undefined },
]);

const LIBC = mapping("/usr/lib/libc.so.6");
const ANON = mapping("", { start: "7f00aa000000", end: "7f00aa001000" });
/** Long after the start, when an address space does not change by itself any more. */
const LATER = AT + 60_000;
const settled = (exe = "/usr/bin/vault") => [seen(aProcess(41, executable(exe, 3))), mapped(41, [LIBC], AT)];

check(mapsChanged, [
  {
    when: "anonymous code",
    observed: [...settled(), mapped(41, [LIBC, ANON], LATER)],
    says: "medium: vault (41, root) has new code: anonymous memory 7f00aa000000-7f00aa001000 (r-xp)",
    technique: "anonymous-code",
    target: 41,
  },
  {
    when: "a page that is writable and executable",
    observed: [...settled(), mapped(41, [{ ...LIBC, permissions: "rwxp" }], LATER)],
    says: "medium: vault (41, root) has new code: /usr/lib/libc.so.6 is writable and executable (rwxp)",
    technique: "writable-code",
    target: 41,
  },
  {
    when: "a library whose file was replaced",
    observed: [...settled(), mapped(41, [LIBC, mapping("/usr/lib/x.so (deleted)")], LATER)],
    says: "medium: vault (41, root) has new code: /usr/lib/x.so (deleted): its file was replaced or removed",
    technique: "late-library",
    target: 41,
  },
  {
    when: "a system library comes late",
    observed: [...settled(), mapped(41, [LIBC, mapping("/usr/lib/nss.so")], LATER)],
    says: "low: vault (41, root) has new code: /usr/lib/nss.so (r-xp)",
    technique: "late-library",
    target: 41,
  },
  {
    when: "more than three",
    observed: [...settled(), mapped(41, [LIBC, ...["/a", "/bb", "/ccc", "/dddd"].map((path) => mapping(path))], LATER)],
    says: "medium: vault (41, root) has new code: /a (r-xp); /bb (r-xp); /ccc (r-xp); and 1 more",
    target: 41,
  },
  {
    when: "the same library a second time",
    observed: [...settled(), mapped(41, [LIBC, { ...LIBC, start: "1000", end: "2000" }], LATER)],
    says: "low: vault (41, root) has new code: /usr/lib/libc.so.6 (r-xp)",
    target: 41,
  },
  {
    when: "what is writable and executable was there before",
    observed: [VAULT, mapped(41, [LIBC, ANON, { ...ANON, permissions: "rwxp" }], LATER)],
    says: "medium: vault (41, root) has code: anonymous memory 7f00aa000000-7f00aa001000 is writable and executable (rwxp)",
    technique: "writable-code",
    target: 41,
  },
  {
    when: "or comes while it settles",
    observed: [...settled(), mapped(41, [LIBC, { ...ANON, permissions: "rwxp" }], AT + 1)],
    says: "medium: vault (41, root) has new code: anonymous memory 7f00aa000000-7f00aa001000 is writable and executable (rwxp)",
    technique: "writable-code",
    target: 41,
  },
  {
    when: "node had compiled before",
    observed: [
      seen(aProcess(41, executable("/usr/local/bin/node", 3))),
      mapped(41, [LIBC, { ...ANON, permissions: "rwxp" }], LATER),
    ],
    says: undefined,
  },
  { when: "it settles", observed: [...settled(), mapped(41, [LIBC, ANON], AT + 2_999)], says: undefined },
  { when: "the first view", observed: [VAULT, mapped(41, [ANON], LATER)], says: undefined },
  { when: "something went away", observed: [...settled(), mapped(41, [], LATER)], says: undefined },
  {
    when: "a library moved, which only exec could do",
    observed: [...settled(), mapped(41, [{ ...LIBC, start: "7f1100000000", end: "7f1100001000" }], LATER)],
    says: undefined,
  },
  {
    when: "the kernel's own pages",
    observed: [...settled(), mapped(41, [LIBC, mapping("[uprobes]"), mapping("[vdso]")], LATER)],
    says: undefined,
  },
  {
    when: "node compiles",
    observed: [...settled("/usr/local/bin/node"), mapped(41, [LIBC, ANON], LATER)],
    says: undefined,
  },
  {
    when: "node loads a file late, though",
    observed: [...settled("/usr/local/bin/node"), mapped(41, [LIBC, ANON, mapping("/tmp/x.node")], LATER)],
    says: "medium: vault (41, root) has new code: /tmp/x.node (r-xp)",
    target: 41,
  },
  {
    when: "a program that is allowed to compile",
    observed: [...settled("/opt/jit"), mapped(41, [LIBC, ANON], LATER)],
    allow: ["/opt/jit"],
    says: undefined,
  },
  {
    when: "what program it is is not known",
    observed: [seen(aProcess(41)), mapped(41, [LIBC], AT), mapped(41, [LIBC, ANON], LATER)],
    allow: ["/opt/jit"],
    says: "medium: vault (41, root) has new code: anonymous memory 7f00aa000000-7f00aa001000 (r-xp)",
    target: 41,
  },
  {
    when: "a process that nobody protects",
    observed: [NGINX, mapped(50, [LIBC], AT), mapped(50, [LIBC, ANON], LATER)],
    says: undefined,
  },
]);
