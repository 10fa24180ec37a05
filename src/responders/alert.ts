// Tells the cluster admin and the tenants concerned. It only hands payloads to the outboxes, which are durable and
// retry; whether a sink is reachable is their business, so an outcome says "queued".

import { createHash } from "node:crypto";
import type { SinkSettings, Tenant } from "../configuration.ts";
import { reasonOf } from "../errors.ts";
import type { Audience, Verdict } from "../finding.ts";
import { alertLine, viewFor } from "./alert-view.ts";
import { outcomeOf, type Responder } from "./responder.ts";
import { createSink } from "./sinks/all.ts";
import type { Output, Sink } from "./sinks/sink.ts";

/** A durable queue in front of one sink. */
export interface Outbox {
  push(payload: string): Promise<"queued" | "full">;
}

export type OpenOutbox = (
  sink: Pick<OwnedSink, "name" | "key">,
  deliver: (payload: string, signal: AbortSignal) => Promise<void>,
) => Outbox;

export interface AlertOptions {
  readonly clusterAdmins: readonly SinkSettings[];
  readonly tenants: readonly Tenant[];
  readonly openOutbox: OpenOutbox;
  readonly stdout: Output;
  readonly now?: () => number;
}

export interface OwnedSink extends Sink {
  /** By which its outbox is found again, wherever it stands in the list by then; a digest, since a URL may hold a token. */
  readonly key: string;
}

/** One sink for each of the settings, named after its place. */
export function createSinks(audience: Audience, settings: readonly SinkSettings[], stdout: Output): OwnedSink[] {
  const whose = audience.kind === "cluster" ? "cluster" : `tenant-${fileName(audience.tenant)}`;
  const times = new Map<string, number>();
  return settings.map((each, index) => {
    const key = `${whose}-${each.kind}-${digest(JSON.stringify(targetOf(each)))}`;
    const time = (times.get(key) ?? 0) + 1;
    times.set(key, time);
    const sink = createSink(`${whose}-${index + 1}-${each.kind}`, each, stdout);
    return { ...sink, key: time === 1 ? key : `${key}-${time}` };
  });
}

/** Where alerts end up. How they get there (a token's file, a timeout) may change under way. */
function targetOf(settings: SinkSettings): readonly (string | number)[] {
  switch (settings.kind) {
    case "stdout":
      return [];
    case "file":
      return [settings.path];
    case "webhook":
    case "falcosidekick":
      return [settings.url];
    case "syslog":
      return [settings.transport, settings.host, settings.port];
    case "exec":
      return settings.command;
  }
}

interface Receiver {
  readonly audience: Audience;
  readonly label: string;
  readonly boxes: readonly { readonly name: string; readonly outbox: Outbox }[];
}

/** Sends every verdict to the cluster admin and to the admins of the tenants it concerns, each with their own view. */
export function createAlertResponder(options: AlertOptions): Responder {
  const { now = Date.now } = options;
  const knownTenants = options.tenants.map((tenant) => tenant.id);
  const receiver = (audience: Audience, label: string, settings: readonly SinkSettings[]): Receiver => ({
    audience,
    label,
    boxes: createSinks(audience, settings, options.stdout).map((sink) => ({
      name: sink.name,
      outbox: options.openOutbox(sink, (payload, signal) => sink.deliver(payload, signal)),
    })),
  });
  const cluster = receiver({ kind: "cluster" }, "cluster", options.clusterAdmins);
  const byTenant = new Map(
    options.tenants.map((tenant) => [
      tenant.id,
      receiver({ kind: "tenant", tenant: tenant.id }, tenant.id, tenant.admins),
    ]),
  );

  async function respond(verdict: Verdict) {
    const startedAt = now();
    const concerned = [...new Set(verdict.finding.tenants)];
    const receivers = [cluster, ...concerned.map((id) => byTenant.get(id) ?? nobody(id))];
    const told: string[] = [];
    const untold: string[] = [];
    const troubles: string[] = [];
    let queued = 0;
    for (const { audience, label, boxes } of receivers) {
      const payload = boxes.length === 0 ? "" : alertLine(viewFor(audience, verdict, knownTenants));
      let reached = 0;
      for (const box of boxes) {
        const trouble = await push(box.outbox, payload);
        if (trouble === undefined) reached++;
        else troubles.push(`${box.name}: ${trouble}`);
      }
      queued += reached;
      if (reached > 0) told.push(`${label}: ${reached} ${reached === 1 ? "sink" : "sinks"}`);
      else if (boxes.length === 0) untold.push(label);
    }
    const nobodyFor = untold.length === 0 ? "" : `no sink is configured for ${untold.join(", ")}`;
    const parts = [...troubles, told.length === 0 ? "" : `${told.join(", ")} queued`, nobodyFor].filter(Boolean);
    const result = troubles.length > 0 ? "failed" : queued > 0 ? "done" : "skipped";
    return outcomeOf(verdict, "alert", startedAt, now(), result, parts.join("; "), {
      queued,
      failed: troubles.length,
    });
  }

  return { action: "alert", respond };
}

function nobody(tenant: string): Receiver {
  return { audience: { kind: "tenant", tenant }, label: tenant, boxes: [] };
}

async function push(outbox: Outbox, payload: string): Promise<string | undefined> {
  try {
    return (await outbox.push(payload)) === "queued" ? undefined : "its outbox is full, the alert was not queued";
  } catch (thrown) {
    return `the alert could not be queued: ${reasonOf(thrown)}`;
  }
}

/** Two tenants never share a name, whatever their ids are made of. */
function fileName(tenant: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(tenant)) return tenant;
  return `${tenant.replace(/[^A-Za-z0-9]+/g, "_").slice(0, 40)}.${digest(tenant)}`;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
