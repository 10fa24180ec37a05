// The small notations of the configuration: durations, sizes, expiry dates, URLs, syslog addresses. Every parser takes
// text and returns undefined for what it does not know.

const DURATION_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZE_UNITS = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

export const DURATION_PATTERN = "^[0-9]{1,9}(ms|s|m|h|d)$";
export const SIZE_PATTERN = "^[0-9]{1,9}(B|KiB|MiB|GiB)$";

const DURATION = new RegExp(DURATION_PATTERN);
const SIZE = new RegExp(SIZE_PATTERN);

/** Milliseconds. */
export function parseDuration(text: string): number | undefined {
  const unit = DURATION.exec(text)?.[1] as keyof typeof DURATION_UNITS | undefined;
  return unit && Number.parseInt(text, 10) * DURATION_UNITS[unit];
}

/** Bytes. */
export function parseSize(text: string): number | undefined {
  const unit = SIZE.exec(text)?.[1] as keyof typeof SIZE_UNITS | undefined;
  return unit && Number.parseInt(text, 10) * SIZE_UNITS[unit];
}

/** The shortest exact way to write it: 60000 is "1m". */
export function formatDuration(ms: number): string {
  const exact = Object.entries(DURATION_UNITS).findLast(([, size]) => ms >= size && ms % size === 0);
  return exact === undefined ? `${ms}ms` : `${ms / exact[1]}${exact[0]}`;
}

/**
 * The first instant at which an exception no longer holds, in milliseconds since the epoch. A date without a time
 * includes that day: 2026-12-31 ends at 2027-01-01T00:00Z. A time needs its offset: 2026-12-31T18:00:00Z.
 */
export function parseExpiry(text: string): number | undefined {
  const match = /^(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2}))?$/.exec(text);
  if (match === null) return undefined;
  const [, day, time] = match;
  const midnight = Date.parse(`${day}T00:00:00Z`);
  // Date.parse takes 31 February for 3 March.
  if (Number.isNaN(midnight) || new Date(midnight).toISOString().slice(0, 10) !== day) return undefined;
  if (time === undefined) return midnight + DURATION_UNITS.d;
  const instant = Date.parse(text);
  return Number.isNaN(instant) ? undefined : instant;
}

/** What is wrong with a URL to send to, as "must ..."; never repeats the URL, which may hold a secret. */
export function urlProblem(text: string): string | undefined {
  if (!URL.canParse(text)) return "must be an http:// or https:// URL";
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:") return "must be an http:// or https:// URL";
  if (url.username !== "" || url.password !== "") {
    return "must not hold a user or a password; put the header into a file and name it with headersFile";
  }
  return undefined;
}

/** The URL with the values of its query left out, which may be tokens. */
export function withoutQueryValues(text: string): string {
  return text.replace(/([?&][^=&#]*)=[^&#]*/g, "$1=…");
}

/** The loopback is the one network on which a plain http:// request is not seen by others. */
export function isClearText(text: string): boolean {
  const url = new URL(text);
  return url.protocol === "http:" && !/^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
}

export interface SyslogAddress {
  readonly transport: "udp" | "tcp";
  readonly host: string;
  readonly port: number;
}

const SYSLOG_PORT = 514;

/** udp://HOST[:PORT] or tcp://HOST[:PORT]; an IPv6 address in brackets. */
export function parseSyslogAddress(text: string): SyslogAddress | undefined {
  const match = /^(udp|tcp):\/\/(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[2] ?? match?.[3];
  const port = Number(match?.[4] ?? SYSLOG_PORT);
  if (match === null || host === undefined || port < 1 || port > 65_535) return undefined;
  return { transport: match[1] as "udp" | "tcp", host, port };
}

/** RFC 5424, table 1, by the names of syslog.conf. */
export const FACILITIES = {
  kern: 0,
  user: 1,
  mail: 2,
  daemon: 3,
  auth: 4,
  syslog: 5,
  lpr: 6,
  news: 7,
  uucp: 8,
  cron: 9,
  authpriv: 10,
  ftp: 11,
  local0: 16,
  local1: 17,
  local2: 18,
  local3: 19,
  local4: 20,
  local5: 21,
  local6: 22,
  local7: 23,
} as const;

/** The known name a misspelt one is likely to be. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  if (name.length > 64) return undefined;
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
