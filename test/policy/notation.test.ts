import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import {
  formatDuration,
  isClearText,
  nearestName,
  parseDuration,
  parseExpiry,
  parseSize,
  parseSyslogAddress,
  urlProblem,
  withoutQueryValues,
} from "../../src/policy/notation.ts";

test("durations and sizes", () => {
  const durations = { "500ms": 500, "1s": 1000, "2m": 120_000, "1h": 3_600_000, "90d": 7_776_000_000, "0s": 0 };
  for (const [text, ms] of Object.entries(durations)) assert.equal(parseDuration(text), ms, text);
  for (const text of ["", "1", "s", "1.5s", "-1s", "1 s", "1S", "1s ", "1sm", "9999999999s"]) {
    assert.equal(parseDuration(text), undefined, text);
  }
  const sizes = { "0B": 0, "1KiB": 1024, "64MiB": 67_108_864, "2GiB": 2_147_483_648 };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(parseSize(text), bytes, text);
  for (const text of ["", "64", "64MB", "64mib", "1TiB"]) assert.equal(parseSize(text), undefined, text);
});

test("a duration is read as it was written", () => {
  fc.assert(fc.property(fc.nat(999_999_999), (ms) => assert.equal(parseDuration(formatDuration(ms)), ms)));
});

test("a date includes its day, a time is exact", () => {
  const expiries = {
    "2026-12-31": "2027-01-01T00:00:00.000Z",
    "2028-02-28": "2028-02-29T00:00:00.000Z",
    "2028-02-29": "2028-03-01T00:00:00.000Z",
    "2026-12-31T18:00Z": "2026-12-31T18:00:00.000Z",
    "2026-12-31T18:00:00+02:00": "2026-12-31T16:00:00.000Z",
    "2026-12-31T18:00:00.5Z": "2026-12-31T18:00:00.500Z",
  };
  for (const [text, instant] of Object.entries(expiries)) {
    assert.equal(new Date(parseExpiry(text) ?? Number.NaN).toISOString(), instant, text);
  }
  const refused = ["", "never", "2026", "2026-13-01", "2026-02-30", "2027-02-29", "2026-02-30T00:00:00Z", "31.12.2026"];
  for (const text of [...refused, "2026-12-31T18:00:00", "2026-12-31 18:00", "2026-12-31T25:00:00Z"]) {
    assert.equal(parseExpiry(text), undefined, text);
  }
});

test("URLs", () => {
  for (const text of ["https://example.org/a?b=c", "http://127.0.0.1:8080", "http://[::1]/"]) {
    assert.equal(urlProblem(text), undefined, text);
  }
  for (const text of ["", "example.org", "ftp://example.org", "file:///etc/passwd", "http://"]) {
    assert.match(urlProblem(text) ?? "", /must be an http/, text);
  }
  for (const text of [
    "https://user:hunter2@example.org/",
    "https://hunter2@example.org/",
    "https://:hunter2@example.org",
  ]) {
    assert.match(urlProblem(text) ?? "", /user or a password/, text);
    assert.doesNotMatch(urlProblem(text) ?? "", /hunter2/);
  }
  assert.equal(withoutQueryValues("https://h/p?token=abc&x=1&flag#top"), "https://h/p?token=…&x=…&flag#top");
  const clear = { "http://example.org": true, "https://example.org": false, "http://localhost:1": false };
  const loopback = { "http://127.9.9.9": false, "http://[::1]:80": false, "http://127.0.0.1.example.org": true };
  for (const [text, expected] of Object.entries({ ...clear, ...loopback }))
    assert.equal(isClearText(text), expected, text);
});

test("syslog addresses", () => {
  assert.deepEqual(parseSyslogAddress("udp://127.0.0.1:514"), { transport: "udp", host: "127.0.0.1", port: 514 });
  assert.deepEqual(parseSyslogAddress("tcp://logs.example.org"), {
    transport: "tcp",
    host: "logs.example.org",
    port: 514,
  });
  assert.deepEqual(parseSyslogAddress("udp://[fe80::1]:601"), { transport: "udp", host: "fe80::1", port: 601 });
  for (const text of [
    "",
    "127.0.0.1:514",
    "http://h:1",
    "udp://",
    "udp://h:0",
    "udp://h:65536",
    "udp://u:p@h:1",
    "udp://h/x",
  ]) {
    assert.equal(parseSyslogAddress(text), undefined, text);
  }
});

test("the nearest name is suggested only if it is near", () => {
  const known = ["memory-read", "ptrace-attach", "mode"];
  assert.equal(nearestName("memry-read", known), "memory-read");
  assert.equal(nearestName("Mode", known), "mode");
  assert.equal(nearestName("mod", known), "mode");
  assert.equal(nearestName("colour", known), undefined);
  assert.equal(nearestName("m".repeat(100_000), known), undefined);
});
