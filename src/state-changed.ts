// What should stay as it is and has not, or what says so and is not to be believed.

import type { BaselineRefused } from "./baseline-refused.ts";
import type { ExecJudged, GateGap } from "./exec-judged.ts";
import type { FileChanged } from "./file-changed.ts";
import type { FileTouched, PackagesChanged } from "./file-touched.ts";
import type { IsolationChanged } from "./isolation-changed.ts";

export type StateChanged =
  IsolationChanged | FileChanged | FileTouched | PackagesChanged | ExecJudged | GateGap | BaselineRefused;
