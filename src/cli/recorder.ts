// The file of `rimon run --record`: whole lines, and where some are missing, one that says how many.

import { closeSync, fsyncSync, ftruncateSync, openSync, unlinkSync, writeSync } from "node:fs";
import { RimonError, reasonOf } from "../errors.ts";
import type { Observation, SelfTroubled } from "../observation.ts";
import { recordingHeader } from "../replay.ts";

export interface Recorder {
  /** Throws if the disk refuses; the file ends with a whole line all the same. */
  readonly write: (observation: Observation) => void;
  /** Throws if observations are missing at its end, or may be. */
  readonly close: () => void;
}

/** Makes the file, which must not be there. */
export function openRecorder(path: string, node: string): Recorder {
  let file: number;
  try {
    file = openSync(path, "wx", 0o600);
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", `--record wants a file that does not exist yet: ${reasonOf(thrown)}`, {
      cause: thrown,
    });
  }
  let size = 0;
  /** Observations since the last one that was written. */
  let lost = 0;

  function append(records: readonly object[]): void {
    const bytes = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(""));
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done, bytes.length - done, size + done);
    } catch (thrown) {
      // A disk that is nearly full takes a part.
      ftruncateSync(file, size);
      throw thrown;
    }
    size += bytes.length;
  }

  function gapAt(at: number): SelfTroubled[] {
    if (lost === 0) return [];
    const message = `${lost} observations before this are missing: the recording could not be written`;
    return [{ kind: "self.troubled", at, sensor: "rimon", part: "recording", message, recovered: false }];
  }

  try {
    append([recordingHeader(node)]);
  } catch (thrown) {
    closeSync(file);
    unlinkSync(path);
    throw new RimonError("RIMON_USAGE", `--record wants a file that can be written: ${reasonOf(thrown)}`, {
      cause: thrown,
    });
  }

  return {
    write(observation) {
      try {
        append([...gapAt(observation.at), observation]);
        lost = 0;
      } catch (thrown) {
        lost++;
        throw new Error(`${path} cannot be written: ${reasonOf(thrown)}`, { cause: thrown });
      }
    },
    close() {
      try {
        fsyncSync(file);
      } catch (thrown) {
        throw new Error(`the recording ${path} may not be on the disk: ${reasonOf(thrown)}`, { cause: thrown });
      } finally {
        closeSync(file);
      }
      if (lost > 0) throw new Error(`the recording ${path} lacks the last ${lost} observations`);
    },
  };
}
