// Which figures become which plot. Pure: a result in, SVG text out; undefined where there is nothing to show.

import { round } from "./claims.ts";
import { apart, dot, legend, line, logTicks, path, rect, scale, svg, text, ticks, WIDTH, type Scale } from "./plot.ts";
import type { CoresNeeded, Figure, Machine, Result } from "./result.ts";

const RIGHT = WIDTH - 20;
const SERIES = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"];

const seriesOf = (index: number): string => SERIES[index % SERIES.length] ?? "s0";

/** Above the plot, what each series is. */
function legendOf(named: readonly (readonly [string, string])[], left: number): string {
  return legend(
    left,
    16,
    named.map(([, words], index) => [words, seriesOf(index)]),
  );
}

/** Lines down through rows, at powers of ten. */
function logGrid(low: number, high: number, x: Scale, top: number, bottom: number, unit = ""): string[] {
  return logTicks(low, high).map(
    (tick) =>
      line(x(tick), top - 8, x(tick), bottom, "grid") + text(x(tick), bottom + 16, `${tick}${unit}`, "tick", "middle"),
  );
}

/** Figures whose id is "bench/NAME/kind/NUMBER", by name. */
function curves(figures: readonly Figure[], bench: string, kind: string): Map<string, [number, Figure][]> {
  const found = new Map<string, [number, Figure][]>();
  for (const figure of figures) {
    const [of, name = "", what, amount] = figure.id.split("/");
    if (of !== bench || what !== kind) continue;
    const points: [number, Figure][] = [...(found.get(name) ?? []), [Number(amount), figure]];
    found.set(
      name,
      points.toSorted(([a], [b]) => a - b),
    );
  }
  return found;
}

/** CPU per process, at more and more processes; both axes by powers of ten. */
export function scanCurve({ figures }: Result): string | undefined {
  const series = [...curves(figures, "scan", "cpu")];
  const all = series.flatMap(([, points]) => points);
  if (all.length === 0) return undefined;
  const amounts = all.map(([amount]) => amount);
  const values = all.map(([, { value }]) => value);
  const [left, right, top, bottom] = [60, WIDTH - 230, 20, 380];
  const [from, to] = [Math.min(...amounts) / 1.3, Math.max(...amounts) * 1.3];
  const [low, high] = [Math.min(...values) / 1.6, Math.max(...values) * 1.6];
  const x = scale(from, to, left, right, true);
  const y = scale(low, high, bottom, top, true);
  const names = apart(
    series.map(([, points]) => y(points.at(-1)?.[1].value ?? low)),
    16,
  );
  return svg(
    430,
    "CPU per process of one pass over the process table",
    ...logTicks(low, high).map(
      (tick) => line(left, y(tick), right, y(tick), "grid") + text(left - 8, y(tick) + 4, `${tick}`, "tick", "end"),
    ),
    ...[...new Set(amounts)].map(
      (tick) =>
        line(x(tick), top, x(tick), bottom, "grid") +
        text(x(tick), bottom + 18, tick.toLocaleString("en"), "tick", "middle"),
    ),
    text((left + right) / 2, bottom + 40, "processes on the node", "axis", "middle"),
    text(left - 44, top - 6, "µs of CPU per process", "axis"),
    ...series.map(([name, points], index) => {
      const kind = seriesOf(index);
      const own = name === "rimon" ? " own" : "";
      const label = points[0]?.[1].cell?.[0] ?? name;
      const last = points.at(-1)?.[1].value ?? 0;
      const marks = points.map(
        ([amount, figure]) =>
          line(x(amount), y(figure.low), x(amount), y(figure.high), `whisker ${kind}`) +
          dot(x(amount), y(figure.value), 4, `fill ${kind}`, `${figure.label}: ${round(figure.value)} µs`),
      );
      return (
        path(
          points.map(([amount, { value }]) => [x(amount), y(value)]),
          `curve ${kind}${own}`,
        ) +
        marks.join("") +
        text(right + 12, (names[index] ?? 0) + 4, `${shortened(name, label)}  ${round(last)}`, `name ${kind}${own}`)
      );
    }),
  );
}

function shortened(name: string, label: string): string {
  const short: Readonly<Record<string, string>> = {
    "proc-applied": "C, /proc, all applied",
    systeminformation: "systeminformation",
    floor: "openat, read, close",
  };
  return short[name] ?? label;
}

const STAGES = [
  ["finding", "to the finding"],
  ["synced", "to the synced audit record"],
  ["alert", "to the alert"],
] as const;

/** Every hundredth of the runs a stroke; where they lie close is where most were. */
export function latencyStrips({ figures }: Result): string | undefined {
  const shown = figures.filter(({ id, distribution }) => id.startsWith("latency/") && distribution !== undefined);
  const names = [...new Set(shown.map(({ id }) => id.split("/").slice(1, 3).join("/")))];
  if (names.length === 0) return undefined;
  const values = shown.flatMap(({ distribution = [] }) => distribution).filter((value) => value > 0);
  const [low, high] = [Math.min(...values) / 1.2, Math.max(...values) * 1.2];
  const [left, rowHeight, top] = [190, 62, 44];
  const x = scale(low, high, left, RIGHT, true);
  const bottom = top + names.length * rowHeight;
  return svg(
    bottom + 44,
    "From the act to the finding, the audit record and the alert",
    legendOf(STAGES, left),
    text(RIGHT, 16, "│ half of them   ┃ 99 of 100", "label", "end"),
    ...logGrid(low, high, x, top, bottom, " ms"),
    ...names.flatMap((name, row) => {
      const at = top + row * rowHeight;
      const [kind, technique = ""] = name.split("/");
      return [
        text(left - 12, at + 22, technique, "name", "end"),
        text(left - 12, at + 37, kind === "event" ? "" : "polled", "tick", "end"),
        ...STAGES.map(([stage], index) => {
          const figure = shown.find(({ id }) => id === `latency/${name}/${stage}/p50`);
          return figure?.distribution === undefined
            ? ""
            : strip(figure.distribution, at + index * 17, x, seriesOf(index), figure);
        }),
        line(left, at + 55, RIGHT, at + 55, "rule"),
      ];
    }),
  );
}

function strip(quantiles: readonly number[], at: number, x: Scale, kind: string, { label, value }: Figure): string {
  const strokes = quantiles.map((each) => line(x(each), at + 2, x(each), at + 14, `stroke ${kind}`));
  const [half = value, most = value] = [quantiles[50], quantiles[99]];
  return [
    ...strokes,
    line(x(half), at, x(half), at + 16, `mark ${kind}`),
    line(x(most), at, x(most), at + 16, `mark bold ${kind}`),
    rect(
      x(quantiles[0] ?? half),
      at,
      x(quantiles.at(-1) ?? half) - x(quantiles[0] ?? half),
      16,
      "touch",
      `${label}: ${round(half)} ms, 99 % within ${round(most)} ms`,
    ),
  ].join("");
}

const WATCHERS = ["monitor", "enforce", "auditd", "strace"];
/** Beyond it a bar is cut, and its number says how long it is. */
const CUT_PERCENT = 25;

/** What each load loses to each watcher, with the ends of the interval. */
export function overheadBars({ figures }: Result): string | undefined {
  const shown = figures.filter(({ id }) => /^overhead\/[^/]+\/[^/]+$/.test(id));
  if (shown.length === 0) return undefined;
  const loads = [...new Set(shown.map(({ id }) => id.split("/")[1] ?? ""))];
  const present = WATCHERS.filter((watcher) => shown.some(({ id }) => id.endsWith(`/${watcher}`)));
  const ends = shown
    .flatMap(({ low, high }) => [low, high])
    .map((value) => Math.max(-CUT_PERCENT, Math.min(CUT_PERCENT, value)));
  const [low, high] = [Math.min(-1, ...ends) * 1.05, Math.max(1, ...ends) * 1.05];
  const [left, top, barHeight] = [150, 44, 15];
  const x = scale(low, high, left, RIGHT - 70);
  const cut = (value: number): number => Math.max(low, Math.min(high, value));
  const rowHeight = present.length * barHeight + 18;
  const bottom = top + loads.length * rowHeight;
  return svg(
    bottom + 40,
    "Throughput lost by others",
    legend(
      left,
      16,
      present.map((watcher) => [
        watcher === "monitor" || watcher === "enforce" ? `rimon, ${watcher}` : watcher,
        seriesOf(WATCHERS.indexOf(watcher)),
      ]),
    ),
    ...ticks(low, high, 8).map(
      (tick) =>
        line(x(tick), top - 8, x(tick), bottom - 6, tick === 0 ? "zero" : "grid") +
        text(x(tick), bottom + 12, `${tick} %`, "tick", "middle"),
    ),
    text(RIGHT, bottom + 30, "throughput lost; left of 0 is none", "axis", "end"),
    ...loads.flatMap((load, row) => [
      text(left - 12, top + row * rowHeight + (present.length * barHeight) / 2 + 4, load, "name", "end"),
      ...present.map((watcher, index) => {
        const figure = shown.find(({ id }) => id === `overhead/${load}/${watcher}`);
        if (figure === undefined) return "";
        const [at, kind] = [top + row * rowHeight + index * barHeight, seriesOf(WATCHERS.indexOf(watcher))];
        const [from, to] = [x(cut(Math.min(0, figure.value))), x(cut(Math.max(0, figure.value)))];
        const words = `${round(figure.value)} %`;
        return [
          rect(from, at, to - from, barHeight - 4, `fill soft ${kind}`, `${figure.label}: ${words}`),
          line(
            x(cut(figure.low)),
            at + barHeight / 2 - 2,
            x(cut(figure.high)),
            at + barHeight / 2 - 2,
            `whisker ${kind}`,
          ),
          dot(x(cut(figure.value)), at + barHeight / 2 - 2, 3, `fill ${kind}`),
          text(Math.max(x(cut(figure.high)), x(0)) + 8, at + barHeight / 2 + 2, words, "tick"),
        ].join("");
      }),
    ]),
  );
}

const NEEDS = [
  ["encryption", "AES-256-GCM"],
  ["keyDerivation", "HKDF-SHA256, 25,000 calls a second"],
  ["rimon", "rimon, 1,000 processes every second"],
] as const;

/** Cores by line rate, by powers of ten: which of the three is the bottleneck is the one farthest to the right. */
export function coresChart(cores: readonly CoresNeeded[], machine: Machine): string | undefined {
  if (cores.length === 0) return undefined;
  const values = cores
    .flatMap((each) => NEEDS.map(([need]) => each[need]))
    .filter((value) => value !== null && value > 0) as number[];
  const [low, high] = [Math.min(...values) / 2, Math.max(...values, machine.cores) * 2];
  const [left, top, rowHeight] = [110, 48, 40];
  const x = scale(low, high, left, RIGHT, true);
  const bottom = top + cores.length * rowHeight;
  return svg(
    bottom + 44,
    "Cores needed by line rate",
    legendOf(NEEDS, left),
    ...logGrid(low, high, x, top, bottom),
    line(x(machine.cores), top - 12, x(machine.cores), bottom, "limit"),
    text(x(machine.cores) + 5, top - 2, `all ${machine.cores} cores of this machine`, "label"),
    text(RIGHT, bottom + 36, "cores", "axis", "end"),
    ...cores.flatMap((each, row) => {
      const at = top + row * rowHeight + rowHeight / 2;
      const places = NEEDS.flatMap(([need], index) => {
        const value = each[need];
        return value === null || value <= 0 ? [] : [{ value, index }];
      });
      const ends = places.map(({ value }) => x(value));
      return [
        text(left - 12, at + 4, `${each.gbitPerSecond} Gbit/s`, "name", "end"),
        line(Math.min(...ends), at, Math.max(...ends), at, "rule"),
        ...places.map(
          ({ value, index }) =>
            dot(x(value), at, 6, `fill ${seriesOf(index)}`, `${NEEDS[index]?.[1] ?? ""}: ${round(value)} cores`) +
            text(x(value), at - 10, round(value), "tick", "middle"),
        ),
      ];
    }),
  );
}

/** GB a second and core by size of the message. */
export function cipherCurve({ figures }: Result): string | undefined {
  const series = ["encrypt", "decrypt"].flatMap((cipher) =>
    (["one-core", "all-cores"] as const).map((how) => {
      const points = figures.flatMap((figure) => {
        const [bench, of, size, which] = figure.id.split("/");
        return bench === "crypto" && of === cipher && which === how ? [[Number(size), figure] as const] : [];
      });
      return { name: `${cipher}, ${how === "one-core" ? "one core" : "all cores"}`, points };
    }),
  );
  const all = series.flatMap(({ points }) => points);
  if (all.length === 0) return undefined;
  const [left, right, top, bottom] = [60, WIDTH - 200, 20, 280];
  const sizes = [...new Set(all.map(([size]) => size))];
  const high = Math.max(...all.map(([, figure]) => figure.high)) * 1.1;
  const x = scale(Math.min(...sizes) / 1.3, Math.max(...sizes) * 1.3, left, right, true);
  const y = scale(0, high, bottom, top);
  const names = apart(
    series.map(({ points }) => y(points.at(-1)?.[1].value ?? 0)),
    16,
  );
  return svg(
    330,
    "AES-256-GCM by size of the message",
    ...ticks(0, high, 6).map(
      (tick) => line(left, y(tick), right, y(tick), "grid") + text(left - 8, y(tick) + 4, `${tick}`, "tick", "end"),
    ),
    ...sizes.map((size) =>
      text(
        x(size),
        bottom + 18,
        size >= 1_048_576 ? `${size / 1_048_576} MiB` : `${size / 1_024} KiB`,
        "tick",
        "middle",
      ),
    ),
    text((left + right) / 2, bottom + 40, "size of one message", "axis", "middle"),
    text(left - 44, top - 6, "GB a second", "axis"),
    ...series.map(({ name, points }, index) => {
      if (points.length === 0) return "";
      const kind = seriesOf(index);
      return (
        path(
          points.map(([size, { value }]) => [x(size), y(value)]),
          `curve ${kind}`,
        ) +
        points
          .map(
            ([size, figure]) =>
              line(x(size), y(figure.low), x(size), y(figure.high), `whisker ${kind}`) +
              dot(x(size), y(figure.value), 3.5, `fill ${kind}`, `${figure.label}: ${round(figure.value)} GB/s`),
          )
          .join("") +
        text(right + 12, (names[index] ?? 0) + 4, name, `name ${kind}`)
      );
    }),
  );
}
