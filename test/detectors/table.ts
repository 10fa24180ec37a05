// A rule's table of cases: what was observed, and what it says to the last of it, or undefined where it stays quiet.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Detector } from "../../src/detectors/detector.ts";
import type { Observation } from "../../src/observation.ts";
import { detect, told } from "./observations.ts";

export interface Case {
  readonly when: string;
  readonly observed: readonly Observation[];
  /** "severity: message". */
  readonly says: string | undefined;
  readonly technique?: string;
  readonly suspect?: number;
  readonly target?: number;
  readonly everyTenant?: true;
  readonly allow?: readonly string[];
}

export function check(detector: Detector, cases: readonly Case[]): void {
  describe(detector.rule, () => {
    for (const { when, observed, says, technique, suspect, target, everyTenant, allow } of cases) {
      it(`${says === undefined ? "stays quiet" : "fires"}: ${when}`, () => {
        assert.equal(told(detector, observed, allow), says);
        const found = detect(detector, observed, allow);
        if (found === undefined) return;
        assert.equal(found.rule, detector.rule);
        assert.equal(found.evidence.length, 1);
        assert.equal(found.suspect?.pid, suspect);
        assert.equal(found.target?.pid, target);
        assert.equal(found.everyTenant, everyTenant);
        if (technique !== undefined) assert.equal(found.technique, technique);
      });
    }
  });
}
