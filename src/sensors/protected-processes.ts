// Tells the kernel who is protected, what of it is refused and to which executables it is not, and keeps it told: the
// programs of native/bpf/ follow fork, exec and exit by themselves, and this follows what the configuration means. One
// place tells all of them.

import type { Exempt } from "../configuration.ts";
import type { Watch } from "../native.ts";
import type { Observation } from "../observation.ts";
import { ACCESS_REFUSED, MEMORY_OPERATION } from "../record.ts";
import type { SensorContext } from "./sensor.ts";
import { createSpared } from "./spared.ts";

/** Reading and writing, and nothing that ps, top or systemd do all day. */
const OPERATIONS: Readonly<Record<string, readonly (keyof typeof MEMORY_OPERATION)[]>> = {
  "memory-read": ["vm-read", "vm-write", "peek", "poke", "mem-read", "mem-write", "bpf"],
};

/** Refused before it is begun, where the kernel lets itself be asked. */
const ACCESS: Readonly<Record<string, bigint>> = ACCESS_REFUSED;

/** Of a child that was forked and not read yet. */
const UNREAD = -1;

interface Told {
  readonly startTime: number;
  readonly refused: bigint;
}

export interface ProtectedProcesses {
  notice(observation: Observation): void;
  /** Compares everything, and switches on or off what is refused and whether system calls are looked at. */
  pass(): Promise<void>;
}

export function createProtectedProcesses(context: SensorContext, watch: Watch): ProtectedProcesses {
  const told = new Map<number, Told>();
  const spared = createSpared();
  const { memory, access, calls } = watch.status();
  let enforcing = false;
  let machine = false;
  let exempt = "";
  let sparing: Promise<unknown> = Promise.resolve();
  let listening = false;
  /** Whom the kernel side protected at the last pass, and nobody here knew of. */
  let strangers: ReadonlySet<number> = new Set();

  function refusedOn(pid: number): bigint {
    const rules = context.refusals(pid);
    const bits = [
      ...rules.flatMap((rule) => OPERATIONS[rule] ?? []).map((operation) => 1n << BigInt(MEMORY_OPERATION[operation])),
      ...rules.map((rule) => ACCESS[rule] ?? 0n),
    ];
    return bits.reduce((all, bit) => all | bit, 0n);
  }

  function protect(targets: ReadonlyMap<number, Told>): void {
    if (targets.size === 0) return;
    const numbers = [...targets].flatMap(([pid, { startTime, refused }]) => [BigInt(pid), BigInt(startTime), refused]);
    watch.protect(BigUint64Array.from(numbers));
    for (const [pid, target] of targets) told.set(pid, target);
    // At once, also for whoever is found between two passes.
    if (!enforcing && [...targets.values()].some(({ refused }) => refused !== 0n)) enforce(true);
    if (!listening) listen();
  }

  function unprotect(pid: number): void {
    if (told.delete(pid)) watch.unprotect(pid);
  }

  /** For rimon alone the node is not made to pay: that it is traced is seen without. */
  function listen(): void {
    const wanted = told.size > (told.has(process.pid) ? 1 : 0);
    if (wanted === listening || !calls.live) return;
    watch.listen(wanted);
    listening = wanted;
  }

  function enforce(wanted: boolean): void {
    if (!memory.live && !access.live) return;
    if (wanted !== enforcing || machine !== refusesMachine()) {
      machine = refusesMachine();
      watch.enforce(wanted, context.refusedFamily, machine);
    }
    enforcing = wanted;
    watch.beat();
  }

  function follow(pid: number, startTime: number): void {
    if (!context.isProtected(pid)) return unprotect(pid);
    const known = told.get(pid);
    const refused = refusedOn(pid);
    if (known?.startTime === startTime && known.refused === refused) return;
    protect(new Map([[pid, { startTime, refused }]]));
  }

  /**
   * The kernel spares an executable everything or nothing: so whoever is excepted from every rule that is refused, though
   * no process may be there yet on which it is. The first that comes is protected at once.
   */
  function exemptFromAll(): readonly Exempt[] {
    const rules = new Set(context.refusedRules());
    // What is refused of the machine is told by this rule.
    if (refusesMachine()) rules.add("memory-read");
    const [first = [], ...others] = [...rules].map((rule) => context.exemptions(rule));
    return first.filter(({ exe, sha256 }) =>
      others.every((exemptions) => exemptions.some((other) => other.exe === exe && other.sha256 === sha256)),
    );
  }

  function spare(): Promise<void> {
    const done = sparing.then(async () => {
      const files = await spared.files(exemptFromAll());
      const wanted = files.join(" ");
      if (wanted === exempt) return;
      watch.exempt(files);
      exempt = wanted;
    });
    sparing = done.catch(() => undefined);
    return done;
  }

  /**
   * Lets go of whom nobody knows of at two passes running: what was forked by a process that was let go meanwhile, and who
   * had ended when it was protected. What was forked a moment ago will be told.
   */
  function release(kept: ReadonlySet<number>): void {
    const unknown = [...kept].filter((pid) => !told.has(pid));
    for (const pid of unknown) if (strangers.has(pid)) watch.unprotect(pid);
    strangers = new Set(unknown);
  }

  function refusesMachine(): boolean {
    return context.nodeRefusals().includes("machine-memory");
  }

  return {
    notice(observation) {
      spared.notice(observation);
      // Not only at the next pass: until then whoever is excepted would be refused. What fails is told by that.
      if (observation.kind === "executable.identified" && observation.sha256 !== undefined)
        void spare().catch(() => undefined);
      switch (observation.kind) {
        case "process.seen":
          return follow(observation.process.pid, observation.process.startTime);
        case "process.forked":
          // The kernel side has it from its parent already; what it is will be seen.
          if (told.has(observation.parentPid) && !told.has(observation.pid))
            told.set(observation.pid, { startTime: UNREAD, refused: 0n });
          return;
        case "process.exited":
          told.delete(observation.pid);
          return;
      }
    },
    async pass() {
      await spare();
      const kept = new Set(watch.protected());
      const all = context
        .protectedProcesses()
        .map(({ pid, startTime }) => [pid, { startTime, refused: refusedOn(pid) }] as const);
      protect(
        new Map(
          all.filter(([pid, { startTime, refused }]) => {
            const known = told.get(pid);
            return known?.startTime !== startTime || known.refused !== refused || !kept.has(pid);
          }),
        ),
      );
      const present = new Set(all.map(([pid]) => pid));
      for (const [pid, { startTime }] of told)
        if (!present.has(pid) && (startTime !== UNREAD || !kept.has(pid))) unprotect(pid);
      release(kept);
      enforce(refusesMachine() || all.some(([, { refused }]) => refused !== 0n));
      listen();
    },
  };
}
