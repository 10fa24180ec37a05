import type { AttributeChange, FileChanged } from "../file-changed.ts";
import type { Severity } from "../finding.ts";
import { nameOf, subjectOf, type Detector } from "./detector.ts";

/** Groups of which a change is an operator's as a rule. */
const EDITED: ReadonlySet<string> = new Set(["config", "access", "presence"]);
/** What says nothing of what a file does. */
const TRIFLES: ReadonlySet<string> = new Set(["mtime", "inode", "links", "filesystem"]);
const SETID = 0o6000;

export const fileChanged: Detector = {
  rule: "file-changed",
  severity: "high",
  summary: "A file is not what the baseline of files says.",
  guide: {
    means:
      "A file, folder or link below the roots of the baseline was added, removed, moved, or differs in an attribute that its rule compares: content, mode, owner, capabilities, access list, flags and the like. ctime alone means that something was changed and changed back: nobody can set it.",
    fires:
      "With `files` in the configuration: a comparison with the baseline, at every interval, found a difference that was not told before. Where it was seen while it was done, the finding names who.",
    attacker:
      "Puts a backdoor into a program, a library or an authorized_keys file, makes a shell set-user-ID or gives it a capability, drops a unit or a cron job that starts with the node.",
    todo: "Ask who made the change, and whether a package brought it (dpkg -V, rpm -V). If nobody did: keep the file as evidence, take the node out of service, and look for what else changed at that time. If it was meant: rimon files update PATH, and seal the baseline anew.",
    harmless:
      "An upgrade of packages, an edit by an operator, a program that writes below the roots. `rimon files explain PATH` names the rule that decides; leave the path out, or compare less of it, by a rule in `files.rules`, and take the baseline anew.",
    attack: [
      { id: "T1554", name: "Compromise Host Software Binary" },
      { id: "T1548.001", name: "Abuse Elevation Control Mechanism: Setuid and Setgid" },
      { id: "T1053.003", name: "Scheduled Task/Job: Cron" },
      { id: "T1098.004", name: "Account Manipulation: SSH Authorized Keys" },
      { id: "T1070.002", name: "Indicator Removal: Clear Linux or Mac System Logs" },
    ],
  },
  detect(observation, state) {
    if (observation.kind !== "file.changed") return;
    const { change, path, actor, attributes } = observation;
    return {
      rule: this.rule,
      severity: severityOf(observation),
      technique: change,
      operation: "write",
      ...(actor === undefined ? {} : { suspect: subjectOf(state, actor.pid, actor.startTime) }),
      // Another change of the same path is another finding.
      subject: `${path} ${change} ${attributes.map(({ attribute, after }) => `${attribute}=${after ?? ""}`).join(" ")}`,
      message: `${said(observation)}${actor === undefined ? "" : `, by ${nameOf(state, actor.pid, actor.startTime)}`}`,
      evidence: [observation],
    };
  },
};

function severityOf({ change, attributes, group, mode, fileType }: FileChanged): Severity {
  if (fileType === "file" && gainsRights(change, attributes, mode)) return "critical";
  if (change === "unstable") return "low";
  if (change === "unreadable" || change === "moved") return "medium";
  if (change === "changed" && attributes.every(({ attribute }) => TRIFLES.has(attribute))) return "low";
  if (change === "changed" && attributes.every(({ attribute }) => TRIFLES.has(attribute) || attribute === "ctime"))
    return "medium";
  return EDITED.has(group) ? "medium" : "high";
}

/** Whoever starts it acts as somebody else, or with capabilities. */
function gainsRights(change: string, attributes: readonly AttributeChange[], mode: string | undefined): boolean {
  const isSetId = (parseInt(mode ?? "0", 8) & SETID) !== 0;
  if (change === "added") return isSetId;
  return attributes.some(({ attribute, before, after }) => {
    if (attribute === "capabilities") return after !== undefined;
    if (isSetId && (attribute === "content" || attribute === "owner" || attribute === "group")) return true;
    return attribute === "mode" && (parseInt(after ?? "0", 8) & ~parseInt(before ?? "0", 8) & SETID) !== 0;
  });
}

const SHOWN = 3;

function said({ change, path, from, attributes, reason }: FileChanged): string {
  const shown = attributes.slice(0, SHOWN).map(({ attribute, before, after }) => {
    const [was, is] = [shorten(before), shorten(after)];
    return before === undefined ? `${attribute} is ${is}` : `${attribute} was ${was}, is ${is}`;
  });
  const what = [...shown, ...(attributes.length > SHOWN ? [`and ${attributes.length - SHOWN} more`] : [])].join("; ");
  if (change === "added" || change === "removed") return `${path} was ${change}`;
  if (change === "moved") return `${path} was ${from ?? "elsewhere"}${what === "" ? "" : `; ${what}`}`;
  const how = change === "changed" ? "changed" : `is ${change}`;
  return `${path} ${how}: ${[reason, what].filter((part) => part !== undefined && part !== "").join("; ")}`;
}

function shorten(value: string | undefined): string {
  if (value === undefined) return "none";
  return value.length > 64 ? `${value.slice(0, 61)}...` : value;
}
