// Programs that exist to look into other processes: the table behind debugger-present, in one file. `marks` are
// strings that stand in the program's own bytes whatever the file is called: each was looked up in the program that
// Debian 12 ships. Programs without one are known by name, and by what they import (REACHING_IMPORTS).

export interface KnownDebugger {
  readonly name: string;
  /** File names it is started by; a trailing * stands for a version or a variant. */
  readonly files: readonly string[];
  /** Strings in the program itself, whatever its file is called. */
  readonly marks?: readonly string[];
  /** Beginnings of the names of libraries only this program is linked to. */
  readonly needs?: readonly string[];
}

export const KNOWN_DEBUGGERS: readonly KnownDebugger[] = [
  { name: "gdb", files: ["gdb", "gdb-*", "cgdb", "gdbgui"], marks: ["GNU gdb %s%s"] },
  { name: "gdbserver", files: ["gdbserver"], marks: ["GNU gdbserver %s%s"] },
  { name: "gcore", files: ["gcore"] },
  { name: "lldb", files: ["lldb", "lldb-*", "debugserver"], needs: ["liblldb"] },
  { name: "strace", files: ["strace"], marks: ["https://strace.io"] },
  { name: "ltrace", files: ["ltrace"], marks: ["ltrace version "] },
  { name: "perf", files: ["perf", "perf_*", "perf-*"], marks: ["PERF_BUILDID_DIR"] },
  { name: "bpftrace", files: ["bpftrace"], marks: ["BPFTRACE_MAX_PROBES"] },
  { name: "rr", files: ["rr"], marks: ["_RR_TRACE_DIR"] },
  { name: "criu", files: ["criu"], marks: ["CRIU_CONFIG_FILE"] },
  { name: "delve", files: ["dlv"], marks: ["github.com/go-delve/delve"] },
  { name: "frida", files: ["frida", "frida-*"] },
  { name: "radare2", files: ["r2", "radare2"], needs: ["libr_debug"] },
  { name: "rizin", files: ["rizin"], needs: ["librz_debug"] },
  { name: "edb", files: ["edb"] },
  { name: "py-spy", files: ["py-spy"] },
  { name: "rbspy", files: ["rbspy"] },
  { name: "pyrasite", files: ["pyrasite", "pyrasite-*"] },
  { name: "SystemTap", files: ["stap", "staprun", "stapio"] },
  { name: "sysdig", files: ["sysdig", "csysdig"] },
  { name: "uftrace", files: ["uftrace"] },
  { name: "ecapture", files: ["ecapture"] },
  { name: "vgdb", files: ["vgdb"] },
  { name: "peekfd", files: ["peekfd"] },
  { name: "procdump", files: ["procdump"] },
  { name: "avml", files: ["avml"] },
  { name: "JDK memory tools", files: ["jmap", "jhsdb"] },
  { name: ".NET dump tools", files: ["dotnet-dump", "dotnet-gcdump", "createdump"] },
];

/** Imported functions that reach into another process. */
export const REACHING_IMPORTS: readonly string[] = ["ptrace", "process_vm_readv", "process_vm_writev"];

/** Programs that run scripts: what they were given is what counts. */
export const INTERPRETERS: readonly string[] = [
  "sh",
  "bash",
  "dash",
  "zsh",
  "ksh",
  "busybox",
  "perl",
  "ruby",
  "node",
  "python",
  "python2",
  "python3",
];

/** The debugger that is started by this file name. */
export function debuggerNamed(fileName: string): KnownDebugger | undefined {
  return KNOWN_DEBUGGERS.find(({ files }) =>
    files.some((file) => (file.endsWith("*") ? fileName.startsWith(file.slice(0, -1)) : fileName === file)),
  );
}
