// `rimon explain RULE`: the rule's own text.

import { DETECTORS } from "../detectors/all.ts";
import { RimonError } from "../errors.ts";
import { table, type Terminal } from "./terminal.ts";

export function explainCommand(
  rule: string | undefined,
  options: { readonly json: boolean },
  terminal: Terminal,
): number {
  const { style } = terminal;
  if (rule === undefined) {
    if (options.json) {
      terminal.write(
        `${JSON.stringify(DETECTORS.map(({ rule, severity, summary, guide }) => ({ rule, severity, summary, ...guide })))}\n`,
      );
    } else {
      terminal.write(
        table(
          DETECTORS.map(({ rule, severity, summary }) => [style("bold", rule), style(severity, severity), summary]),
        ),
      );
    }
    return 0;
  }
  const detector = DETECTORS.find((each) => each.rule === rule);
  if (detector === undefined) {
    throw new RimonError(
      "RIMON_USAGE",
      `there is no rule "${rule}"; the rules are: ${DETECTORS.map((each) => each.rule).join(", ")}`,
    );
  }
  const { severity, summary, guide } = detector;
  if (options.json) {
    terminal.write(`${JSON.stringify({ rule, severity, summary, ...guide })}\n`);
    return 0;
  }
  const sections: readonly (readonly [string, string])[] = [
    ["What it means", guide.means],
    ["Why it fires", guide.fires],
    ["How an attacker does it", guide.attacker],
    ["What to do", guide.todo],
    ["When it is harmless", guide.harmless],
    ["MITRE ATT&CK", guide.attack.map(({ id, name }) => `${id}  ${name}`).join("\n")],
  ];
  terminal.write(`${style("bold", rule)}  ${style(severity, severity)}\n${summary}\n`);
  for (const [title, text] of sections)
    terminal.write(`\n${style("bold", title)}\n${fill(text, Math.min(terminal.columns, 100) - 2)}\n`);
  return 0;
}

function fill(text: string, width: number): string {
  return text
    .split("\n")
    .map((paragraph) => {
      const lines: string[] = [];
      let line = "";
      for (const word of paragraph.split(/(?<=\S) (?=\S)/)) {
        if (line !== "" && line.length + word.length + 1 > width) {
          lines.push(line);
          line = word;
        } else line = line === "" ? word : `${line} ${word}`;
      }
      return [...lines, line].map((each) => `  ${each}`).join("\n");
    })
    .join("\n");
}
