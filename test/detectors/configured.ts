// A configuration out of a few lines of YAML.

import type { Configuration } from "../../src/configuration.ts";
import { DETECTORS } from "../../src/detectors/all.ts";
import { parseConfiguration } from "../../src/policy/config.ts";
import { AT } from "./observations.ts";

export function configured(yaml = "", stateDirectory = "/nowhere"): Configuration {
  return parseConfiguration(yaml, {
    file: "test.yaml",
    rules: DETECTORS.map(({ rule }) => rule),
    severities: Object.fromEntries(DETECTORS.map(({ rule, severity }) => [rule, severity])),
    hostname: "node-7",
    stateDirectory,
    now: AT,
  }).configuration;
}
