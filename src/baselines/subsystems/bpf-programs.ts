import { counted, countedLinesOf, Malformed, type Subsystem } from "../subsystem.ts";

export interface LoadedProgram {
  /** A number of enum bpf_prog_type. */
  readonly type: number;
  readonly tag: string;
  readonly uid: number;
  readonly name: string;
}

/**
 * What a program of each type does, where it can watch or change what others do: linux/bpf.h. Those of cgroups and
 * sockets come and go with every service.
 */
const TYPES: ReadonlyMap<number, string> = new Map([
  [2, "kprobe"],
  [3, "sched_cls"],
  [4, "sched_act"],
  [5, "tracepoint"],
  [6, "xdp"],
  [7, "perf_event"],
  [17, "raw_tracepoint"],
  [22, "flow_dissector"],
  [24, "raw_tracepoint_writable"],
  [26, "tracing"],
  [27, "struct_ops"],
  [28, "ext"],
  [29, "lsm"],
  [30, "sk_lookup"],
  [32, "netfilter"],
]);
const LINE = /^(\d{1,3}) ([0-9a-f]{16}) (\d{1,10}) (.{0,15})$/;

/** The text "bpf". */
export function bpfText(programs: readonly LoadedProgram[]): string {
  return counted(
    programs.map(({ type, tag, uid, name }) => `${type} ${tag} ${uid} ${name.replace(/[\n\0]/g, "?")}`),
    "programs",
  );
}

export const bpfPrograms: Subsystem = {
  name: "bpf-programs",
  of: "kernel",
  sees: "the eBPF programs that are loaded, but for those of cgroups and sockets, by type, name and the tag of their instructions",
  texts: ["bpf"],
  facts({ bpf = "" }) {
    const facts: Record<string, string> = {};
    for (const [index, line] of countedLinesOf("bpf", bpf, "programs").entries()) {
      const [, type, tag, uid, name] = LINE.exec(line) ?? [];
      if (type === undefined) throw new Malformed("bpf", `line ${index + 1} is none that rimon writes`);
      const does = TYPES.get(Number(type));
      // The same program may be loaded many times, and how often changes by itself.
      if (does !== undefined) facts[`${does} ${name === "" ? "without a name" : name} ${tag}`] = `loaded by uid ${uid}`;
    }
    return facts;
  },
};
