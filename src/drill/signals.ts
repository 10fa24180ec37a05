import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Turns the signals that end a command into an abort, so that it can clean up first. */
export function abortOnSignals(): { readonly signal: AbortSignal; exitCode(): number; release(): void } {
  const controller = new AbortController();
  let code = 1;
  const handlers = SIGNALS.map((name) => {
    const handler = (): void => {
      code = 128 + constants.signals[name];
      controller.abort(new Error(`ended by ${name}`));
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  return {
    signal: controller.signal,
    exitCode: () => code,
    release() {
      for (const [name, handler] of handlers) process.off(name, handler);
    },
  };
}
