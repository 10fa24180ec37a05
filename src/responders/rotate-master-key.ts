// Asks the keeper of the keys for a new master key. However many findings come, one attempt runs at a time and one
// success holds for the cooldown; a failed attempt leaves the way free for the next finding.

import type { KeyActionSettings } from "../configuration.ts";
import { reasonOf } from "../errors.ts";
import type { Outcome, Verdict } from "../finding.ts";
import { createDriver } from "./drivers/all.ts";
import { requestOf, type KeyAnswer, type KeyDriver } from "./drivers/driver.ts";
import { createKeyHistory, type KeyHistory } from "./key-history.ts";
import { outcomeOf, type Responder } from "./responder.ts";
import { settledWithin } from "./settled-within.ts";

const ACTION = "rotate-master-key";

type Attempt = { readonly answer: KeyAnswer } | { readonly failure: string };

interface Running {
  readonly finding: string;
  readonly attempt: Promise<Attempt>;
}

/** Rotates the master key, at most once in `cooldownMs`. */
export function createRotateResponder(
  settings: KeyActionSettings,
  now: () => number = Date.now,
  driver: KeyDriver | undefined = settings.driver === undefined ? undefined : createDriver(settings.driver),
  history: KeyHistory = createKeyHistory(),
): Responder {
  const stopping = new AbortController();
  let running: Running | undefined;

  async function attempt(keeper: KeyDriver, verdict: Verdict): Promise<Attempt> {
    try {
      const answer = await keeper.request(requestOf(ACTION, verdict, verdict.finding.tenants, now()), stopping.signal);
      history.rotated = { finding: verdict.finding.id, at: now(), answer };
      return { answer };
    } catch (thrown) {
      return { failure: reasonOf(thrown) };
    }
  }

  function start(keeper: KeyDriver, verdict: Verdict): Running {
    const started = { finding: verdict.finding.id, attempt: attempt(keeper, verdict) };
    running = started;
    void started.attempt.then(() => {
      running = undefined;
    });
    return started;
  }

  async function respond(verdict: Verdict): Promise<Outcome> {
    const startedAt = now();
    const outcome = (result: Outcome["result"], message: string, details?: Outcome["details"]) =>
      outcomeOf(verdict, ACTION, startedAt, now(), result, message, details);
    if (!settings.enabled) return outcome("refused", `set actions.${ACTION}.enabled to true to allow it`);
    if (driver === undefined) {
      return outcome("refused", `configure actions.${ACTION}.driver, so that the keeper of the keys can be reached`);
    }
    const last = history.rotated;
    if (running === undefined && last !== undefined) {
      const age = startedAt - last.at;
      // A clock that was set back must not prolong the cooldown.
      if (age >= 0 && age < settings.cooldownMs) {
        const again = new Date(last.at + settings.cooldownMs).toISOString();
        return outcome("skipped", `finding ${last.finding} ${rotated(last.answer)}; possible again at ${again}`);
      }
    }
    const joined = running;
    const ended = await (joined ?? start(driver, verdict)).attempt;
    const by = joined === undefined ? "" : `together with finding ${joined.finding}: `;
    if ("failure" in ended) return outcome("failed", `${by}the master key was not rotated: ${ended.failure}`);
    return outcome("done", `${by}${rotated(ended.answer)}`, { ...ended.answer });
  }

  return {
    action: ACTION,
    respond,
    async close(graceMs) {
      const pending = running?.attempt;
      if (pending === undefined) return stopping.abort();
      await settledWithin(pending, graceMs);
      stopping.abort();
      await settledWithin(pending, graceMs);
    },
  };
}

function rotated({ epoch, previousEpoch }: KeyAnswer): string {
  if (epoch === undefined) return "rotated the master key; the keeper named no epoch";
  return `rotated the master key to epoch ${epoch}${previousEpoch === undefined ? "" : ` from ${previousEpoch}`}`;
}
