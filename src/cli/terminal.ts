// The terminal as commands see it: colour and a live status line only where a person is watching.

import { styleText } from "node:util";

export type StyleKind = "critical" | "high" | "medium" | "low" | "info" | "ok" | "bad" | "dim" | "bold";

export interface Terminal {
  readonly isTTY: boolean;
  readonly color: boolean;
  readonly columns: number;
  write(text: string): void;
  /** A transient line, only on a TTY that can clear it; the next write or status replaces it. Empty clears it. */
  status(text: string): void;
  style(kind: StyleKind, text: string): string;
}

type Format = Parameters<typeof styleText>[0];

const FORMATS: Readonly<Record<StyleKind, Format>> = {
  critical: ["bold", "red"],
  high: "red",
  medium: "yellow",
  low: "cyan",
  info: "dim",
  ok: "green",
  bad: "red",
  dim: "dim",
  bold: "bold",
};

/** Any NO_COLOR that is not empty switches colour off (no-color.org). */
export function createTerminal(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv = process.env): Terminal {
  const isTTY = stream.isTTY === true;
  const isDumb = env["TERM"] === "dumb";
  const color = isTTY && (env["NO_COLOR"] ?? "") === "" && !isDumb;
  let shown = false;

  // A terminal that was never told its size, a serial line as a rule, says 0.
  const columns = (): number => stream.columns || 120;

  function clear(): string {
    if (!shown) return "";
    shown = false;
    return "\r\u001b[K";
  }

  return {
    isTTY,
    color,
    get columns() {
      return columns();
    },
    write(text) {
      stream.write(clear() + text);
    },
    status(text) {
      if (!isTTY || isDumb) return;
      const line = text.slice(0, columns() - 1);
      stream.write(clear() + line);
      shown = line !== "";
    },
    style: (kind, text) => (color ? styleText(FORMATS[kind], text, { validateStream: false }) : text),
  };
}

/** Columns as wide as their widest cell; the last one is left ragged. */
export function table(rows: readonly (readonly string[])[], widthOf: (cell: string) => number = visibleWidth): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, index) => (widths[index] = Math.max(widths[index] ?? 0, widthOf(cell))));
  return rows
    .map((row) =>
      row
        .map((cell, index) =>
          index === row.length - 1 ? cell : cell + " ".repeat((widths[index] ?? 0) - widthOf(cell)),
        )
        .join("  "),
    )
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

function visibleWidth(cell: string): number {
  // oxlint-disable-next-line no-control-regex
  return cell.replace(/\u001b\[[0-9;]*m/g, "").length;
}
