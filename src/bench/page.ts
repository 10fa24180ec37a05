// The result as one HTML page that needs nothing else: no script, no font, no request.

import type { Judgement } from "./budget.ts";
import { cipherCurve, coresChart, latencyStrips, overheadBars, scanCurve } from "./charts.ts";
import { round } from "./claims.ts";
import { escaped } from "./plot.ts";
import type { Figure, Result } from "./result.ts";

const COLOURS = `:root { color-scheme: light dark; --ground: #fbfaf8; --ink: #1d2126; --dim: #6b7280; --rule: #e3e0da; --card: #fff;
  --s0: #d2541b; --s1: #2563a8; --s2: #2f8f5b; --s3: #8a4fbf; --s4: #b08900; --s5: #0f8a8a; --s6: #b5305f; --s7: #5b6472; --good: #23834c; --bad: #c0341d; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --ink: #e7e4de; --dim: #9199a5; --rule: #2b3037; --card: #1a1e23;
  --s0: #ff8a4c; --s1: #6aa9f0; --s2: #5cc48b; --s3: #bb8df0; --s4: #e0bd48; --s5: #4fc7c7; --s6: #f07ba3; --s7: #a4aebb; --good: #5cc48b; --bad: #ff7a62; } }`;

const OF_PAGE = `* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 40px 20px 80px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.02em; }
h2 { font-size: 20px; margin: 44px 0 4px; letter-spacing: -0.01em; }
p { margin: 4px 0 14px; max-width: 46em; }
.dim, figcaption { color: var(--dim); }
.warning { border-left: 3px solid var(--s4); padding: 6px 14px; margin: 14px 0; background: var(--card); }
figure { margin: 14px 0; padding: 18px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 640px; height: auto; font-size: 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { color: var(--dim); font-weight: 500; font-size: 13px; }
td.n { text-align: right; white-space: nowrap; } td.n + td { white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.scroll { overflow-x: auto; } details { margin: 10px 0; } summary { cursor: pointer; font-weight: 600; }`;

const OF_PLOTS = `text { fill: var(--ink); } .tick, .label, .axis { fill: var(--dim); } .axis { font-style: italic; } .name { font-size: 12.5px; }
.grid { stroke: var(--rule); } .rule { stroke: var(--rule); } .zero { stroke: var(--dim); } .limit { stroke: var(--dim); stroke-dasharray: 3 4; }
.curve { fill: none; stroke-width: 2; opacity: 0.85; } .curve.own { stroke-width: 3.5; opacity: 1; } .name.own { font-weight: 700; }
.whisker { stroke-width: 1.6; } .stroke { stroke-width: 1.2; opacity: 0.28; } .mark { stroke-width: 1.6; } .mark.bold { stroke-width: 3.2; }
.touch { fill: transparent; stroke: none; } .soft { opacity: 0.35; }
${Array.from({ length: 8 }, (_, index) => `.s${index} { stroke: var(--s${index}); } .fill.s${index}, text.s${index} { fill: var(--s${index}); stroke: none; }`).join("\n")}`;

export function pageOf(result: Result, judgements: readonly Judgement[]): string {
  const { machine, warnings, quick, rimon, time, seconds } = result;
  const sections = [
    section(
      "What it takes to encrypt, to derive keys and to watch",
      "Cores of this machine, by line rate. The one farthest to the right is the bottleneck.",
      coresChart(result.cores, machine),
      claims(result),
    ),
    section(
      "AES-256-GCM by size",
      "By the OpenSSL that Node carries, in C, verified by test vectors first. One core by its CPU time, all cores by the clock.",
      cipherCurve(result),
    ),
    section(
      "One full process table",
      "CPU per process at more and more processes, both axes by powers of ten. A flat line is a pass that costs by the process and nothing more.",
      scanCurve(result),
    ),
    section(
      "From the act to the finding, the record and the alert",
      "From the attacker's own clock right before the act. Each stroke is a hundredth of the runs.",
      latencyStrips(result),
    ),
    section(
      "What others lose",
      "The same work in turns, with nobody watching and with each watcher. The line is the 95 % interval of the median of the pairs' ratios; one that reaches over 0 shows no loss.",
      overheadBars(result),
    ),
  ];
  const body = [
    `<h1>What rimon costs, and how fast it sees</h1>`,
    `<p class="dim">rimon ${escaped(rimon)}, ${escaped(time.slice(0, 16).replace("T", " "))} UTC, ${quick ? "a quick run" : "a full run"} of ${seconds} s on ${escaped(machine.cpu)}, ${machine.cores} cores${machine.virtual === true ? " (virtual)" : ""}, Linux ${escaped(machine.kernel)}, Node ${escaped(machine.node)}, OpenSSL ${escaped(machine.openssl)}; governor ${escaped(machine.governor ?? "not known")}, load ${machine.load.toFixed(2)}, ${machine.processes} processes.</p>`,
    ...warnings.map((warning) => `<p class="warning">Noisy: ${escaped(warning)}.</p>`),
    ...sections,
    budget(judgements),
    leftOut(result),
    allFigures(result.figures),
  ];
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>rimon bench</title><style>${[COLOURS, OF_PAGE, OF_PLOTS].join("\n")}</style></head>\n<body><main>\n${body.join("\n")}\n</main></body></html>\n`;
}

/** The plots, each a file of its own, by name. */
export function picturesOf(result: Result): ReadonlyMap<string, string> {
  const plots = {
    cores: coresChart(result.cores, result.machine),
    crypto: cipherCurve(result),
    scan: scanCurve(result),
    latency: latencyStrips(result),
    overhead: overheadBars(result),
  };
  return new Map(Object.entries(plots).flatMap(([name, plot]) => (plot === undefined ? [] : [[name, picture(plot)]])));
}

function picture(plot: string): string {
  const style = [COLOURS, "svg { background: var(--card); font: 12px system-ui, sans-serif; }", OF_PLOTS].join("\n");
  return `${plot.replace(/^<svg([^>]*)>/, `<svg xmlns="http://www.w3.org/2000/svg"$1><style>${style}</style>`)}\n`;
}

function section(title: string, words: string, ...parts: readonly (string | undefined)[]): string {
  const [plot, ...others] = parts;
  if (plot === undefined && others.every((part) => part === undefined)) return "";
  return `<h2>${escaped(title)}</h2><p class="dim">${escaped(words)}</p>${plot === undefined ? "" : `<figure>${plot}</figure>`}${others.join("")}`;
}

function claims({ claims }: Result): string | undefined {
  if (claims.length === 0) return undefined;
  const rows = claims.map(({ claim, measured, holds, verdict }) => [
    escaped(claim),
    escaped(measured),
    `<span class="${holds === null ? "dim" : holds ? "good" : "bad"}">${escaped(verdict)}</span>`,
  ]);
  return table(["what was claimed", "measured here", "verdict"], rows);
}

function budget(judgements: readonly Judgement[]): string {
  if (judgements.length === 0) return "";
  const rows = judgements.map(({ what, bound, figure, verdict, why }) => [
    escaped(what),
    escaped(bound),
    figure === undefined ? escaped(why ?? "") : amount(figure),
    `<span class="${verdict === "holds" ? "good" : verdict === "broken" ? "bad" : "dim"}">${verdict}</span>`,
  ]);
  return `<h2>The budget</h2>${table(["what", "bound", "measured", "verdict"], rows)}`;
}

function leftOut({ leftOut }: Result): string {
  if (leftOut.length === 0) return "";
  const rows = leftOut.map(({ bench, what, why }) => [escaped(bench), escaped(what), escaped(why)]);
  return `<h2>Not measured</h2>${table(["bench", "what", "why"], rows)}`;
}

function allFigures(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => [
    escaped(figure.label),
    amount(figure),
    figure.interval === "none" ? "" : `${round(figure.low)} to ${round(figure.high)}`,
    figure.interval === "none" ? "" : `${figure.interval === "quartiles" ? "half of" : "95 %, from"} ${figure.n}`,
    `<span class="dim">${escaped(figure.id)}</span>`,
  ]);
  return `<h2>Every figure</h2><details><summary>${figures.length} figures</summary>${table(["what", "median", "between", "", "id"], rows)}</details>`;
}

function amount({ value, unit }: Figure): string {
  return escaped(`${round(value)} ${unit}`);
}

/** Of cells that are HTML already. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]): string => row.map((cell) => `<${tag}>${cell}</${tag}>`).join("");
  return `<div class="scroll"><table><tr>${cells("th", head.map(escaped))}</tr>${rows.map((row) => `<tr>${cells("td", row)}</tr>`).join("")}</table></div>`;
}
