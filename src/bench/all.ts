// The benches, in the order they run. To add one: its file, and a line here.

import { crypto } from "./crypto.ts";
import { scan } from "./scan.ts";
import type { Bench } from "./result.ts";

export const BENCHES: readonly Bench[] = [crypto, scan];
