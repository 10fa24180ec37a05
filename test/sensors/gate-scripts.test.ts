import assert from "node:assert/strict";
import { test } from "node:test";
import { handedOver } from "../../src/sensors/gate-scripts.ts";

const LOADER = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";

for (const [exe, words, expected] of [
  [LOADER, "ld.so ./evil a", "./evil"],
  [LOADER, "ld.so --library-path /x --argv0 y /evil", "/evil"],
  [LOADER, "ld.so --list /bin/true", undefined],
  [LOADER, "ld.so", undefined],
  ["/lib/ld-musl-x86_64.so.1", "ld-musl /evil", "/evil"],
  ["/usr/bin/dash", "sh -e x.sh", "x.sh"],
  ["/usr/bin/perl", "perl -e x", undefined],
  ["/usr/bin/perl", "perl -w x.pl", "x.pl"],
  ["/usr/bin/dash", "sh -u x.sh y", "x.sh"],
  ["/usr/bin/dash", "sh -c x", undefined],
  ["/usr/bin/dash", "sh -", undefined],
  ["/usr/bin/dash", "sh", undefined],
  ["/usr/bin/python3.11", "python3 x.py", undefined],
  [undefined, "sh x.sh", undefined],
] as const) {
  test(`${exe}: ${words} runs ${expected}`, () => {
    const process = { ...(exe === undefined ? {} : { exe }), cmdline: words.split(" ") };
    assert.equal(handedOver(process, ["/usr/bin/dash", "/usr/bin/perl"]), expected);
  });
}
