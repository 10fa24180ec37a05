// What came of opening the sealed baseline that the configuration names.

import type { Opened } from "./seal.ts";

export interface RefusedBaseline {
  /** A SealCode, "no-key" or "unreadable". */
  readonly code: string;
  /** In one sentence. */
  readonly message: string;
}

export interface BaselineInUse {
  /** Undefined: there is none to be believed. */
  readonly opened?: Opened;
  /** Why the file that the configuration names is not what is used. */
  readonly refused?: RefusedBaseline;
  /** Why no copy could be kept: the next start will not know which counter was in force. */
  readonly notKept?: string;
}
