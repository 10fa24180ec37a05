// Configuration files that are not usable, and what is said about each: line, column and sentence.

export interface BrokenFile {
  readonly name: string;
  readonly text: string;
  readonly problems: readonly string[];
}

/** Judged on 2026-11-20 with the rules memory-read, ptrace-attach and library-preloaded. */
export const BROKEN_FILES: readonly BrokenFile[] = [
  {
    name: "a misspelt severity",
    text: "rules:\n  memory-read:\n    severity: hgih\n",
    problems: ['3:15: rules.memory-read.severity must be info, low, medium, high or critical, got "hgih"'],
  },
  {
    name: "a misspelt key at the top",
    text: "mod: monitor\n",
    problems: ["1:1: mod is not known; did you mean mode?"],
  },
  {
    name: "a key nobody knows",
    text: "colour: red\n",
    problems: [
      "1:1: colour is not known; known here: environment, mode, interval, node, protect, rules, snapshots, files, gate, respond, exceptions, alerts, tenants, actions, audit, enforce",
    ],
  },
  {
    name: "a gate of nothing",
    text: "gate: { mounts: [], deadline: 5ms }\n",
    problems: [
      "1:17: gate.mounts must be a list of at least one mount, got an empty list",
      '1:31: gate.deadline must be a duration from 10ms to 1m, such as 500ms, 1s or 1m, got "5ms"',
    ],
  },
  {
    name: "a rule of the gate that says what there is not",
    text: "gate:\n  mounts: [{ path: usr, mode: block }]\n  rules: [{ verdict: maybe, writableBy: [], in: [mine], filesystem: ntfs }]\n",
    problems: [
      '2:20: gate.mounts[0].path must be an absolute path, got "usr"',
      '2:31: gate.mounts[0].mode must be learn, audit or enforce, got "block"',
      '3:22: gate.rules[0].verdict must be allow or deny, got "maybe"',
      "3:41: gate.rules[0].writableBy must be a list of owner, group or others, got an empty list",
      '3:50: gate.rules[0].in[0] must be baseline, packages or denied, got "mine"',
      '3:69: gate.rules[0].filesystem must be btrfs, erofs, ext2, ext3, ext4, f2fs, overlay, ramfs, squashfs, tmpfs, vfat or xfs, got "ntfs"',
    ],
  },
  {
    name: "a misspelt key further down",
    text: "alerts:\n  clusterAdmin: []\n",
    problems: ["2:3: alerts.clusterAdmin is not known; did you mean clusterAdmins?"],
  },
  {
    name: "an unknown rule",
    text: "rules:\n  memry-read: { enabled: true }\n",
    problems: ["2:3: rules.memry-read is no rule; did you mean memory-read?"],
  },
  {
    name: "an unknown rule in an exception and in enforce",
    text: "environment: development\nexceptions:\n  - { rule: ptrace, reason: why }\nenforce:\n  - protect: comm:vault\n    operations: [memory-raed]\n",
    problems: [
      '3:13: exceptions[0].rule must be a rule, got "ptrace"',
      '6:18: enforce[0].operations[0] must be what can be refused (memory-read, ptrace-attach, core-pattern, machine-memory), got "memory-raed"; did you mean memory-read?',
    ],
  },
  {
    name: "a rule in enforce that nothing can refuse",
    text: "mode: enforce\nenforce: [{ protect: comm:vault, operations: [memory-read, library-preloaded] }]\n",
    problems: [
      '2:60: enforce[0].operations[1] must be what can be refused (memory-read, ptrace-attach, core-pattern, machine-memory), got "library-preloaded"',
    ],
  },
  {
    name: "what is refused on processes, and not said on which",
    text: "mode: enforce\nenforce: [{ operations: [core-pattern, memory-read] }]\n",
    problems: [
      "2:40: enforce[0].operations[1] names memory-read, which is refused on processes: say on which, with protect",
    ],
  },
  {
    name: "what concerns the node, asked for on a process",
    text: "mode: enforce\nenforce: [{ protect: comm:vault, operations: [machine-memory] }]\n",
    problems: [
      "2:47: enforce[0].operations[0] names machine-memory, which concerns the whole node: give it an entry without protect",
    ],
  },
  {
    name: "an unknown action",
    text: "respond:\n  critical: [capture, kil-suspect]\n",
    problems: [
      '2:23: respond.critical[1] must be an action (capture, rotate-master-key, evict-tenant-keks, kill-suspect), got "kil-suspect"; did you mean kill-suspect?',
    ],
  },
  {
    name: "an action twice",
    text: "respond: { high: [capture, capture] }\n",
    problems: ["1:28: respond.high[1] names capture a second time"],
  },
  {
    name: "an action without a driver",
    text: "rules:\n  memory-read:\n    respond: [rotate-master-key]\n",
    problems: [
      "3:15: rules.memory-read.respond[0] names rotate-master-key, which has no driver: give actions.rotate-master-key one of exec, http or socket",
    ],
  },
  {
    name: "a key twice",
    text: "mode: monitor\ninterval: 1s\nmode: enforce\n",
    problems: ['3:1: the key "mode" is written a second time'],
  },
  {
    name: "a key twice, and another mistake",
    text: "mode: monitor\nmode: enforcing\ninterval: 1\n",
    problems: [
      '2:1: the key "mode" is written a second time',
      '2:7: mode must be monitor, enforce or off, got "enforcing"',
      "3:11: interval must be a duration from 1s to 5s, such as 500ms, 1s or 1m, got 1",
    ],
  },
  {
    name: "an interval out of bounds",
    text: "interval: 100ms\n",
    problems: ['1:11: interval must be a duration from 1s to 5s, such as 500ms, 1s or 1m, got "100ms"'],
  },
  {
    name: "a number where a duration is due",
    text: "alerts:\n  group: 60\n",
    problems: ["2:10: alerts.group must be a duration from 1s to 1h, such as 500ms, 1s or 1m, got 60"],
  },
  {
    name: "a value that is not there",
    text: "mode:\ninterval: 2s\n",
    problems: ["1:1: mode must be monitor, enforce or off, got nothing"],
  },
  {
    name: "a list at the top",
    text: "- mode: monitor\n",
    problems: ["1:1: the file must be a mapping, such as: mode: monitor"],
  },
  {
    name: "text at the top",
    text: "monitor\n",
    problems: ["1:1: the file must be a mapping, such as: mode: monitor"],
  },
  {
    name: "a tab as indentation",
    text: "alerts:\n\tgroup: 60s\n",
    problems: ["2:1: tabs are not allowed as indentation: use spaces"],
  },
  {
    name: "a list that is not closed",
    text: "protect: [comm:vault\nmode: monitor\n",
    problems: ["2:1: Flow sequence in block collection must be sufficiently indented and end with a ]"],
  },
  {
    name: "two documents",
    text: "mode: monitor\n---\nmode: enforce\n",
    problems: ["2:1: the file must hold one document, not several"],
  },
  {
    name: "an alias without its anchor",
    text: "protect: *hosts\n",
    problems: ["1:10: *hosts has no anchor &hosts before it"],
  },
  {
    name: "a tag",
    text: "node: !secret name\n",
    problems: ['1:15: the tag "!secret" is not known'],
  },
  {
    name: "a key that is a list",
    text: "? [a, b]\n: c\n",
    problems: [
      '1:1: ["[ a, b ]"] is not known; known here: environment, mode, interval, node, protect, rules, snapshots, files, gate, respond, exceptions, alerts, tenants, actions, audit, enforce',
      "1:3: a key must be plain text",
    ],
  },
  {
    name: "a sealed baseline by more keys than there are, by none, and by another word",
    text: "snapshots:\n  baseline: { file: /a, publicKeys: [/k.pub], threshold: 2, ifRefused: deny }\n",
    problems: [
      "2:58: snapshots.baseline.threshold must be at most the number of publicKeys, 1, got 2",
      '2:72: snapshots.baseline.ifRefused must be last-good or none, got "deny"',
    ],
  },
  {
    name: "a sealed baseline without a key",
    text: "snapshots: { baseline: { file: good.dsse, publicKeys: [] } }\n",
    problems: [
      '1:32: snapshots.baseline.file must be an absolute path, got "good.dsse"',
      "1:55: snapshots.baseline.publicKeys must be a list of at least one file with a public key, got an empty list",
    ],
  },
  {
    name: "YAML 1.1",
    text: "%YAML 1.1\n---\nmode: monitor\n",
    problems: ["1:1: the file must be YAML 1.2: leave out the %YAML line"],
  },
  {
    name: "a control character",
    text: "mode: monitor\nnode: 'a\u0007b'\n",
    problems: ["2:9: a control character is not allowed"],
  },
  {
    name: "selectors",
    text: "protect:\n  - vault\n  - name:vault\n  - pid:0\n  - exe:vault\n  - container:0123\n",
    problems: [
      '2:5: protect[0] must be comm:NAME, exe:PATH, unit:NAME, cgroup:PATH, container:ID, uid:NUMBER or pid:NUMBER, got "vault"',
      '3:5: protect[1] must be comm:NAME, exe:PATH, unit:NAME, cgroup:PATH, container:ID, uid:NUMBER or pid:NUMBER, got "name:vault"',
      '4:5: protect[2] must be pid: and a number from 1 to 4194304, got "pid:0"',
      '5:5: protect[3] must be exe: and an absolute path, got "exe:vault"',
      '6:5: protect[4] must be container: and 12 to 64 hexadecimal digits, lower case, of a container id, got "container:0123"',
    ],
  },
  {
    name: "mode off in production",
    text: "mode: off\n",
    problems: ['1:7: mode must be monitor or enforce in environment production, got "off"'],
  },
  {
    name: "production exceptions",
    text: "exceptions:\n  - { rule: memory-read, reason: no end }\n  - rule: memory-read\n    reason: too far\n    expires: 2027-02-19\n  - rule: ptrace-attach\n    reason: no digest\n    expires: 2026-12-31\n    suspect: { exe: /usr/bin/strace }\n  - rule: ptrace-attach\n    reason: by name\n    expires: 2026-12-31\n    suspect: { comm: strace }\n",
    problems: [
      "2:5: exceptions[0] must say when it expires, at most 90 days ahead, in environment production",
      '5:14: exceptions[1].expires must be at most 90 days ahead in environment production (2027-02-18), got "2027-02-19"',
      "9:14: exceptions[2].suspect names exe and must name sha256 too in environment production",
      "13:14: exceptions[3].suspect names comm and must name sha256 too in environment production",
    ],
  },
  {
    name: "exceptions that say nothing",
    text: "environment: development\nexceptions:\n  - {}\n  - { rule: memory-read, reason: '', suspect: {} }\n  - { rule: memory-read, reason: r, expires: 2026-02-30, suspect: { sha256: abc, uid: -1, user: root } }\n",
    problems: [
      "3:5: exceptions[0].rule is missing: it must be the name of a rule",
      "3:5: exceptions[0].reason is missing: it must be text on one line",
      '4:34: exceptions[1].reason must be text on one line, got ""',
      "4:47: exceptions[1].suspect must have at least one of exe, sha256, uid, comm, parent",
      '5:46: exceptions[2].expires must be a date such as 2026-12-31 (that day included) or a time such as 2026-12-31T18:00:00Z, got "2026-02-30"',
      '5:77: exceptions[2].suspect.sha256 must be 64 hexadecimal digits, got "abc"',
      "5:87: exceptions[2].suspect.uid must be a whole number from 0 to 4294967294, got -1",
      "5:91: exceptions[2].suspect.user is not known; known here: exe, sha256, uid, comm, parent",
    ],
  },
  {
    name: "secrets in place",
    text: "alerts:\n  clusterAdmins:\n    - webhook:\n        url: https://admin:hunter2@example.org/\n        headers: { Authorization: Bearer hunter2 }\n        bearer: hunter2\n        password: hunter2\n",
    problems: [
      "4:14: alerts.clusterAdmins[0].webhook.url must not hold a user or a password; put the header into a file and name it with headersFile, got a text (not shown)",
      "5:9: alerts.clusterAdmins[0].webhook.headers is not allowed: no secret is written into the configuration; name a file with headersFile, or use bearer: { file } or { env }",
      "6:17: alerts.clusterAdmins[0].webhook.bearer must be { file: PATH } or { env: NAME }, got a text (not shown)",
      "7:9: alerts.clusterAdmins[0].webhook.password is not allowed: no secret is written into the configuration; name a file with headersFile, or use bearer: { file } or { env }",
    ],
  },
  {
    name: "a bearer that is neither",
    text: "alerts: { clusterAdmins: [{ webhook: { url: 'https://h', bearer: { fiel: /run/token } } }] }\n",
    problems: ["1:66: alerts.clusterAdmins[0].webhook.bearer must be { file: PATH } or { env: NAME }, got a mapping"],
  },
  {
    name: "a bearer that is not a path",
    text: "alerts: { clusterAdmins: [{ webhook: { url: 'https://h', bearer: { file: hunter2 } } }] }\n",
    problems: ["1:74: alerts.clusterAdmins[0].webhook.bearer.file must be an absolute path, got a text (not shown)"],
  },
  {
    name: "sinks",
    text: "alerts:\n  clusterAdmins:\n    - {}\n    - { stdout: {}, file: { path: /x } }\n    - syslog: { address: '127.0.0.1:514', facility: local9 }\n    - webhook: { url: 'ftp://example.org' }\n    - webhok: { url: 'https://example.org' }\n    - exec: { command: [notify] }\n    - stdout\n",
    problems: [
      "3:7: alerts.clusterAdmins[0] must have exactly one of webhook, syslog, stdout, file, falcosidekick, exec, got none",
      "4:7: alerts.clusterAdmins[1] must have exactly one of webhook, syslog, stdout, file, falcosidekick, exec, got stdout and file",
      '5:26: alerts.clusterAdmins[2].syslog.address must be udp://HOST:PORT or tcp://HOST:PORT, got "127.0.0.1:514"',
      '5:53: alerts.clusterAdmins[2].syslog.facility must be kern, user, mail, daemon, auth, syslog, lpr, news, uucp, cron, authpriv, ftp, local0, local1, local2, local3, local4, local5, local6 or local7, got "local9"',
      "6:23: alerts.clusterAdmins[3].webhook.url must be an http:// or https:// URL, got a text (not shown)",
      "7:7: alerts.clusterAdmins[4].webhok is not known; did you mean webhook?",
      "8:24: alerts.clusterAdmins[5].exec.command must be a list that begins with an absolute path, got a list",
      '9:7: alerts.clusterAdmins[6] must be a mapping, got "stdout"',
    ],
  },
  {
    name: "tenants",
    text: "tenants:\n  - { id: a, processes: [] }\n  - { id: a, processes: ['comm:x'] }\n  - { id: 'a b' }\n",
    problems: [
      "2:25: tenants[0].processes must be a list of at least one selector, got an empty list",
      '3:11: tenants[1].id names tenant "a" a second time',
      "4:5: tenants[2].processes is missing: it must be a list of at least one selector",
      "4:11: tenants[2].id must be letters, digits, '.', '_' and '-', at most 64, got \"a b\"",
    ],
  },
  {
    name: "drivers",
    text: "actions:\n  rotate-master-key: { socket: /a, http: { url: 'http://127.0.0.1/' } }\n  evict-tenant-keks: { enabled: true }\n  kill-suspect: { enabled: 'yes', scope: comm:vault }\n  capture: { keep: 0, directory: captures }\n",
    problems: [
      "2:22: actions.rotate-master-key must have exactly one of exec, http, socket, got http and socket",
      "3:22: actions.evict-tenant-keks is enabled and must have one of exec, http or socket",
      '4:28: actions.kill-suspect.enabled must be true or false, got "yes"',
      '4:42: actions.kill-suspect.scope must be a list, got "comm:vault"',
      "5:20: actions.capture.keep must be a whole number from 1 to 1000000, got 0",
      '5:34: actions.capture.directory must be an absolute path, got "captures"',
    ],
  },
  {
    name: "a socket",
    text: "actions:\n  rotate-master-key: { socket: custody.sock }\n  evict-tenant-keks: { socket: { path: /run/x, timeot: 1s } }\n",
    problems: [
      '2:32: actions.rotate-master-key.socket must be an absolute path, got "custody.sock"',
      "3:48: actions.evict-tenant-keks.socket.timeot is not known; did you mean timeout?",
    ],
  },
  {
    name: "sizes and counts",
    text: "audit: { rotateSize: 64MB, checkpointEvery: 1.5, path: ~ }\n",
    problems: [
      '1:22: audit.rotateSize must be a size from 4KiB to 1024GiB, such as 64MiB, got "64MB"',
      "1:45: audit.checkpointEvery must be a whole number from 1 to 1000000, got 1.5",
      "1:56: audit.path must be an absolute path, got nothing",
    ],
  },
  {
    name: "an empty key",
    text: "rules: { ? }\n",
    problems: ['1:8: rules[""] must be a mapping, got nothing'],
  },
  {
    name: "through an alias",
    text: "tenants:\n  - { id: a, processes: &list ['comm:x', 'com:y'] }\n  - { id: b, processes: *list }\n",
    problems: [
      '2:42: tenants[0].processes[1] must be comm:NAME, exe:PATH, unit:NAME, cgroup:PATH, container:ID, uid:NUMBER or pid:NUMBER, got "com:y"',
      '2:42: tenants[1].processes[1] must be comm:NAME, exe:PATH, unit:NAME, cgroup:PATH, container:ID, uid:NUMBER or pid:NUMBER, got "com:y"',
    ],
  },
];
