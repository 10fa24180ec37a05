// Program: a day's worth of checks of programs at work, each 30 s of the day:
//
//   node --import tsx test/quiet/day.ts [CHECKS [MILLISECONDS]]
//
// 2,880 checks at 1,000 ms if not given, which takes 48 minutes. Ends with 1 if there was anything that somebody is alerted of.

import { startBusyPrograms } from "./busy.ts";
import { runChecks } from "./checks.ts";

const [count = 2_880, everyMs = 1_000] = process.argv.slice(2).map(Number);
const EVERY = 120;

// What was started goes when this process exits.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const busy = await startBusyPrograms();
try {
  console.log(`at work: ${busy.programs.map(({ name, pid }) => `${name} (${pid})`).join(", ")}`);
  const began = process.cpuUsage();
  const { told, logged, kernel, looks, processes, troubles } = await runChecks(busy, {
    count,
    everyMs,
    onProgress(done, since) {
      for (const each of since) console.log(`check ${done}: ${each}`);
      if (done % EVERY === 0) console.log(`${done} checks`);
    },
  });
  const { user, system } = process.cpuUsage(began);
  console.log(`${count} checks, ${looks} of ${processes} processes, ${(user + system) / 1e6} s of CPU`);
  for (const each of kernel) console.log(`kernel: ${each}`);
  for (const each of troubles) console.log(`sensor: ${each}`);
  console.log(`${told.length} to be told, ${logged.length} for the log only`);
  process.exitCode = told.length === 0 ? 0 : 1;
} finally {
  await busy.stop();
}
