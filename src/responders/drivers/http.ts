// The request, or a body written for the API at hand, over HTTP; the answer is the body of the response.

import type { Driver } from "../../configuration.ts";
import { exchange } from "../http-exchange.ts";
import { readAnswer, type KeyDriver, type KeyRequest } from "./driver.ts";

export function httpDriver(settings: Extract<Driver, { kind: "http" }>): KeyDriver {
  return {
    async request(request, signal) {
      const body = settings.body === undefined ? JSON.stringify(request) : fillIn(settings.body, request);
      return readAnswer(await exchange(settings, body, signal));
    },
  };
}

/** Fills in {finding} and the like: escaped within a JSON string, elsewhere as a JSON value ({tenants} as an array). */
export function fillIn(template: string, request: KeyRequest): string {
  let inString = false;
  // One pass, so that nothing filled in is taken for a placeholder.
  return template.replace(/\\.|"|\{(finding|rule|severity|node|tenants)\}/gs, (piece, name?: string) => {
    if (piece === '"') inString = !inString;
    if (name === undefined) return piece;
    const value = request[name as "finding" | "rule" | "severity" | "node" | "tenants"];
    if (!inString) return JSON.stringify(value);
    return JSON.stringify(typeof value === "string" ? value : value.join(",")).slice(1, -1);
  });
}
