// The plots of the page, as SVG text. Pure; colours are the page's, by class.

export type Scale = (value: number) => number;

export const WIDTH = 920;

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** Linear, or by powers of ten. */
export function scale(from: number, to: number, at: number, until: number, log = false): Scale {
  const place = log ? Math.log10 : (value: number): number => value;
  const [low, high] = [place(from), place(to)];
  return (value) => at + ((place(value) - low) / (high - low || 1)) * (until - at);
}

/** 1, 10, 100 and what lies between them if there are few. */
export function logTicks(from: number, to: number): number[] {
  const [low, high] = [Math.floor(Math.log10(from)), Math.ceil(Math.log10(to))];
  const steps = high - low > 3 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = low; power <= high; power++) for (const step of steps) ticks.push(step * 10 ** power);
  return ticks.filter((tick) => tick >= from * 0.999 && tick <= to * 1.001);
}

/** About `count` round values. */
export function ticks(from: number, to: number, count = 6): number[] {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? rough;
  const first = Math.ceil(from / step);
  return Array.from({ length: Math.floor(to / step) - first + 1 }, (_, index) => (first + index) * step);
}

export function text(
  x: number,
  y: number,
  words: string,
  kind = "",
  anchor: "start" | "middle" | "end" = "start",
): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}" class="${kind}" text-anchor="${anchor}">${escaped(words)}</text>`;
}

export function line(x1: number, y1: number, x2: number, y2: number, kind: string): string {
  return `<line x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}" class="${kind}"/>`;
}

export function dot(x: number, y: number, radius: number, kind: string, title = ""): string {
  return `<circle cx="${fixed(x)}" cy="${fixed(y)}" r="${radius}" class="${kind}">${titled(title)}</circle>`;
}

export function rect(x: number, y: number, width: number, height: number, kind: string, title = ""): string {
  return `<rect x="${fixed(x)}" y="${fixed(y)}" width="${fixed(Math.max(0, width))}" height="${fixed(height)}" rx="2" class="${kind}">${titled(title)}</rect>`;
}

export function path(points: readonly (readonly [number, number])[], kind: string): string {
  const steps = points.map(([x, y], index) => `${index === 0 ? "M" : "L"}${fixed(x)} ${fixed(y)}`);
  return `<path d="${steps.join("")}" class="${kind}"/>`;
}

export function svg(height: number, title: string, ...parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${WIDTH} ${fixed(height)}" role="img" aria-label="${escaped(title)}">${parts.join("")}</svg>`;
}

/** A legend in one row. */
export function legend(x: number, y: number, entries: readonly (readonly [string, string])[]): string {
  let at = x;
  return entries
    .map(([words, kind]) => {
      const part = rect(at, y - 9, 10, 10, `fill ${kind}`) + text(at + 15, y, words, "label");
      at += 34 + words.length * 6.6;
      return part;
    })
    .join("");
}

/** Labels that would lie on one another are moved apart; the places, in the order given. */
export function apart(places: readonly number[], distance: number): number[] {
  const order = places.map((place, index) => ({ place, index })).toSorted((a, b) => a.place - b.place);
  const moved = Array.from({ length: places.length }, () => 0);
  let last = Number.NEGATIVE_INFINITY;
  for (const { place, index } of order) {
    last = Math.max(place, last + distance);
    moved[index] = last;
  }
  return moved;
}

function titled(title: string): string {
  return title === "" ? "" : `<title>${escaped(title)}</title>`;
}

function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}
