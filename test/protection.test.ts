import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { RimonError } from "../src/errors.ts";
import { holderOf, KNOWN_HOLDERS } from "../src/known-holders.ts";
import type { Process } from "../src/observation.ts";
import { containerOf, formatSelector, matches, parseSelector, unitOf } from "../src/protection.ts";

const ID = "0123456789abcdef".repeat(4);
const OTHER_ID = "f".repeat(64);

const VAULT: Process = {
  pid: 4121,
  startTime: 99,
  parentPid: 1,
  comm: "vault",
  kernelThread: false,
  uid: 1000,
  euid: 0,
  exe: "/usr/bin/vault",
  cgroup: "/system.slice/vault.service",
};

const UNKNOWN: Process = { pid: 4121, startTime: 99, parentPid: 1, comm: "vault", kernelThread: false };

const MATCHES: [selector: string, process: Partial<Process>, expected: boolean][] = [
  ["pid:4121", {}, true],
  ["pid:412", {}, false],
  ["comm:vault", {}, true],
  ["comm:vaul", {}, false],
  ["comm:redis-server-cluster", { comm: "redis-server-cl" }, true],
  ["comm:redis-server-cl", { comm: "redis-server-cl" }, true],
  ["comm:redis-server-c", { comm: "redis-server-cl" }, false],
  // 15 bytes end within the eighth two-byte character.
  ["comm:éééééééééé", { comm: Buffer.from("éééééééé").subarray(0, 15).toString() }, true],
  ["exe:/usr/bin/vault", {}, true],
  ["exe:/usr/bin/vault", { exe: "/usr/bin/vault (deleted)" }, true],
  ["exe:/usr/bin/vaul", {}, false],
  ["uid:1000", {}, true],
  ["uid:0", {}, true],
  ["uid:10", {}, false],
  ["unit:vault", {}, true],
  ["unit:vault.service", {}, true],
  ["unit:vault", { cgroup: "/system.slice/vault.service/workers" }, true],
  ["unit:vault", { cgroup: "/system.slice/vault.socket" }, false],
  ["unit:vault", { cgroup: "/system.slice/system-vault.slice/vault@blue.service" }, false],
  ["unit:vault@blue", { cgroup: "/system.slice/system-vault.slice/vault@blue.service" }, true],
  ["unit:vault@.service", { cgroup: "/system.slice/system-vault.slice/vault@blue.service" }, true],
  ["unit:vault@.service", {}, false],
  ["unit:system.slice", {}, false],
  ["cgroup:/system.slice", {}, true],
  ["cgroup:/system.slice/", {}, true],
  ["cgroup:/system.slice/vault.service", {}, true],
  ["cgroup:/system.slice/vault", {}, false],
  ["cgroup:/", {}, true],
  [`container:${ID}`, { cgroup: `/system.slice/docker-${ID}.scope` }, true],
  [`container:${ID.slice(0, 12)}`, { cgroup: `/docker/${ID}` }, true],
  [`container:${ID.slice(0, 13)}`, { cgroup: `/docker/${OTHER_ID}` }, false],
  [`container:${ID}`, { cgroup: `/docker/${ID}/docker/${OTHER_ID}` }, true],
];

for (const [text, process, expected] of MATCHES) {
  test(`${text} ${expected ? "matches" : "does not match"} ${JSON.stringify(process)}`, () => {
    assert.equal(matches(parseSelector(text), { ...VAULT, ...process }), expected);
  });
}

test("what is not known about a process matches nothing", () => {
  for (const text of ["exe:/usr/bin/vault", "uid:0", "unit:vault", "cgroup:/", `container:${ID}`]) {
    assert.equal(matches(parseSelector(text), UNKNOWN), false, text);
  }
});

const CGROUPS: [cgroup: string, unit: string | undefined, container: string | undefined][] = [
  ["/", undefined, undefined],
  ["/init.scope", "init.scope", undefined],
  ["/system.slice/ssh.service", "ssh.service", undefined],
  ["/system.slice/ssh.service (deleted)", "ssh.service", undefined],
  ["/user.slice/user-0.slice/session-3.scope", "session-3.scope", undefined],
  ["/user.slice/user-1.slice/user@1.service/app.slice/ssh-agent.service", "ssh-agent.service", undefined],
  ["/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", undefined],
  [`/system.slice/docker-${ID}.scope`, `docker-${ID}.scope`, ID],
  [`/system.slice/docker-${ID}.scope/init`, `docker-${ID}.scope`, ID],
  [`/docker/${ID}`, undefined, ID],
  [`/machine.slice/libpod-${ID}.scope/container`, `libpod-${ID}.scope`, ID],
  [`/libpod_parent/libpod-${ID}`, undefined, ID],
  [`/machine.slice/libpod-conmon-${ID}.scope`, `libpod-conmon-${ID}.scope`, undefined],
  [`/kubepods/burstable/pod6e0c/${ID}`, undefined, ID],
  [`/kubepods.slice/kubepods-pod6e0c.slice/cri-containerd-${ID}.scope`, `cri-containerd-${ID}.scope`, ID],
  [`/kubepods.slice/kubepods-pod6e0c.slice/crio-${ID}.scope`, `crio-${ID}.scope`, ID],
  [`/kubepods.slice/crio-conmon-${ID}.scope`, `crio-conmon-${ID}.scope`, undefined],
  [`/kubepods-pod6e0c.slice:cri-containerd:${ID}`, undefined, ID],
  [`/docker/${ID}/docker/${OTHER_ID}`, undefined, OTHER_ID],
  [`/docker/${ID.slice(1)}`, undefined, undefined],
];

for (const [cgroup, unit, container] of CGROUPS) {
  test(`unit and container of ${cgroup}`, () => {
    assert.equal(unitOf(cgroup), unit);
    assert.equal(containerOf(cgroup), container);
  });
}

const REFUSED = [
  ["", "must be comm:NAME, exe:PATH, unit:NAME, cgroup:PATH, container:ID, uid:NUMBER or pid:NUMBER"],
  ["vault", "must be comm:NAME, exe:PATH, unit:NAME, cgroup:PATH, container:ID, uid:NUMBER or pid:NUMBER"],
  ["constructor:x", "must be comm:NAME, exe:PATH, unit:NAME, cgroup:PATH, container:ID, uid:NUMBER or pid:NUMBER"],
  ["pid:0", "must be pid: and a number from 1 to 4194304"],
  ["pid:01", "must be pid: and a number from 1 to 4194304"],
  ["pid:4194305", "must be pid: and a number from 1 to 4194304"],
  ["uid:-1", "must be uid: and a number from 0 to 4294967294"],
  ["uid:4294967295", "must be uid: and a number from 0 to 4294967294"],
  ["uid:root", "must be uid: and a number from 0 to 4294967294"],
  ["comm:", "must be comm: and a process name"],
  ["comm:a\nb", "must be comm: and a process name"],
  ["exe:vault", "must be exe: and an absolute path"],
  ["unit:a/b", "must be unit: and the name of a systemd unit"],
  ["cgroup:system.slice", "must be cgroup: and a path from the root of the cgroup tree"],
  ["container:0123456789a", "must be container: and 12 to 64 hexadecimal digits, lower case, of a container id"],
  [
    `container:${ID.toUpperCase()}`,
    "must be container: and 12 to 64 hexadecimal digits, lower case, of a container id",
  ],
] as const;

for (const [text, expected] of REFUSED) {
  test(`${JSON.stringify(text)} is no selector`, () => {
    assert.throws(() => parseSelector(text), {
      code: "RIMON_CONFIG",
      message: `a selector ${expected}, got ${JSON.stringify(text)}`,
    });
  });
}

test("a selector that was accepted is written as it was read", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 80 }),
    fc
      .tuple(fc.constantFrom("pid", "comm", "exe", "unit", "cgroup", "uid", "container"), fc.string({ maxLength: 70 }))
      .map(([by, value]) => `${by}:${value}`),
    fc.nat().map((uid) => `uid:${uid}`),
  );
  fc.assert(
    fc.property(text, (text) => {
      try {
        const selector = parseSelector(text);
        assert.equal(formatSelector(selector), text);
        matches(selector, VAULT);
      } catch (thrown) {
        assert.ok(thrown instanceof RimonError && thrown.code === "RIMON_CONFIG");
      }
    }),
  );
});

test("a process is matched by its own name, however long", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[^\p{Cc}]{1,40}$/u), (name) => {
      const comm = Buffer.from(name).subarray(0, 15).toString();
      assert.ok(matches({ by: "comm", value: name }, { ...VAULT, comm }));
    }),
  );
});

const HOLDERS: [process: Partial<Process>, holdsKeyFile: boolean, holder: string | undefined][] = [
  [{ exe: "/usr/sbin/sshd", comm: "sshd" }, false, "sshd"],
  [{ exe: "/usr/lib/openssh/sshd-session", comm: "sshd-session" }, false, "sshd"],
  [{ exe: "/usr/sbin/sshd (deleted)", comm: "sshd" }, false, "sshd"],
  [{ exe: "/usr/bin/bao", comm: "bao" }, false, "openbao"],
  // A name that a process gave itself does not make a holder of it while its file is known.
  [{ exe: "/tmp/evil", comm: "vault" }, false, undefined],
  [{ comm: "vault" }, false, "vault"],
  [{ comm: "kube-controller" }, false, "kube-controller-manager"],
  [{ exe: "/usr/lib/postfix/sbin/master", comm: "master" }, false, "postfix"],
  [{ exe: "/opt/game/master", comm: "master" }, false, undefined],
  [{ comm: "master" }, false, undefined],
  [
    { exe: "/usr/bin/redis-server", comm: "redis-server", cmdline: ["redis-server", "--port", "6379"] },
    false,
    undefined,
  ],
  [
    { exe: "/usr/bin/redis-server", comm: "redis-server", cmdline: ["redis-server", "--tls-port", "6380"] },
    false,
    "redis",
  ],
  [
    { exe: "/usr/bin/redis-server", comm: "redis-server", cmdline: ["redis-server", "--tls-port", "0"] },
    false,
    undefined,
  ],
  [{ exe: "/usr/bin/redis-server", comm: "redis-server", cmdline: ["redis-server", "--tls-port=0"] }, false, undefined],
  [{ exe: "/usr/bin/valkey-server", comm: "valkey-server" }, false, undefined],
  [{ exe: "/usr/bin/valkey-server", comm: "valkey-server" }, true, "valkey"],
  [{ exe: "/usr/bin/node", comm: "MainThread" }, false, undefined],
  [{ exe: "/usr/bin/node", comm: "MainThread" }, true, "node"],
  [{ exe: "/usr/bin/python3.11", comm: "python3" }, true, "python"],
  [{ exe: "/usr/bin/python3.11", comm: "python3" }, false, undefined],
  [{ exe: "/usr/bin/bash", comm: "bash" }, true, undefined],
  [{ comm: "sshd", kernelThread: true }, false, undefined],
];

for (const [process, holdsKeyFile, holder] of HOLDERS) {
  test(`${JSON.stringify(process)} ${holdsKeyFile ? "with a key file " : ""}is ${holder ?? "no known holder"}`, () => {
    assert.equal(holderOf({ ...UNKNOWN, ...process }, { holdsKeyFile })?.name, holder);
  });
}

test("every known holder is found by each of its files", () => {
  for (const holder of KNOWN_HOLDERS) {
    assert.notEqual(holder.why, "");
    for (const exe of holder.exe) {
      const found = holderOf({ ...UNKNOWN, exe: `/usr${holder.within ?? "/"}${exe}` }, { holdsKeyFile: true });
      assert.equal(found?.name, holder.name);
    }
  }
});
