// What is not as it was, of any kind: one name for observation.ts.

import type { FileTouched, PackagesChanged } from "./file-touched.ts";
import type { IsolationChanged } from "./isolation-changed.ts";

export type ChangeObservation = IsolationChanged | FileTouched | PackagesChanged;
