// Reading a file that somebody names: no more of it than is wanted, and never one that holds us up.

import { constants } from "node:fs";
import { open } from "node:fs/promises";

/** A regular file, or its first bytes: one more than `max` if it has them, so that whoever parses it sees that. */
export async function readUpTo(max: number, file: string): Promise<{ bytes: Buffer; mode: number }> {
  // O_NONBLOCK: a FIFO must not hold us up.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new Error("it is not a regular file");
    const buffer = Buffer.alloc(Math.min(found.size, max + 1));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    return { bytes: buffer.subarray(0, bytesRead), mode: found.mode & 0o777 };
  } finally {
    await handle.close();
  }
}
