import assert from "node:assert/strict";
import { test } from "node:test";
import { DETECTORS } from "../src/detectors/all.ts";
import { createIdentifiers } from "../src/identifier.ts";
import { rehearse } from "../src/rehearsal.ts";
import { configured } from "./detectors/configured.ts";

test("acts are judged, as many each time", () => {
  const verdicts = rehearse(configured(""), createIdentifiers());
  assert.ok(verdicts > 0);
  assert.equal(rehearse(configured(""), createIdentifiers()), verdicts);
});

test("of a configuration that has every rule off nothing comes", () => {
  const rules = DETECTORS.map(({ rule }) => `${rule}: { enabled: false }`).join(", ");
  assert.equal(rehearse(configured(`environment: development\nrules: { ${rules} }\n`), createIdentifiers()), 0);
});

test("what is found after it has an identifier that sorts by its time", () => {
  const newId = createIdentifiers();
  rehearse(configured(""), newId);
  const at = Date.parse("2026-01-02T03:04:05.678Z");
  assert.equal(newId(at).slice(0, 10), createIdentifiers()(at).slice(0, 10));
});
