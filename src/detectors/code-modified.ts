import type { Severity } from "../finding.ts";
import type { CodeChange, ObservationOf } from "../observation.ts";
import { classifyPatch, type Patch, type PatchTechnique } from "./code-patches.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";

const SHOWN_CHANGES = 3;
const SHOWN_BYTES = 16;
/** What a page with several changes is called by. */
const GRAVEST: readonly PatchTechnique[] = ["detour", "patch", "breakpoint", "bit-flip"];

export const codeModified: Detector = {
  rule: "code-modified",
  severity: "critical",
  summary: "Code of a protected process is not what its file says.",
  guide: {
    means:
      "A page of code of the process no longer comes from its file: it was written to. The finding names the function, the bytes that are there and those of the file. Whoever changes the code decides what the process does, and sees what passes through it.",
    fires:
      "A pass found an executable page of a private file mapping that is an anonymous copy, and compared it with the file. Techniques: breakpoint (int3 or brk, as debuggers and uprobes write it; nobody need be tracing), detour (a jump or call elsewhere), bit-flip (exactly one bit), patch (anything else), restored (the page is a copy and its bytes are the file's again: it was changed and put back, perhaps before rimon started; high, since what was done can only be guessed). A page that could not be compared is high as well. Code that was changed and whose page was given back between two passes is not seen, nor is a file changed on disk.",
    attacker:
      "Writes through ptrace, /proc/PID/mem or process_vm_writev after an mprotect, attaches a uprobe to a library (bpftrace, eCapture), or does it from inside with injected code: a jump at the beginning of a decrypt function hands every plaintext on; one reversed condition makes every signature valid.",
    todo: "Capture, then treat the keys as known and restart the process: the file on disk is good unless file integrity says otherwise. A breakpoint or uprobe in a library that many processes map: look for the tracer (bpftool link, perf, /sys/kernel/tracing/uprobe_events). One bit that nobody had a reason to change: test the memory of the node.",
    harmless:
      "Debugging and uprobe-based observability (Parca, Pixie, Beyla) that you know of, and user-space live patching (libpulp, Ksplice): add an exception for the target, or list the patched file under rules.code-modified.allow. A debugger that was there before rimon leaves restored pages until the process restarts.",
    attack: [
      { id: "T1055.008", name: "Process Injection: Ptrace System Calls" },
      { id: "T1055.009", name: "Process Injection: Proc Memory" },
      { id: "T1056.004", name: "Input Capture: Credential API Hooking" },
    ],
  },
  detect(observation, state, options) {
    if (observation.kind !== "code-page.seen") return;
    const { pid, startTime, path, changes } = observation;
    if (!state.isProtected(pid, startTime) || options.allow.includes(path.replace(/ \(deleted\)$/, ""))) return;
    const { machine } = observation;
    const patches = (changes ?? []).map((change) => classifyPatch(change, machine));
    const techniques = patches.map(({ technique }) => technique);
    const severity: Severity = patches.length === 0 ? "high" : this.severity;
    return {
      rule: this.rule,
      severity,
      technique: changes === undefined ? "patch" : (GRAVEST.find((each) => techniques.includes(each)) ?? "restored"),
      operation: changes?.length === 0 ? "restore" : "write",
      target: subjectOf(state, pid, startTime),
      subject: `${path} ${(changes ?? []).map(placeOf).join(" ") || pageOf(observation)}`,
      message: `${nameOf(state, pid, startTime)}: ${describe(observation, patches)}`,
      evidence: [observation],
    };
  },
};

function describe(observation: ObservationOf<"code-page.seen">, patches: readonly Patch[]): string {
  const { path, changes } = observation;
  const page = `the page at ${pageOf(observation)} is a copy`;
  if (changes === undefined) return `code of ${path} was written to: ${page} that could not be compared with the file`;
  if (changes.length === 0) return `code of ${path} was changed and put back: ${page} whose bytes are the file's`;
  const told = changes.slice(0, SHOWN_CHANGES).map((change, index) => {
    const { length, found, expected } = change;
    const says = patches[index]?.says;
    const where = index === 0 ? ` in ${path} differ${length === 1 ? "s" : ""} from the file` : "";
    return `${length} byte${length === 1 ? "" : "s"} of ${placeOf(change)}${where}: found ${spaced(found)}, expected ${spaced(expected)}${says === undefined ? "" : ` (${says})`}`;
  });
  const more = changes.length - told.length;
  return `${told.join("; ")}${more > 0 ? `; and ${more} more` : ""}`;
}

function placeOf({ place, offset }: CodeChange): string {
  return place === undefined ? `offset ${hexadecimal(offset)}` : `${place.name}+${hexadecimal(place.offset)}`;
}

/** Of the page, in the file. */
function pageOf({ offset }: ObservationOf<"code-page.seen">): string {
  return `offset ${hexadecimal(offset)}`;
}

function hexadecimal(value: number): string {
  return `0x${value.toString(16)}`;
}

/** "e90000" as "e9 00 00", cut with "..". */
function spaced(hex: string): string {
  const bytes = hex.match(/../g) ?? [];
  return `${bytes.slice(0, SHOWN_BYTES).join(" ")}${bytes.length > SHOWN_BYTES ? " .." : ""}`;
}
