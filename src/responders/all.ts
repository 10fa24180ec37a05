// Every responder there is, in the order in which they act: evidence first, force last.

import type { Configuration } from "../configuration.ts";
import type { Verdict } from "../finding.ts";
import type { Addon } from "../native.ts";
import { createAlertResponder, type OpenOutbox } from "./alert.ts";
import { createCaptureResponder } from "./capture.ts";
import { createEvictResponder } from "./evict-tenant-keks.ts";
import type { KeyHistory } from "./key-history.ts";
import { ancestorsOf, createKillResponder, isKernelThread } from "./kill-suspect.ts";
import type { Responder } from "./responder.ts";
import { createRotateResponder } from "./rotate-master-key.ts";
import type { Output } from "./sinks/sink.ts";

export interface ResponderOptions {
  readonly configuration: Pick<Configuration, "alerts" | "tenants" | "actions">;
  /** Undefined: no process is signalled. */
  readonly addon: Pick<Addon, "signalProcess"> | undefined;
  readonly openOutbox: OpenOutbox;
  readonly stdout: Output;
  readonly isProtected: (pid: number, startTime: number) => boolean;
  readonly inScope: (verdict: Verdict) => boolean;
  /** Kept through reloads by whoever makes responders anew; empty by default. */
  readonly keyHistory?: KeyHistory;
  readonly now?: () => number;
}

/** The responders as the configuration wants them; a disabled one is there too, and refuses. */
export function createResponders(options: ResponderOptions): readonly Responder[] {
  const { now = Date.now } = options;
  const { alerts, tenants, actions } = options.configuration;
  const { clusterAdmins } = alerts;
  return [
    createAlertResponder({ clusterAdmins, tenants, openOutbox: options.openOutbox, stdout: options.stdout, now }),
    createCaptureResponder({ ...actions.capture, now }),
    createRotateResponder(actions["rotate-master-key"], now, undefined, options.keyHistory),
    createEvictResponder(actions["evict-tenant-keks"], now, undefined, options.keyHistory),
    createKillResponder({
      addon: options.addon,
      enabled: actions["kill-suspect"].enabled,
      isProtected: options.isProtected,
      inScope: options.inScope,
      ownPid: process.pid,
      ancestors: () => ancestorsOf(process.pid),
      isKernelThread,
      now,
    }),
  ];
}
