import type { BaselineRefused } from "../../src/baseline-refused.ts";
import { baselineRefused } from "../../src/detectors/baseline-refused.ts";
import { AT, tick } from "./observations.ts";
import { check } from "./table.ts";

function refused(rest: Partial<BaselineRefused> = {}): BaselineRefused {
  return {
    kind: "baseline.refused",
    at: AT,
    sensor: "snapshots",
    of: "isolation",
    path: "/etc/rimon/good.dsse",
    code: "rolled-back",
    message: "too old",
    using: "last-good",
    ...rest,
  };
}

check(baselineRefused, [
  {
    when: "an older one was put in its place",
    observed: [refused()],
    says: "critical: the baseline of isolation structures, /etc/rimon/good.dsse, is refused (rolled-back), the last good one is used: too old",
    technique: "rolled-back",
    everyTenant: true,
  },
  {
    when: "it is gone and there is no copy",
    observed: [refused({ code: "missing", message: "there is none", using: "none" })],
    says: "critical: the baseline of isolation structures, /etc/rimon/good.dsse, is refused (missing), there is none to use instead: there is none",
    technique: "missing",
    everyTenant: true,
  },
  { when: "time passes", observed: [tick(AT)], says: undefined },
]);
