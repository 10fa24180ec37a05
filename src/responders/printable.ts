// Text that others chose (a process its name, a server its answer), made fit for a line that people read.

/** The text on one line without control, bidirectional or invisible characters, cut at `maxLength`. */
export function printable(text: string, maxLength = 300): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu, " ").trim();
  if (line.length <= maxLength) return line;
  // A cut between the halves of a surrogate pair would leave half a character.
  return `${line.slice(0, maxLength - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}
