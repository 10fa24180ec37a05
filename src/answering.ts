// From a verdict to its outcomes: the verdict is in the audit log before anything is done about it, each outcome after.
// Bounded: what cannot wait any more is counted and told.

import type { Configuration } from "./configuration.ts";
import { reasonOf } from "./errors.ts";
import type { Outcome, Verdict } from "./finding.ts";
import type { Addon } from "./native.ts";
import type { SelfTroubled } from "./observation.ts";
import { matches } from "./protection.ts";
import { createResponders, type ResponderOptions } from "./responders/all.ts";
import { createKeyHistory } from "./responders/key-history.ts";
import { outcomeOf, type Responder } from "./responders/responder.ts";
import { settledWithin } from "./responders/settled-within.ts";
import type { State } from "./state.ts";
import type { AuditLog } from "./store/audit-log.ts";
import { openSpool, type Spool } from "./store/spool.ts";
import type { Unfinished } from "./store/unfinished.ts";

/** Verdicts being carried out at once; further ones wait. */
const AT_ONCE = 16;
const MAX_WAITING = 10_000;
const CLOSE_GRACE_MS = 3_000;

export interface AnsweringOptions {
  readonly configuration: Configuration;
  readonly addon: Addon;
  readonly audit: AuditLog;
  readonly state: State;
  readonly stdout: ResponderOptions["stdout"];
  readonly now: () => number;
  readonly trouble: (part: SelfTroubled["part"], message: string, recovered: boolean) => void;
  readonly onVerdict: (verdict: Verdict) => void;
  readonly onOutcome: (outcome: Outcome) => void;
}

export interface Answering {
  answer(verdict: Verdict): void;
  /** Tells what an earlier run did not live to tell; whatever else it may have begun is not done twice. */
  resume(unfinished: readonly Unfinished[]): Promise<void>;
  /** Lets the sinks and drivers of the old configuration finish, then takes over the new ones. */
  reload(configuration: Configuration): Promise<void>;
  counts(): { readonly waiting: number; readonly refused: number };
  close(): Promise<void>;
}

interface Equipment {
  readonly spool: Spool;
  readonly responders: readonly Responder[];
}

export async function openAnswering(options: AnsweringOptions): Promise<Answering> {
  const { audit, now, trouble } = options;
  const waiting: Verdict[] = [];
  const underWay = new Set<Promise<void>>();
  const failing = new Set<string>();
  const keyHistory = createKeyHistory();
  let refused = 0;
  /** Refused since verdicts were last all carried out. */
  let refusedNow = 0;
  let halted = false;
  /** The end is near: what waits is logged and told, nothing else is begun. */
  let hurried = false;
  let equipment = await equip(options.configuration);
  let changing: Promise<void> = Promise.resolve();

  async function equip(configuration: Configuration): Promise<Equipment> {
    const spool = await openSpool({
      ...configuration.alerts.spool,
      now,
      onTrouble: (message, recovered) => trouble("spool", message, recovered),
    });
    const { scope } = configuration.actions["kill-suspect"];
    const responders = createResponders({
      configuration,
      addon: options.addon,
      openOutbox: ({ name, key }, deliver) => spool.outbox(name, deliver, { key }),
      stdout: options.stdout,
      isProtected: (pid, startTime) => options.state.isProtected(pid, startTime),
      inScope: ({ finding: { target } }) => {
        const process = target && options.state.find(target.pid, target.startTime)?.process;
        return process !== undefined && scope.some((selector) => matches(selector, process));
      },
      keyHistory,
      now,
    });
    await spool.tellAbandoned();
    return { spool, responders };
  }

  /** Lets what is under way finish; a driver that takes longer than the grace is cut off, and its outcome says so. */
  async function unequip({ spool, responders }: Equipment): Promise<void> {
    const cutOff = (graceMs: number) => Promise.all(responders.map((responder) => responder.close?.(graceMs)));
    await settledWithin(settle(), CLOSE_GRACE_MS);
    // At a reload what waits is held back instead.
    hurried = !halted;
    await cutOff(0);
    await settle();
    await cutOff(CLOSE_GRACE_MS);
    await spool.close(CLOSE_GRACE_MS);
  }

  async function change(configuration: Configuration): Promise<void> {
    halted = true;
    try {
      // Two spools on one folder would deliver twice: the old one lets go first.
      await unequip(equipment);
      equipment = await equip(configuration);
    } finally {
      halted = false;
      proceed();
    }
  }

  function answer(verdict: Verdict): void {
    if (waiting.length >= MAX_WAITING) {
      refused++;
      refusedNow++;
      if (refusedNow === 1)
        trouble("action", `more than ${MAX_WAITING} verdicts wait to be carried out; further ones are dropped`, false);
      return;
    }
    waiting.push(verdict);
    proceed();
  }

  function proceed(): void {
    while (!halted && underWay.size < AT_ONCE) {
      const verdict = waiting.shift();
      if (verdict === undefined) return tellCaughtUp();
      const act = carryOut(verdict)
        .catch((thrown: unknown) => trouble("action", `a verdict could not be carried out: ${reasonOf(thrown)}`, false))
        .finally(() => {
          underWay.delete(act);
          proceed();
        });
      underWay.add(act);
    }
  }

  function tellCaughtUp(): void {
    if (refusedNow === 0) return;
    trouble("action", `verdicts are carried out at once again; ${refusedNow} were dropped meanwhile`, true);
    refusedNow = 0;
  }

  async function carryOut(verdict: Verdict): Promise<void> {
    // A disk that refuses delays the record, not the answer: append() resolves all the same.
    await audit.append("verdict", verdict);
    options.onVerdict(verdict);
    const planned = new Set(verdict.actions.filter(({ allowed }) => allowed).map(({ action }) => action));
    const wanted = equipment.responders.filter(({ action }) => planned.has(action));
    // Evidence is taken and people are told before force is used.
    await Promise.all(wanted.filter(({ action }) => action !== "kill-suspect").map((each) => respond(each, verdict)));
    for (const each of wanted.filter(({ action }) => action === "kill-suspect")) await respond(each, verdict);
  }

  async function respond(responder: Responder, verdict: Verdict): Promise<void> {
    const startedAt = now();
    const outcome =
      hurried && responder.action !== "alert"
        ? outcomeOf(verdict, responder.action, startedAt, now(), "skipped", "rimon was stopping")
        : await responder
            .respond(verdict)
            .catch((thrown: unknown) =>
              outcomeOf(verdict, responder.action, startedAt, now(), "failed", reasonOf(thrown)),
            );
    await report(outcome);
    // A failed alert is told by the spool that refused it.
    if (outcome.action !== "alert") tellTrouble(outcome);
  }

  async function report(outcome: Outcome): Promise<void> {
    await audit.append("outcome", outcome);
    options.onOutcome(outcome);
  }

  async function finish({ verdict, actions }: Unfinished): Promise<void> {
    for (const action of actions) {
      const alert = action === "alert" && equipment.responders.find((each) => each.action === action);
      if (alert) await respond(alert, verdict);
      else
        await report(outcomeOf(verdict, action, now(), now(), "failed", "rimon was ended before it knew the outcome"));
    }
  }

  /** Once when an action begins to fail, once when it works again: what is told is a finding, which asks for actions. */
  function tellTrouble({ action, result, message }: Outcome): void {
    if (result === "failed" && !failing.has(action)) {
      failing.add(action);
      trouble("action", `${action} failed: ${message}`, false);
    } else if (result === "done" && failing.delete(action)) {
      trouble("action", `${action} works again: ${message}`, true);
    }
  }

  /** Until nothing is under way and, unless halted, nothing waits. */
  async function settle(): Promise<void> {
    while (underWay.size > 0) await Promise.all(underWay);
  }

  return {
    answer,
    async resume(unfinished) {
      for (const each of unfinished) await finish(each);
    },
    reload(configuration) {
      const changed = changing.then(() => change(configuration));
      changing = changed.catch(() => {}); // whoever reloads is told
      return changed;
    },
    counts: () => ({ waiting: waiting.length + underWay.size, refused }),
    async close() {
      await changing;
      await unequip(equipment);
    },
  };
}
