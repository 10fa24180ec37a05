// Asks the keeper of the keys to forget the cached keys of the tenants a finding concerns. Every tenant has its own
// cooldown and at most one eviction running; a failed one leaves the way free for the next finding.

import type { KeyActionSettings } from "../configuration.ts";
import { reasonOf } from "../errors.ts";
import type { Outcome, Verdict } from "../finding.ts";
import { createDriver } from "./drivers/all.ts";
import { requestOf, type KeyAnswer, type KeyDriver } from "./drivers/driver.ts";
import { createKeyHistory, type KeyHistory } from "./key-history.ts";
import { outcomeOf, type Responder } from "./responder.ts";
import { settledWithin } from "./settled-within.ts";

const ACTION = "evict-tenant-keks";

type Ended = { readonly answer: KeyAnswer } | { readonly failure: string };

interface Attempt {
  readonly finding: string;
  readonly tenants: readonly string[];
  readonly ended: Promise<Ended>;
}

/** Evicts the keys of a finding's tenants, those of one tenant at most once in `cooldownMs`. */
export function createEvictResponder(
  settings: KeyActionSettings,
  now: () => number = Date.now,
  driver: KeyDriver | undefined = settings.driver === undefined ? undefined : createDriver(settings.driver),
  history: KeyHistory = createKeyHistory(),
): Responder {
  const stopping = new AbortController();
  const running = new Map<string, Attempt>();
  const last = history.evicted;
  // Of tenants that are gone no finding comes any more.
  for (const tenant of last.keys()) cooling(tenant, now());

  async function attempt(keeper: KeyDriver, verdict: Verdict, tenants: readonly string[]): Promise<Ended> {
    try {
      const answer = await keeper.request(requestOf(ACTION, verdict, tenants, now()), stopping.signal);
      for (const tenant of tenants) last.set(tenant, { finding: verdict.finding.id, at: now() });
      return { answer };
    } catch (thrown) {
      return { failure: reasonOf(thrown) };
    }
  }

  function start(keeper: KeyDriver, verdict: Verdict, tenants: readonly string[]): Attempt {
    const started = { finding: verdict.finding.id, tenants, ended: attempt(keeper, verdict, tenants) };
    for (const tenant of tenants) running.set(tenant, started);
    void started.ended.then(() => {
      for (const tenant of tenants) running.delete(tenant);
    });
    return started;
  }

  /** Says by whom and until when, if the tenant's keys were evicted just now. */
  function cooling(tenant: string, at: number): string | undefined {
    const before = last.get(tenant);
    if (before === undefined) return;
    const age = at - before.at;
    // A clock that was set back must not prolong the cooldown.
    if (age < 0 || age >= settings.cooldownMs) {
      last.delete(tenant);
      return;
    }
    const again = new Date(before.at + settings.cooldownMs).toISOString();
    return `finding ${before.finding} evicted those of ${tenant}; possible again at ${again}`;
  }

  async function respond(verdict: Verdict): Promise<Outcome> {
    const startedAt = now();
    const outcome = (result: Outcome["result"], message: string, details?: Outcome["details"]) =>
      outcomeOf(verdict, ACTION, startedAt, now(), result, message, details);
    if (!settings.enabled) return outcome("refused", `set actions.${ACTION}.enabled to true to allow it`);
    if (driver === undefined) {
      return outcome("refused", `configure actions.${ACTION}.driver, so that the keeper of the keys can be reached`);
    }
    const tenants = [...new Set(verdict.finding.tenants)];
    if (tenants.length === 0) return outcome("skipped", "the finding concerns no tenant, so there is nothing to evict");

    const attempts = new Set<Attempt>();
    const notes: string[] = [];
    const due: string[] = [];
    for (const tenant of tenants) {
      const joined = running.get(tenant);
      if (joined !== undefined) {
        attempts.add(joined);
        continue;
      }
      const note = cooling(tenant, startedAt);
      if (note === undefined) due.push(tenant);
      else notes.push(note);
    }
    if (due.length > 0) attempts.add(start(driver, verdict, due));
    if (attempts.size === 0) return outcome("skipped", notes.join("; "));

    const failures: string[] = [];
    const evictions: string[] = [];
    let evicted: number | undefined;
    for (const attempt of attempts) {
      const ended = await attempt.ended;
      const whose = attempt.tenants.filter((tenant) => tenants.includes(tenant)).join(", ");
      const by = attempt.finding === verdict.finding.id ? "" : ` together with finding ${attempt.finding}`;
      if ("failure" in ended) {
        failures.push(`the keys of ${whose} were not evicted${by}: ${ended.failure}`);
        continue;
      }
      const count = ended.answer.evicted;
      evictions.push(`evicted ${count === undefined ? "the" : count} cached keys of ${whose}${by}`);
      // What an attempt of another finding evicted is in that finding's outcome.
      if (by === "" && count !== undefined) evicted = count;
    }
    return outcome(
      failures.length > 0 ? "failed" : "done",
      [...failures, ...evictions, ...notes].join("; "),
      evicted === undefined ? undefined : { evicted },
    );
  }

  return {
    action: ACTION,
    respond,
    async close(graceMs) {
      const pending = Promise.all([...new Set(running.values())].map((attempt) => attempt.ended));
      await settledWithin(pending, graceMs);
      stopping.abort();
      await settledWithin(pending, graceMs);
    },
  };
}
