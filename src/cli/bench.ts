// rimon bench: measures, prints what came out, keeps it, holds it against the budget or an earlier run.

import { accessSync, constants, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { judgeBudget, readBudget, type Judgement } from "../bench/budget.ts";
import { round } from "../bench/claims.ts";
import { compare, type Comparison } from "../bench/compare.ts";
import { pageOf } from "../bench/page.ts";
import { parseResult, type Bench, type Figure, type LeftOut, type Result } from "../bench/result.ts";
import { runSuite } from "../bench/suite.ts";
import { abortOnSignals } from "../drill/signals.ts";
import { RimonError, reasonOf } from "../errors.ts";
import { IS_FROM_SOURCE } from "../package.ts";
import { printable } from "../responders/printable.ts";
import { table, type StyleKind, type Terminal } from "./terminal.ts";

export interface BenchCommandOptions {
  readonly quick: boolean;
  readonly only?: readonly string[];
  /** Where the result goes; a full run has a place of its own for both. */
  readonly json?: string;
  readonly html?: string;
  readonly check: boolean;
  readonly compare?: string;
}

const JSON_FILE = "rimon-bench.json";
const HTML_FILE = "rimon-bench.html";
/** A sign of life where no live status line can be shown. */
const QUIET_MS = 10_000;

/** Exit code 1 if a bench failed or a bound of the budget is broken. */
export async function benchCommand(options: BenchCommandOptions, terminal: Terminal): Promise<number> {
  const { quick, only } = options;
  const json = options.json ?? (quick ? undefined : JSON_FILE);
  const html = options.html ?? (quick ? undefined : HTML_FILE);
  const kept = [json, html].filter((path) => path !== undefined);
  // Before minutes are spent: what comes of them can be kept, and what is to be compared with can be read.
  kept.forEach(expectWritable);
  const before = options.compare === undefined ? undefined : parseResult(readText(options.compare), options.compare);
  const budget = options.check ? readBudget() : undefined;
  const { signal, exitCode, release } = abortOnSignals();
  try {
    const result = await runSuite({
      quick,
      signal,
      ...(only === undefined ? {} : { only }),
      onProgress: progress(terminal),
      onBench: (bench, figures, leftOut, seconds) =>
        terminal.write(presentBench(bench, figures, leftOut, seconds, terminal)),
    });
    terminal.status("");
    terminal.write(presentEnd(result, terminal));
    const judgements = budget === undefined ? [] : judgeBudget(budget, result);
    if (budget !== undefined) terminal.write(presentJudgements(judgements, terminal));
    if (before !== undefined) terminal.write(presentComparison(compare(before, result), terminal));
    if (json !== undefined) write(json, `${JSON.stringify(result, undefined, 1)}\n`);
    if (html !== undefined) write(html, pageOf(result, judgeBudget(budget ?? readBudget(), result)));
    if (kept.length > 0) terminal.write(`\n${terminal.style("dim", `kept in ${kept.join(" and ")}`)}\n`);
    const failed = result.leftOut.some(({ failed }) => failed === true);
    return failed || judgements.some(({ verdict }) => verdict === "broken") ? 1 : 0;
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
    terminal.status("");
    return exitCode();
  } finally {
    release();
  }
}

function progress(terminal: Terminal): (doing: string) => void {
  let toldAt = Number.NEGATIVE_INFINITY;
  return (doing) => {
    terminal.status(doing);
    if (terminal.isTTY || performance.now() - toldAt < QUIET_MS) return;
    toldAt = performance.now();
    terminal.write(`${terminal.style("dim", `${doing} ...`)}\n`);
  };
}

function presentBench(
  { name, summary }: Bench,
  figures: readonly Figure[],
  leftOut: readonly LeftOut[],
  seconds: number,
  { style }: Terminal,
): string {
  const single = figures.filter(({ cell }) => cell === undefined);
  const rows = single.map((figure) => ["", figure.label, amount(figure), style("dim", intervalOf(figure))]);
  const left = leftOut.map(
    ({ what, why, failed }) =>
      `${failed === true ? style("bad", "  FAILED") : style("medium", "  left out")}: ${what} (${printable(why)})\n`,
  );
  return `\n${style("bold", name)}   ${style("dim", `${summary} (${Math.round(seconds)} s)`)}\n${tables(figures, style)}${table(rows)}${left.join("")}`;
}

/** Figures with the same columns are one table. */
function tables(figures: readonly Figure[], style: Terminal["style"]): string {
  const rows = new Map<string, Map<string, Figure>>();
  for (const figure of figures) {
    if (figure.cell === undefined) continue;
    const [row, column] = figure.cell;
    const cells = rows.get(row) ?? new Map<string, Figure>();
    rows.set(row, cells.set(column, figure));
  }
  const groups: { columns: string[]; rows: [string, Map<string, Figure>][] }[] = [];
  for (const [row, cells] of rows) {
    const columns = [...cells.keys()];
    const group = groups.find((each) => columns.some((column) => each.columns.includes(column)));
    if (group === undefined) groups.push({ columns, rows: [[row, cells]] });
    else {
      group.columns.push(...columns.filter((column) => !group.columns.includes(column)));
      group.rows.push([row, cells]);
    }
  }
  return groups
    .map(({ columns, rows }) => {
      const head = ["", "", ...columns].map((cell) => style("dim", cell));
      const body = rows.map(([row, cells]) => [
        "",
        row,
        ...columns.map((column) => {
          const figure = cells.get(column);
          if (figure === undefined) return "";
          return figure.interval === "95 %" ? `${amount(figure)} ${style("dim", ends(figure))}` : amount(figure);
        }),
      ]);
      return table([head, ...body]);
    })
    .join("");
}

function presentEnd({ machine, warnings, claims, cores, quick, seconds }: Result, { style }: Terminal): string {
  const lines: string[] = [];
  if (claims.length > 0) {
    lines.push("", style("bold", "What was claimed"));
    const rows = claims.map(({ claim, measured, holds, verdict }) => [
      "",
      claim,
      measured,
      style(holds === null ? "dim" : holds ? "ok" : "bad", verdict),
    ]);
    lines.push(table(rows).trimEnd());
  }
  if (cores.length > 0) {
    lines.push("", style("bold", "Cores of this machine that it takes"));
    const head = ["", "at", "encryption", "key derivation, 25,000 calls/s", "rimon"].map((cell) => style("dim", cell));
    const rows = cores.map(({ gbitPerSecond, encryption, keyDerivation, rimon }) => [
      "",
      `${gbitPerSecond} Gbit/s`,
      round(encryption),
      round(keyDerivation),
      rimon === null ? "not measured" : round(rimon),
    ]);
    lines.push(table([head, ...rows]).trimEnd());
  }
  const where = [
    `${machine.cpu}, ${machine.cores} cores${machine.virtual === true ? " (virtual)" : ""}`,
    `Linux ${machine.kernel}, Node ${machine.node}, OpenSSL ${machine.openssl}`,
    `load ${machine.load.toFixed(2)}, ${machine.processes} processes`,
  ];
  lines.push("", `${style("bold", "Machine")}   ${where.join("; ")}`);
  lines.push(`${style("dim", `  instructions: ${machine.features.join(" ")}`)}`);
  for (const warning of warnings) lines.push(`${style("medium", "  noisy")}: ${warning}`);
  if (IS_FROM_SOURCE)
    lines.push(`${style("medium", "  from source")}: what rimon itself costs includes the compiler's loader`);
  lines.push(style("dim", `  ${quick ? "a quick run" : "a full run"} of ${seconds} s`));
  return `${lines.join("\n")}\n`;
}

const JUDGED: Readonly<Record<Judgement["verdict"], readonly [StyleKind, string]>> = {
  holds: ["ok", "holds"],
  broken: ["bad", "BROKEN"],
  unclear: ["medium", "unclear"],
  "not measured": ["dim", "not measured"],
};

function presentJudgements(judgements: readonly Judgement[], { style }: Terminal): string {
  const rows = judgements.map(({ what, bound, figure, verdict, why }) => {
    const [kind, word] = JUDGED[verdict];
    return [
      "",
      style(kind, word),
      what,
      bound,
      figure === undefined ? (why ?? "") : `${amount(figure)} ${intervalOf(figure)}`,
    ];
  });
  const broken = judgements.filter(({ verdict }) => verdict === "broken");
  const verdict =
    broken.length === 0
      ? style("ok", "no bound of the budget is broken")
      : style(
          "bad",
          `${broken.length} of ${judgements.length} bounds broken: ${broken.map(({ id }) => id).join(", ")}`,
        );
  return `\n${style("bold", "Budget")}\n${table(rows)}${verdict}\n`;
}

function presentComparison({ movements, gone, added, differences }: Comparison, { style }: Terminal): string {
  const moved = movements.filter(({ verdict }) => verdict !== "same");
  const kinds = { better: "ok", worse: "bad", moved: "medium", same: "dim" } as const;
  const rows = moved.map(({ label, before, now, factor, verdict }) => [
    "",
    style(kinds[verdict], verdict),
    label,
    amount(before),
    amount(now),
    factor === undefined ? "" : `× ${round(factor)}`,
  ]);
  const lines = [
    ...differences.map((each) => `${style("medium", "  differs")}: ${printable(each)}`),
    ...(gone.length === 0 ? [] : [`  no longer measured: ${gone.join(", ")}`]),
    ...(added.length === 0 ? [] : [`  new: ${added.join(", ")}`]),
  ];
  const head = `${moved.length} of ${movements.length} figures moved by more than their intervals`;
  return `\n${style("bold", "Against the earlier run")}   ${style("dim", head)}\n${table(rows)}${lines.map((line) => `${line}\n`).join("")}`;
}

function amount({ value, unit }: Figure): string {
  return `${round(value)} ${unit}`;
}

function intervalOf({ low, high, n, interval }: Figure): string {
  if (interval === "none") return "";
  return `${ends({ low, high })} (${interval === "quartiles" ? "half of" : "95 % sure, from"} ${n})`;
}

function ends({ low, high }: Pick<Figure, "low" | "high">): string {
  return `${round(low)} to ${round(high)}`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", `${path} cannot be read: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

function expectWritable(path: string): void {
  try {
    accessSync(existsSync(path) ? path : dirname(path), constants.W_OK);
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", `${path} cannot be written: ${reasonOf(thrown)}`, { cause: thrown });
  }
  if (existsSync(path) && statSync(path).isDirectory())
    throw new RimonError("RIMON_USAGE", `${path} cannot be written: expected a file, and it is a folder`);
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (thrown) {
    throw new RimonError("RIMON_USAGE", `${path} cannot be written: ${reasonOf(thrown)}`, { cause: thrown });
  }
}
