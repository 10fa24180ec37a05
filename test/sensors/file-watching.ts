// The sensor of file events on the live kernel, with a state that knows who is who. Started as a program it prints what it
// tells, a line each, watches the folder that is its argument, and makes a pass at each line of its input.

import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { FileTouched } from "../../src/file-touched.ts";
import { verifyPackages } from "../../src/sensors/package-files.ts";
import type { WatchedFiles } from "../../src/sensors/file-events.ts";
import { createKernelEvents } from "../../src/sensors/kernel-events.ts";
import { State } from "../../src/state.ts";
import { createContext, type TestContext } from "./context.ts";

export interface Watching {
  readonly context: TestContext;
  readonly state: State;
  files: WatchedFiles | undefined;
  /** What was told of a path, by whom. */
  touches(path: string): FileTouched[];
  pass(): Promise<void>;
  stop(): Promise<void>;
}

export async function watchFiles(
  asked: (WatchedFiles & { readonly root?: string; readonly level?: number }) | undefined,
): Promise<Watching> {
  const state = new State(() => undefined);
  const context = createContext();
  const { emit } = context;
  Object.assign(context, {
    emit(observation: Parameters<typeof emit>[0]) {
      state.apply(observation);
      emit(observation);
      events.fileEvents.notice?.(observation);
    },
    lineage: (pid: number, startTime?: number) => state.lineage(pid, startTime),
  });
  const events = createKernelEvents(
    context,
    { connector: true, files: false, exec: true },
    () => [],
    () => {},
    () => watching.files,
    {
      verify: (database, paths) => verifyPackages(database, paths, asked?.root),
      ...(asked?.level === undefined ? {} : { level: asked.level }),
    },
  );
  const watching: Watching = {
    context,
    state,
    files: asked,
    touches: (path) => context.of("file.touched").filter((each) => each.path === path),
    async pass() {
      await events.fileEvents.pass?.(false);
      await events.fileEvents.settled?.();
    },
    async stop() {
      await events.fileEvents.stop();
      await events.connector.stop();
      context.close();
    },
  };
  await events.connector.start();
  await events.exec.start();
  await events.fileEvents.start();
  return watching;
}

async function main(folder: string): Promise<void> {
  const watching = await watchFiles({ roots: [folder], rules: [] });
  const told = watching.context.emit;
  watching.context.emit = (observation) => {
    told(observation);
    if (/^(?:file|sensor)\./.test(observation.kind)) console.log(JSON.stringify(observation));
  };
  console.log("watching");
  for await (const _line of createInterface({ input: process.stdin })) {
    await watching.pass();
    console.log("passed");
  }
  await watching.stop();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv[2] ?? "");
