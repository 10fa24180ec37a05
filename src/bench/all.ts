// The benches, in the order they run. To add one: its file, and a line here.

import { crypto } from "./crypto.ts";
import { files } from "./files.ts";
import { gate } from "./gate.ts";
import { latency } from "./latency.ts";
import { memoryScan } from "./memory-scan.ts";
import { overhead } from "./overhead.ts";
import { own } from "./own.ts";
import type { Bench } from "./result.ts";
import { scan } from "./scan.ts";
import { spine } from "./spine.ts";
import { storm } from "./storm.ts";

export const BENCHES: readonly Bench[] = [crypto, scan, spine, memoryScan, files, own, latency, gate, storm, overhead];
