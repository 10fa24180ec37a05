// The public interface; the only re-exports of the package.

export { createMonitor, type CreateMonitorOptions, type Monitor } from "./monitor.ts";
export { RimonError, type ErrorCode } from "./errors.ts";
export { FORMAT_VERSION, SEVERITIES } from "./finding.ts";
export type { Actor, Finding, Outcome, PlannedAction, Severity, Verdict } from "./finding.ts";
export type { Configuration, Selector } from "./configuration.ts";
export type { Observation } from "./observation.ts";
export type { ProtectedProcess, SensorStatus, Status } from "./rimon.ts";
export { readAuditLog, verifyAuditLog, type Verification } from "./store/audit-verify.ts";
export {
  check,
  defaultHandler,
  procfs,
  snapshot,
  startDaemon,
  subsystems,
  type DaemonOptions,
  type IsolationSeverity,
  type ProcfsSource,
  type SnapshotOptions,
} from "./isolation.ts";
export type { Anomaly, Checked, Snapshot } from "./baselines/snapshot.ts";
export { openFileBaseline, type FileBaseline, type Trust } from "./files/baseline-file.ts";
export {
  checkFiles,
  checkPaths,
  initFiles,
  updateFiles,
  type CheckOptions,
  type FilesChecked,
  type FileTrouble,
  type Initialised,
  type InitOptions,
  type UpdateOptions,
} from "./files/check.ts";
export type { AttributeChange, FileChange, FileDifference } from "./file-changed.ts";
export type { FileRule } from "./baselines/files/rules.ts";
export { VERSION } from "./package.ts";
