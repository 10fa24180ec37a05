import assert from "node:assert/strict";
import { test } from "node:test";
import { capabilitiesFor, configOf, lackingAmong } from "../../src/cli/privileges.ts";
import type { Configuration } from "../../src/configuration.ts";
import { parseConfiguration } from "../../src/policy/config.ts";

function configured(text: string): Configuration {
  return parseConfiguration(text, { file: "f", rules: [], hostname: "h", stateDirectory: "/s", now: 0 }).configuration;
}

const PLAIN = configured("");
const KILLING = configured("actions: { kill-suspect: { enabled: true } }");
const HELD = capabilitiesFor(PLAIN);

const cases = [
  {
    name: "newly enabled, dropped at the start",
    says: ["kill-suspect needs CAP_KILL, which rimon dropped at its start: restart it"],
  },
  {
    name: "newly enabled, never had",
    dropped: false,
    says: ["kill-suspect needs CAP_KILL, which rimon was started without: start it anew with it"],
  },
  { name: "newly enabled and held", held: [...HELD, "kill"], says: [] },
  { name: "enabled from the start", atStart: KILLING, says: [] },
  { name: "not enabled", next: PLAIN, says: [] },
  { name: "what was missing from the start is not told anew", next: PLAIN, held: [], says: [] },
];

for (const { name, next = KILLING, atStart = PLAIN, held = HELD, dropped = true, says } of cases) {
  test(`what a reload lacks: ${name}`, () => assert.deepEqual(lackingAmong(held, next, atStart, dropped), says));
}

for (const [options, file] of [
  [[], undefined],
  [["--json", "--config", "a.yaml"], "a.yaml"],
  [["--config=a.yaml", "--json", "--config", "b.yaml"], "b.yaml"],
  [["--config", "a.yaml", "--config=b.yaml"], "b.yaml"],
  [["--config"], undefined],
] as const)
  test(`of "${options.join(" ")}" the configuration is ${file}`, () => assert.equal(configOf(options), file));
