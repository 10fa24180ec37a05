// Starts lookout.ts and asks it.

import { basename } from "node:path";
import { RimonError } from "../errors.ts";
import type { SensorStatus } from "../rimon.ts";
import type { LookoutAnswer, LookoutLine, LookoutQuestion, LookoutStart } from "./lookout.ts";
import { inMountsOf } from "./ground.ts";
import { Program, programArguments } from "./program.ts";
import type { Sighting } from "./technique.ts";

/** Of one line: more than the longest path makes, with the reasons of every sensor. */
const MAX_LINE_BYTES = 256 * 1024;
/** Characters of a line that makes no sense. */
const SHOWN = 200;
const ENDS_WITHIN_MS = 20_000;

export interface LookoutOptions extends LookoutStart {
  /** `at`: CLOCK_MONOTONIC in ns, when the finding was made. */
  readonly onSighting: (sighting: Sighting, at: bigint) => void;
  /** It failed, or is gone, and nobody has stopped it. */
  readonly onLost: (reason: Error) => void;
}

export interface Lookout {
  /** When its sensors were started, CLOCK_MONOTONIC in ns, once each is attached or has said why not. */
  readonly ready: Promise<bigint>;
  /** As they were told last. */
  sensors(): readonly SensorStatus[];
  /** One question at a time; of one that is lost there comes no answer. */
  ask(question: LookoutQuestion): Promise<LookoutAnswer>;
  /** Rejects if it does not end as it should, and then it is killed. */
  stop(): Promise<void>;
}

/** Its monitor is a child of this process and ends with it. */
export function startLookout({ onSighting, onLost, ...start }: LookoutOptions): Lookout {
  let sensors: readonly SensorStatus[] = [];
  let stopping = false;
  let failure: Error | undefined;
  let begun: (startedAt: bigint) => void = () => {};
  let answered: (answer: LookoutAnswer) => void = () => {};
  const ready = new Promise<bigint>((resolve) => (begun = resolve));

  function lose(reason: Error): void {
    failure ??= reason;
    if (!stopping) onLost(failure);
  }

  function hear(line: LookoutLine): void {
    switch (line.type) {
      case "sighting":
        return onSighting(line.sighting, BigInt(line.at));
      case "sensor":
        sensors = sensors.map((sensor) => (sensor.name === line.name ? changed(sensor, line) : sensor));
        return;
      case "ready":
        ({ sensors } = line);
        return begun(BigInt(line.startedAt));
      case "answer":
        return answered(line.answer);
      case "failed":
        return lose(line.code === undefined ? new Error(line.error) : new RimonError(line.code, line.error));
    }
  }

  const command = [process.execPath, ...programArguments("lookout")] as const;
  // Where the tmpfs is mounted that the exec gate is to mark.
  const holder = start.known.programs?.holder;
  const [path, args] = holder === undefined ? [command[0], command.slice(1)] : inMountsOf(holder, command);
  const program = new Program(
    path,
    args,
    {},
    {
      name: basename(process.execPath),
      maxLineBytes: MAX_LINE_BYTES,
      onLine(line) {
        try {
          hear(JSON.parse(line) as LookoutLine);
        } catch (thrown) {
          lose(
            new Error(`expected a line of JSON from the drill's monitor, got ${line.slice(0, SHOWN)}`, {
              cause: thrown,
            }),
          );
        }
      },
    },
  );
  void program.exited.then(() => lose(new Error(`the drill's monitor is gone: ${program.ended}`)));
  program.tell(start);

  return {
    ready,
    sensors: () => sensors,
    ask(question) {
      const answer = new Promise<LookoutAnswer>((resolve) => (answered = resolve));
      program.tell(question);
      return answer;
    },
    async stop() {
      const lost = failure !== undefined;
      stopping = true;
      const code = await program.close(ENDS_WITHIN_MS);
      if (!lost && code !== 0) throw failure ?? new Error(`the drill's monitor did not end well: ${program.ended}`);
    },
  };
}

/** The reason goes with the state that it was given for. */
function changed(
  { name, sees, needs }: SensorStatus,
  { state, reason }: Pick<SensorStatus, "state" | "reason">,
): SensorStatus {
  return { name, state, ...(reason === undefined ? {} : { reason }), sees, needs };
}
