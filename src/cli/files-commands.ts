// The options of `rimon files`.

import { InvalidArgumentError, Option, type Command } from "commander";
import type { FileRule } from "../baselines/files/rules.ts";
import type { Terminal } from "./terminal.ts";

interface Shared {
  readonly json?: true;
  readonly config?: string;
  readonly baseline?: string;
  readonly publicKey?: readonly string[];
  readonly threshold?: number;
  readonly threads?: number;
  readonly rate?: number;
  readonly eager?: true;
  readonly full?: true;
  readonly expires?: number;
}

interface Tools {
  readonly terminal: Terminal;
  readonly configOption: () => Option;
  readonly jsonOption: () => Option;
  readonly publicKeyOption: () => Option;
  readonly thresholdOption: () => Option;
  readonly countFrom: (least: number) => (value: string) => number;
  /** Is given the exit code. */
  readonly end: (code: number) => void;
}

const UNITS: Readonly<Record<string, number>> = { "": 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 };

function bytes(value: string): number {
  const [, number, unit] = /^(\d{1,9})([KMGT]iB)?$/.exec(value) ?? [];
  const factor = UNITS[unit ?? ""];
  if (number !== undefined && factor !== undefined && Number(number) > 0) return Number(number) * factor;
  throw new InvalidArgumentError(`expected a size such as 50MiB, got "${value}".`);
}

export function addFilesCommands(program: Command, tools: Tools): void {
  const { terminal, configOption, jsonOption, publicKeyOption, thresholdOption, countFrom, end } = tools;
  const baselineOption = (): Option =>
    new Option(
      "--baseline <file>",
      "the statement; its entries lie beside it (default: files.json in the state folder)",
    );
  const threadsOption = (): Option => new Option("--threads <number>", "that read").default(2).argParser(threads);
  const threads = (value: string): number => {
    const number = countFrom(1)(value);
    if (number <= 64) return number;
    throw new InvalidArgumentError(`expected at most 64 threads, got "${value}".`);
  };
  const rateOption = (): Option =>
    new Option("--rate <size>", "bytes a second that are read at most: 50MiB").argParser(bytes);
  const eagerOption = (): Option => new Option("--eager", "not behind everybody else at the disk and the processor");
  const expiresOption = (): Option =>
    new Option("--expires <days>", "how many days it holds (default: until it is replaced)").argParser(countFrom(1));
  const common = <Options extends Shared>({ json, expires, ...options }: Options) => ({
    ...options,
    json: json === true,
    ...(expires === undefined ? {} : { expiresDays: expires }),
  });

  const files = program
    .command("files")
    .description(
      "files as they are, and as they were when all was well: take a baseline, check against it, accept what was meant",
    )
    .addHelpText(
      "after",
      "\nWithout paths a baseline is of what a node runs: /usr, /boot, /etc, /opt, what cron and root have. A baseline that was taken after somebody broke in blesses what they did: take it where the node is built, and seal it there.",
    );
  const rule = (value: string, before: readonly FileRule[] = []): readonly FileRule[] => [
    ...before,
    ...parseRules(value),
  ];
  files
    .command("init")
    .description("write a baseline of what is there; paths are absolute, and what is below them")
    .argument("[paths...]")
    .addOption(baselineOption())
    .addOption(
      new Option(
        "--rule <rule>",
        "GROUP:PATTERN, before all other rules: ignore:/opt/cache, growing:/opt/**/*.log; repeatable",
      ).argParser(rule),
    )
    .option("--cross-filesystems", "into file systems that are mounted below the paths, too")
    .addOption(
      new Option("--max-size <size>", "the content of larger files is not read (default: 64GiB)").argParser(bytes),
    )
    .addOption(expiresOption())
    .addOption(threadsOption())
    .addOption(rateOption())
    .addOption(eagerOption())
    .addOption(configOption())
    .addOption(jsonOption())
    .action(
      async (
        paths: readonly string[],
        { maxSize, ...options }: Shared & { rule?: readonly FileRule[]; crossFilesystems?: true; maxSize?: number },
      ) => {
        const { filesInitCommand } = await import("./files.ts");
        const init = { ...common(options), ...(maxSize === undefined ? {} : { maxBytes: maxSize }) };
        end(await filesInitCommand(paths, init, terminal));
      },
    );
  files
    .command("check")
    .description(
      "compare with a baseline; exit code 1 if something is not as it was, or the baseline not to be trusted",
    )
    .argument("[paths...]", "these and what is below them alone")
    .addOption(baselineOption())
    .option("--full", "read every file, also where its inode, size and times are those of before")
    .addOption(publicKeyOption())
    .addOption(thresholdOption())
    .addOption(threadsOption())
    .addOption(rateOption())
    .addOption(eagerOption())
    .addOption(jsonOption())
    .action(async (paths: readonly string[], options: Shared) => {
      const { filesCheckCommand } = await import("./files.ts");
      end(await filesCheckCommand(paths, common(options), terminal));
    });
  files
    .command("update")
    .description("accept what differs: a new baseline in place of the old one, to be sealed anew")
    .argument("[paths...]", "accept it at and below these alone")
    .addOption(baselineOption())
    .option("--full", "read every file, also where its inode, size and times are those of before")
    .addOption(expiresOption())
    .addOption(publicKeyOption())
    .addOption(thresholdOption())
    .addOption(threadsOption())
    .addOption(rateOption())
    .addOption(eagerOption())
    .addOption(jsonOption())
    .action(async (paths: readonly string[], options: Shared) => {
      const { filesUpdateCommand } = await import("./files.ts");
      end(await filesUpdateCommand(paths, common(options), terminal));
    });
  files
    .command("show")
    .description("print the entries of a baseline; exit code 1 if there are none")
    .argument("[paths...]", "at and below these alone")
    .addOption(baselineOption())
    .addOption(publicKeyOption())
    .addOption(thresholdOption())
    .addOption(jsonOption())
    .action(async (paths: readonly string[], options: Shared) => {
      const { filesShowCommand } = await import("./files.ts");
      end(await filesShowCommand(paths, common(options), terminal));
    });
  files
    .command("diff")
    .description("compare two baselines, of any machine; exit code 1 if they differ")
    .argument("<before>")
    .argument("<after>")
    .addOption(publicKeyOption())
    .addOption(thresholdOption())
    .addOption(jsonOption())
    .action(async (before: string, after: string, options: Shared) => {
      const { filesDiffCommand } = await import("./files.ts");
      end(await filesDiffCommand(before, after, common(options), terminal));
    });
  files
    .command("explain")
    .description("which rule decides about a path, what is compared then, and why")
    .argument("<paths...>")
    .addOption(new Option("--baseline <file>", "by the rules of this baseline (default: those of the configuration)"))
    .addOption(publicKeyOption())
    .addOption(thresholdOption())
    .addOption(configOption())
    .addOption(jsonOption())
    .action(async (paths: readonly string[], options: Shared) => {
      const { filesExplainCommand } = await import("./files.ts");
      end(await filesExplainCommand(paths, common(options), terminal));
    });
}

/** "GROUP:PATTERN"; whether there is such a group is found out when it is used. */
function parseRules(value: string): readonly FileRule[] {
  const colon = value.indexOf(":");
  const path = value.slice(colon + 1);
  if (colon < 1 || !path.startsWith("/"))
    throw new InvalidArgumentError(`expected GROUP:PATTERN with an absolute pattern, got "${value}".`);
  return [{ path, group: value.slice(0, colon) as FileRule["group"], why: "asked for by --rule" }];
}
