// Why a technique came to nothing.

/** The technique cannot be run here, and nothing was done: a program is missing. */
export class NotRun extends Error {}

/** The kernel did not let the attacker do it. */
export class Refused extends Error {}
