import { debuggerNamed, INTERPRETERS, REACHING_IMPORTS } from "../known-debuggers.ts";
import type { Process } from "../observation.ts";
import type { ExecutableKnown, State } from "../state.ts";
import { baseName, nameOf, subjectOf, type Detector } from "./detector.ts";

export const debuggerPresent: Detector = {
  rule: "debugger-present",
  severity: "high",
  summary: "A debugger, tracer or memory dumper runs on the node.",
  guide: {
    means: "A program made to look into other processes was started. It need not have touched a protected process yet.",
    fires:
      "At exec, or by a pass over the process table: the file is known by name (gdb, lldb, strace, ltrace, gcore, perf, bpftrace, frida, radare2, py-spy, ...), by strings in its own bytes whatever it is called, or by importing ptrace or process_vm_readv. An unknown program that only imports those is medium, unless its arguments name a protected process.",
    attacker: "Installs or copies in a debugger, often under another name, then attaches.",
    todo: "Ask who is debugging on this node and why. A production storage node has no reason to hold a debugger: uninstall it.",
    harmless:
      "Planned debugging. Add an exception with the executable's hash, a reason and an expiry, or set environment: development.",
    attack: [
      { id: "T1055.008", name: "Process Injection: Ptrace System Calls" },
      { id: "T1588.002", name: "Obtain Capabilities: Tool" },
    ],
  },
  detect(observation, state) {
    if (observation.kind === "process.seen") {
      const { process } = observation;
      return judgeProcess(process, state.executable(process.exeFile), state, observation);
    }
    if (observation.kind !== "executable.identified") return;
    let first: ReturnType<Detector["detect"]>;
    for (const { process } of state.processesOf(observation.file)) {
      const found = judgeProcess(process, state.executable(observation.file), state, observation);
      // Of several that run it, the one that is about to reach into a protected process is told.
      if (found?.target !== undefined) return found;
      first ??= found;
    }
    return first;
  },
};

function judgeProcess(
  process: Process,
  executable: ExecutableKnown | undefined,
  state: State,
  observation: Parameters<Detector["detect"]>[0],
): ReturnType<Detector["detect"]> {
  if (process.kernelThread) return;
  const how = recognise(process, executable);
  if (how === undefined) return;
  const target = protectedArgument(process, state);
  const who = nameOf(state, process.pid, process.startTime);
  return {
    rule: "debugger-present",
    ...(how.surely || target !== undefined ? {} : { severity: "medium" as const }),
    technique: "debugger",
    operation: "run",
    suspect: subjectOf(state, process.pid, process.startTime),
    ...(target === undefined ? {} : { target: subjectOf(state, target) }),
    message: `${who} ${how.says}${target === undefined ? "" : `, started with the pid of ${nameOf(state, target)}`}`,
    evidence: [observation],
  };
}

function recognise(
  process: Process,
  executable: ExecutableKnown | undefined,
): { says: string; surely: boolean } | undefined {
  const file = process.exe === undefined ? undefined : baseName(process.exe.replace(/ \(deleted\)$/, ""));
  const byName = file === undefined ? undefined : debuggerNamed(file);
  if (byName !== undefined) return { says: `is ${byName.name}`, surely: true };

  // "gcore" and the like are scripts: the file is the shell, the first argument is what runs.
  const script = process.cmdline?.[1];
  if (file !== undefined && script !== undefined && INTERPRETERS.includes(file.replace(/[\d.]+$/, ""))) {
    const scripted = debuggerNamed(baseName(script));
    if (scripted !== undefined && !script.startsWith("-")) return { says: `runs ${scripted.name}`, surely: true };
  }
  if (executable === undefined) return undefined;
  const [mark] = executable.traits.marks;
  if (mark !== undefined) return { says: `is ${mark} under the name ${file ?? process.comm}`, surely: true };
  const reaching = executable.traits.imports.filter((name) => REACHING_IMPORTS.includes(name));
  if (reaching.length > 0)
    return { says: `can reach into other processes: it imports ${reaching.join(", ")}`, surely: false };
  return undefined;
}

/** The protected process whose pid stands among the arguments, alone or as in --pid=1234. */
function protectedArgument(process: Process, state: State): number | undefined {
  for (const argument of process.cmdline?.slice(1) ?? []) {
    const digits = /^(?:--?[a-z]+=?|p)?(\d{1,7})$/.exec(argument)?.[1];
    if (digits !== undefined && state.isProtected(Number(digits)) && Number(digits) !== process.pid)
      return Number(digits);
  }
  return undefined;
}
