// One alert a line at the end of a file that only its owner reads. Opened anew for every alert, so that the file can be
// rotated away.

import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { RimonError, reasonOf } from "../../errors.ts";
import type { Sink } from "./sink.ts";

// Without O_NONBLOCK the opening of a fifo put in the file's place would wait for a reader.
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export function fileSink(name: string, path: string): Sink {
  return {
    name,
    async deliver(payload) {
      let file: FileHandle | undefined;
      try {
        file = await open(path, FLAGS, 0o600);
        const before = await file.stat();
        if (!before.isFile()) throw new Error("expected a regular file");
        const line = Buffer.from(`${payload}\n`);
        const { bytesWritten } = await file.write(line);
        if (bytesWritten < line.length) {
          // Half a line would swallow the next one.
          await file.truncate(before.size);
          throw new Error(`only ${bytesWritten} of ${line.length} bytes fitted`);
        }
        await file.datasync();
      } catch (thrown) {
        throw new RimonError("RIMON_ACTION", `the alert could not be appended to ${path}: ${reasonOf(thrown)}`);
      } finally {
        await file?.close();
      }
    },
  };
}
