// The command line. Exit codes: 0 fine, 1 findings, a failed verification or refused output, 2 usage or configuration,
// 3 not allowed or not supported here.

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { RimonError, type ErrorCode } from "../errors.ts";
import { VERSION } from "../package.ts";
import { addFilesCommands } from "./files-commands.ts";
import { createTerminal } from "./terminal.ts";

const EXIT: Readonly<Record<ErrorCode, number>> = {
  RIMON_CONFIG: 2,
  RIMON_USAGE: 2,
  RIMON_AUDIT: 2,
  RIMON_UNSUPPORTED: 3,
  RIMON_PERMISSION: 3,
  RIMON_NATIVE: 3,
  RIMON_ACTION: 1,
};

interface Common {
  readonly json?: true;
  readonly config?: string;
  readonly protect?: readonly string[];
}

const terminal = createTerminal(process.stdout);
let code = 0;
let outputRefused = false;

const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];
const collectNames = (value: string, before: readonly string[] = []): string[] => [...before, ...value.split(",")];
const countFrom =
  (least: number) =>
  (value: string): number => {
    const number = Number(value);
    if (/^\d{1,9}$/.test(value) && number >= least) return number;
    throw new InvalidArgumentError(`expected a whole number of at least ${least}, got "${value}".`);
  };
const collectPids = (value: string, before: readonly number[] = []): number[] => [...before, countFrom(1)(value)];
const configOption = (): Option =>
  new Option("--config <file>", "configuration (default: /etc/rimon/rimon.yaml if it is there)");
const jsonOption = (): Option => new Option("--json", "one JSON object a line");
const protectOption = (): Option =>
  new Option(
    "--protect <selector>",
    "protect this and nothing else: pid:1234, comm:vault, exe:/usr/sbin/sshd, unit:vault.service, cgroup:/system.slice/x, uid:991, container:ID; repeatable",
  ).argParser(collect);

const program = new Command("rimon")
  .description(
    "Runtime integrity monitor: sees attempts to take key material out of protected processes, tells, keeps evidence, answers.",
  )
  .version(VERSION)
  .configureHelp({ helpWidth: Math.min(terminal.columns, 110) })
  .addHelpText(
    "after",
    "\nExit codes: 0 fine, 1 findings, a failed verification or refused output, 2 usage or configuration, 3 not allowed or not supported here.",
  )
  .exitOverride();

program
  .command("run")
  .description("watch this node until SIGTERM or Ctrl-C; SIGHUP reloads the configuration")
  .addOption(configOption())
  .addOption(protectOption())
  .addOption(
    new Option(
      "--mode <mode>",
      "overrides the configuration's mode; enforce also kills who does what the configuration's enforce refuses",
    ).choices(["monitor", "enforce", "off"]),
  )
  .option("--record <file>", "write every observation to a new file, for replay")
  .addOption(jsonOption())
  .action(async (options: Common & { mode?: "monitor" | "enforce" | "off"; record?: string }) => {
    const { runCommand } = await import("./run.ts");
    code = await runCommand({ ...options, json: options.json === true }, terminal);
  });

program
  .command("scan")
  .description("look over the node and its posture once, without attaching anything; exit code 1 if something is found")
  .addOption(configOption())
  .addOption(protectOption())
  .addOption(jsonOption())
  .action(async (options: Common) => {
    const { scanCommand } = await import("./scan.ts");
    code = await scanCommand({ ...options, json: options.json === true }, terminal);
  });

program
  .command("doctor")
  .description("which sensor is live for which technique, what is blind without the others, and what to change")
  .option("--no-drill", "do not attack a decoy: sensors are then attached, not proven")
  .addOption(jsonOption())
  .action(async (options: Common & { drill: boolean }) => {
    const { doctorCommand } = await import("./doctor.ts");
    code = await doctorCommand({ json: options.json === true, drill: options.drill }, terminal);
  });

program
  .command("drill")
  .description("attack a decoy that rimon starts itself, one technique after another, and say what was seen")
  .addHelpText(
    "after",
    "\nEvery process that is attacked is one of the drill's own. core-pattern-write and core-pipe-handler write kernel.core_pattern of this node: the first the value that stands there, the second a program of its own, for some milliseconds. A rimon that watches this node sees these two and debugger-renamed too, and answers as it is configured.",
  )
  .addOption(
    new Option("--only <techniques>", "run these techniques, separated by commas; repeatable").argParser(collectNames),
  )
  .option("--enforce", "have the kernel stop who reads the decoys' memory, and say what came out all the same")
  .option("--list", "name the techniques and run none")
  .addOption(jsonOption())
  .action(async (options: Common & { only?: readonly string[]; list?: true; enforce?: true }) => {
    const { drillCommand, drillList } = await import("./drill.ts");
    const json = options.json === true;
    code =
      options.list === true
        ? drillList(json, terminal)
        : await drillCommand(
            {
              json,
              ...(options.only === undefined ? {} : { only: options.only }),
              ...(options.enforce === undefined ? {} : { enforce: options.enforce }),
            },
            terminal,
          );
  });

program
  .command("bench")
  .description("measure on this machine what rimon costs, how fast it sees, and what encryption takes")
  .addHelpText(
    "after",
    "\nAbout a quarter of an hour; with --quick at most three minutes. Needs root for most of it. What cannot be measured here is named. Everything it attacks, floods or stops it has started itself.",
  )
  .option("--quick", "few runs and small sizes, to see that nothing slipped ten-fold")
  .addOption(new Option("--only <names>", "these benches, separated by commas; repeatable").argParser(collectNames))
  .option("--json <file>", "keep the result there (a full run: rimon-bench.json)")
  .option("--html <file>", "write a page with its plots (a full run: rimon-bench.html)")
  .option("--check", "hold it against bench/budget.yaml; exit code 1 if a bound is broken")
  .option("--compare <file>", "say what moved since the result in this file")
  .action(
    async (options: {
      quick?: true;
      only?: readonly string[];
      json?: string;
      html?: string;
      check?: true;
      compare?: string;
    }) => {
      const { benchCommand } = await import("./bench.ts");
      code = await benchCommand({ ...options, quick: options.quick === true, check: options.check === true }, terminal);
    },
  );

program
  .command("replay")
  .description("run recorded observations through the same detectors and policy; needs no privileges")
  .argument("<file>", "a recording made by rimon run --record")
  .addOption(configOption())
  .addOption(protectOption())
  .addOption(jsonOption())
  .action(async (file: string, options: Common) => {
    const { replayCommand } = await import("./replay.ts");
    code = await replayCommand(file, { ...options, json: options.json === true }, terminal);
  });

const audit = program.command("audit").description("read the audit log, or prove that it is whole");
audit
  .command("show")
  .description("print the records of a log and of the files it was rotated to")
  .argument("[file]", "the log (default: audit.ndjson in the state folder)")
  .option("--finding <id>", "only what concerns this finding")
  .option("--type <type>", "only records of this type: verdict, outcome, checkpoint, ...")
  .addOption(jsonOption())
  .action(async (file: string | undefined, options: Common & { finding?: string; type?: string }) => {
    const { auditShowCommand, defaultAuditLog } = await import("./audit.ts");
    code = await auditShowCommand(file ?? defaultAuditLog(), { ...options, json: options.json === true }, terminal);
  });
audit
  .command("verify")
  .description("check every record and every signature; exit code 1 and the first bad record if one fails")
  .argument("[file]", "the log (default: audit.ndjson in the state folder)")
  .option(
    "--public-key <file>",
    "the key the checkpoints must be signed with (default: the configured keyFile's .pub if this is the configured log, else the key that the log names)",
  )
  .addOption(configOption())
  .addOption(jsonOption())
  .action(async (file: string | undefined, options: Common & { publicKey?: string }) => {
    const { auditVerifyCommand, defaultAuditLog } = await import("./audit.ts");
    code = await auditVerifyCommand(file ?? defaultAuditLog(), { ...options, json: options.json === true }, terminal);
  });

const snapshots = program
  .command("snapshot")
  .description("isolation structures of processes and of the kernel: as they are, and as they were when all was well")
  .addHelpText(
    "after",
    "\nA baseline holds for one life of each process and one boot of the node. What is compared is what does not change by itself; digests of the texts as they were read are kept as evidence.",
  );
const publicKeyOption = (): Option =>
  new Option(
    "--public-key <files...>",
    "the keys that may have sealed it, in PEM; without them only a baseline that is not sealed is read",
  );
const thresholdOption = (): Option =>
  new Option("--threshold <number>", "how many of the keys must have signed").default(1).argParser(countFrom(1));
snapshots
  .command("take")
  .description("write a baseline of the kernel and of the processes named")
  .addOption(new Option("--pid <pid>", "a process; repeatable").argParser(collectPids))
  .option("--all-protected", "every process that rimon protects here")
  .addOption(new Option("--subsystem <names>", "these alone, separated by commas; repeatable").argParser(collectNames))
  .addOption(
    new Option("--expires <days>", "how many days it holds (default: until it is replaced)").argParser(countFrom(1)),
  )
  .option("--out <file>", "where it is to be (default: standard output)")
  .addOption(configOption())
  .addOption(protectOption())
  .addOption(jsonOption())
  .action(
    async (
      options: Common & {
        pid?: readonly number[];
        allProtected?: true;
        subsystem?: readonly string[];
        expires?: number;
        out?: string;
      },
    ) => {
      const { snapshotTakeCommand } = await import("./snapshot.ts");
      const { expires, ...rest } = options;
      code = await snapshotTakeCommand(
        { ...rest, json: options.json === true, ...(expires === undefined ? {} : { expiresDays: expires }) },
        terminal,
      );
    },
  );
snapshots
  .command("check")
  .description(
    "compare with a baseline once; exit code 1 if something is not as it was, or the baseline not to be trusted",
  )
  .argument("<file>", "the baseline, sealed or not")
  .addOption(publicKeyOption())
  .addOption(thresholdOption())
  .addOption(jsonOption())
  .action(async (file: string, options: Common & { publicKey?: readonly string[]; threshold: number }) => {
    const { snapshotCheckCommand } = await import("./snapshot.ts");
    code = await snapshotCheckCommand(file, { ...options, json: options.json === true }, terminal);
  });
snapshots
  .command("watch")
  .description("compare again and again until SIGTERM or Ctrl-C; exit code 1 if there was anything")
  .argument("<file>", "the baseline, sealed or not")
  .addOption(new Option("--interval <seconds>", "from one comparison to the next").default(30).argParser(countFrom(1)))
  .addOption(publicKeyOption())
  .addOption(thresholdOption())
  .addOption(jsonOption())
  .action(
    async (file: string, options: Common & { publicKey?: readonly string[]; threshold: number; interval: number }) => {
      const { snapshotWatchCommand } = await import("./snapshot.ts");
      code = await snapshotWatchCommand(
        file,
        { ...options, json: options.json === true, intervalMs: options.interval * 1_000 },
        terminal,
      );
    },
  );

addFilesCommands(program, {
  terminal,
  configOption,
  jsonOption,
  publicKeyOption,
  thresholdOption,
  countFrom,
  end(ended) {
    code = ended;
  },
});

const gate = program
  .command("gate")
  .description("the exec gate: what is checked before it runs")
  .addHelpText(
    "after",
    "\nA baseline is believed where gate.known names it: sealed by one of gate.publicKeys, or, without keys, made on this machine.",
  );
gate
  .command("status")
  .description("what is checked here and what came of it; exit code 1 if nothing is checked now")
  .addOption(configOption())
  .addOption(jsonOption())
  .action(async (options: Common) => {
    const { gateStatusCommand } = await import("./gate.ts");
    code = await gateStatusCommand({ ...options, json: options.json === true }, terminal);
  });
gate
  .command("try")
  .description("what would become of this file, and by which rule; exit code 1 if it would not run")
  .argument("<file>", "an executable; it is read and not run")
  .addOption(new Option("--uid <uid>", "who would run it (default: you)").argParser(countFrom(0)))
  .option("--by <path>", "the executable that would run it (default: unknown)")
  .addOption(configOption())
  .addOption(jsonOption())
  .action(async (file: string, options: Common & { uid?: number; by?: string }) => {
    const { gateTryCommand } = await import("./gate.ts");
    code = await gateTryCommand(file, { ...options, json: options.json === true }, terminal);
  });
gate
  .command("learn")
  .description("write a baseline of every executable below these folders; exit code 1 if one could not be read")
  .argument("<path...>", "folders, or executables")
  .addOption(
    new Option("--expires <days>", "how many days it holds (default: until it is replaced)").argParser(countFrom(1)),
  )
  .option("--out <file>", "where it is to be (default: standard output)")
  .addOption(jsonOption())
  .action(async (paths: readonly string[], options: Common & { expires?: number; out?: string }) => {
    const { gateLearnCommand } = await import("./gate.ts");
    const { expires, ...rest } = options;
    code = await gateLearnCommand(
      paths,
      { ...rest, json: options.json === true, ...(expires === undefined ? {} : { expiresDays: expires }) },
      terminal,
    );
  });

const seal = program
  .command("seal")
  .description("sign baselines, and prove who signed one")
  .addHelpText(
    "after",
    "\nA sealed baseline is an in-toto Statement in a DSSE envelope, signed with Ed25519. The secret keys stay off the nodes; the nodes have the public ones.",
  );
seal
  .command("keygen")
  .description("make a key: the secret one in FILE, the public one in FILE.pub; neither may be there already")
  .argument("<file>", "where the secret key is to be, off the nodes")
  .addOption(jsonOption())
  .action(async (file: string, options: Common) => {
    const { sealKeygenCommand } = await import("./seal.ts");
    code = await sealKeygenCommand(file, { json: options.json === true }, terminal);
  });
seal
  .command("sign")
  .description("sign a baseline, or add a signature to one that is sealed already")
  .argument("<file>", "the baseline: a statement as JSON, or an envelope")
  .requiredOption("--key <file>", "the secret key to sign with, as rimon seal keygen makes it")
  .option("--out <file>", "where the envelope is to be (default: in place of the baseline)")
  .addOption(jsonOption())
  .action(async (file: string, options: Common & { key: string; out?: string }) => {
    const { sealSignCommand } = await import("./seal.ts");
    code = await sealSignCommand(file, { ...options, json: options.json === true }, terminal);
  });
seal
  .command("verify")
  .description("check the signatures of a sealed baseline and that it has not expired; exit code 1 if one fails")
  .addHelpText(
    "after",
    "\nIt does not check that the baseline is the newest one, nor that it is of this machine: no counter is remembered here. Both are printed.",
  )
  .argument("<file>", "the envelope")
  .requiredOption("--public-key <files...>", "the keys that count, in PEM; a file may hold several")
  .addOption(thresholdOption())
  .addOption(jsonOption())
  .action(async (file: string, options: Common & { publicKey: readonly string[]; threshold: number }) => {
    const { sealVerifyCommand } = await import("./seal.ts");
    code = await sealVerifyCommand(file, { ...options, json: options.json === true }, terminal);
  });

const config = program.command("config").description("check, describe or show the configuration");
config
  .command("check")
  .description("say whether a configuration can be used, naming every place where it cannot")
  .argument("[file]", "the configuration (default: /etc/rimon/rimon.yaml if it is there)")
  .addOption(jsonOption())
  .action(async (file: string | undefined, options: Common) => {
    const { configCheckCommand } = await import("./config.ts");
    code = await configCheckCommand(file, { json: options.json === true }, terminal);
  });
config
  .command("schema")
  .description("print the JSON Schema of the configuration, for editors")
  .action(async () => {
    const { configSchemaCommand } = await import("./config.ts");
    code = await configSchemaCommand(terminal);
  });
config
  .command("show")
  .description("print the effective configuration, and where each value comes from")
  .addOption(configOption())
  .addOption(jsonOption())
  .action(async (options: Common) => {
    const { configShowCommand } = await import("./config.ts");
    code = await configShowCommand({ ...options, json: options.json === true }, terminal);
  });

program
  .command("explain")
  .description("what a rule means, why it fires, how an attacker does it, what to do")
  .argument("[rule]", "a rule; without one, the list of rules")
  .addOption(jsonOption())
  .action(async (rule: string | undefined, options: Common) => {
    const { explainCommand } = await import("./explain.ts");
    code = explainCommand(rule, { json: options.json === true }, terminal);
  });

// Whoever reads our output may leave before its end, as head(1) does; anything else that stops the writing is told.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") return;
  if (!outputRefused) process.stderr.write(`rimon: standard output cannot be written: ${error.message}\n`);
  outputRefused = true;
  atLeastExit(1);
});
// Without a listener it would end rimon: a log of both on a full disk. There is nowhere left to say it.
process.stderr.on("error", () => atLeastExit(1));

try {
  await program.parseAsync();
} catch (thrown) {
  code = report(thrown);
}
atLeastExit(code);

/** What was refused before is not forgotten by an end that is fine. */
function atLeastExit(least: number): void {
  process.exitCode = Math.max(Number(process.exitCode ?? 0), least);
}

function report(thrown: unknown): number {
  terminal.status("");
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
  if (thrown instanceof RimonError) {
    process.stderr.write(`${thrown.code}: ${thrown.message.replace(`${thrown.code}: `, "")}\n`);
    return EXIT[thrown.code];
  }
  // Anything else is a mistake of rimon's own: show where.
  process.stderr.write(`rimon: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
  return 1;
}
