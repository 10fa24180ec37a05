// A place alerts go to. A sink delivers one payload or throws a sentence why not; the outbox before it retries, so a
// sink never does.

export interface Sink {
  /** Its place in the configuration, for whoever reads of it; nothing of a URL in it. */
  readonly name: string;
  /**
   * Resolves once the receiver has the payload, as far as its protocol lets us know. Rejects with an error that has
   * `permanent: true` where the receiver refused this very payload and would do so again.
   */
  deliver(payload: string, signal: AbortSignal): Promise<void>;
}

/** What the stdout sink writes to. */
export type Output = Pick<NodeJS.WritableStream, "write" | "on" | "listenerCount">;
