// Which processes are meant: selectors ("comm:vault"), and what a cgroup path says about unit and container.

import type { Selector } from "./configuration.ts";
import { RimonError } from "./errors.ts";
import type { Process } from "./observation.ts";

/** What of a process a selector looks at; a Process and an Actor both have it. */
export type Selectable = Pick<Process, "pid" | "comm" | "exe" | "uid" | "euid" | "cgroup">;

/** TASK_COMM_LEN without its NUL; the kernel cuts a longer name. */
const COMM_BYTES = 15;
/** PID_MAX_LIMIT of a 64-bit kernel. */
const PID_MAX = 4_194_304;
/** (uid_t)-1 is "no user". */
const UID_MAX = 4_294_967_294;

const DELETED = " (deleted)";
const UNIT_SUFFIX = /\.(?:service|scope|slice|socket)$/;

const EXPECTED: Readonly<Record<Selector["by"], string>> = {
  pid: `pid: and a number from 1 to ${PID_MAX}`,
  comm: "comm: and a process name",
  exe: "exe: and an absolute path",
  unit: "unit: and the name of a systemd unit",
  cgroup: "cgroup: and a path from the root of the cgroup tree",
  uid: `uid: and a number from 0 to ${UID_MAX}`,
  container: "container: and 12 to 64 hexadecimal digits, lower case, of a container id",
};

const ACCEPTS: Readonly<Record<Selector["by"], (value: string) => boolean>> = {
  pid: (value) => isNumber(value) && Number(value) >= 1 && Number(value) <= PID_MAX,
  comm: isPlain,
  exe: (value) => isPlain(value) && value.startsWith("/") && value.length > 1,
  unit: (value) => /^[A-Za-z0-9:_.\\@-]{1,255}$/.test(value),
  cgroup: (value) => isPlain(value) && value.startsWith("/"),
  uid: (value) => isNumber(value) && Number(value) <= UID_MAX,
  container: (value) => /^[0-9a-f]{12,64}$/.test(value),
};

/** Splits "comm:redis-server"; throws what was expected if it is not a selector. */
export function parseSelector(text: string): Selector {
  const problem = selectorProblem(text);
  if (problem !== undefined) {
    throw new RimonError("RIMON_CONFIG", `a selector ${problem}, got ${JSON.stringify(text.slice(0, 80))}`);
  }
  const colon = text.indexOf(":");
  return { by: text.slice(0, colon) as Selector["by"], value: text.slice(colon + 1) };
}

/** What is wrong with a selector, as "must be ..."; undefined if nothing is. */
export function selectorProblem(text: string): string | undefined {
  const colon = text.indexOf(":");
  const by = text.slice(0, Math.max(colon, 0));
  if (!isKind(by)) {
    return "must be comm:NAME, exe:PATH, unit:NAME, cgroup:PATH, container:ID, uid:NUMBER or pid:NUMBER";
  }
  return ACCEPTS[by](text.slice(colon + 1)) ? undefined : `must be ${EXPECTED[by]}`;
}

export function formatSelector(selector: Selector): string {
  return `${selector.by}:${selector.value}`;
}

/** Whether the selector means this process. A fact that could not be read matches nothing. */
export function matches(selector: Selector, process: Selectable): boolean {
  const { value } = selector;
  switch (selector.by) {
    case "pid":
      return process.pid === Number(value);
    case "comm":
      return sameComm(process.comm, value);
    case "exe":
      return process.exe === value || process.exe === value + DELETED;
    case "uid":
      return process.uid === Number(value) || process.euid === Number(value);
    case "unit":
      return process.cgroup !== undefined && isUnit(value, unitOf(process.cgroup));
    case "cgroup":
      return process.cgroup !== undefined && isBelow(value, process.cgroup);
    case "container":
      return process.cgroup !== undefined && containersIn(process.cgroup).some((id) => id.startsWith(value));
  }
}

/** Whether a comm as the kernel reports it is this name, cut as the kernel cuts it. */
export function sameComm(comm: string, name: string): boolean {
  return cutComm(comm) === cutComm(name);
}

/** The systemd unit a cgroup path lies in: its deepest component that is one. */
export function unitOf(cgroup: string): string | undefined {
  return componentsOf(cgroup).findLast((component) => UNIT_SUFFIX.test(component));
}

/** The id of the (innermost) container a cgroup path lies in. */
export function containerOf(cgroup: string): string | undefined {
  return containersIn(cgroup).at(-1);
}

/**
 * docker-ID.scope, cri-containerd-ID.scope, crio-ID, libpod-ID, the bare ID below /docker or /kubepods, and
 * containerd's SLICE:cri-containerd:ID where a systemd name meets the cgroupfs driver. crio-conmon-ID and
 * libpod-conmon-ID are the monitor outside of the container.
 */
function containersIn(cgroup: string): string[] {
  const ids: string[] = [];
  for (const component of componentsOf(cgroup)) {
    const id =
      /^(?:(?:docker|cri-containerd|crio|libpod|libpod-payload)-|[^:]+:[^:]+:)?([0-9a-f]{64})(?:\.scope)?$/.exec(
        component,
      )?.[1];
    if (id !== undefined) ids.push(id);
  }
  return ids;
}

function componentsOf(cgroup: string): string[] {
  return withoutDeleted(cgroup).split("/");
}

function withoutDeleted(path: string): string {
  return path.endsWith(DELETED) ? path.slice(0, -DELETED.length) : path;
}

/** "vault" is vault.service; "vault@.service" is every instance of the template. */
function isUnit(value: string, unit: string | undefined): boolean {
  if (unit === undefined) return false;
  const wanted = UNIT_SUFFIX.test(value) ? value : `${value}.service`;
  if (unit === wanted) return true;
  const at = wanted.indexOf("@.");
  return at > 0 && unit.startsWith(wanted.slice(0, at + 1)) && unit.endsWith(wanted.slice(at + 1));
}

function isBelow(value: string, cgroup: string): boolean {
  const base = value.replace(/\/+$/, "");
  const path = withoutDeleted(cgroup);
  return path === base || path.startsWith(`${base}/`);
}

function cutComm(name: string): string {
  const bytes = Buffer.from(name);
  return bytes.length <= COMM_BYTES ? name : bytes.subarray(0, COMM_BYTES).toString();
}

function isKind(by: string): by is Selector["by"] {
  return Object.hasOwn(EXPECTED, by);
}

function isNumber(value: string): boolean {
  return /^(?:0|[1-9][0-9]{0,9})$/.test(value);
}

function isPlain(value: string): boolean {
  // Control characters stand in no name that anybody means.
  // oxlint-disable-next-line no-control-regex
  return value.length > 0 && value.length <= 4096 && !/[\u0000-\u001f\u007f]/.test(value);
}
