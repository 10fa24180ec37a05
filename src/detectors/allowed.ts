/** Whether a path is listed, or lies in a folder that is: one whose entry ends in a slash. */
export function isAllowed(path: string, allow: readonly string[]): boolean {
  return allow.some((entry) => (entry.endsWith("/") ? path.startsWith(entry) : path === entry));
}
