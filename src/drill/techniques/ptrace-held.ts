import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Refused } from "../not-done.ts";
import { attackEarly, type Technique } from "../technique.ts";

const ATTACH_MS = 5_000;

export const ptraceHeld: Technique = {
  name: "ptrace-held",
  summary: "a tracer (strace -p) that was attached before rimon started",
  rules: ["ptrace-attach"],
  expected: ["process-table"],
  early: true,
  async stage(range) {
    const strace = range.find("strace");
    return attackEarly(range, async ({ pid }) => {
      const tool = await range.tool(strace, ["-f", "-o", "/dev/null", "-p", String(pid)]);
      tool.start();
      let gone = false;
      void tool.exited.then(() => (gone = true));
      for (const deadline = Date.now() + ATTACH_MS; tracerOf(pid) !== tool.pid; await sleep(10)) {
        if (gone || Date.now() > deadline) throw new Refused("strace could not attach");
      }
      return { attacker: tool.pid };
    });
  },
};

function tracerOf(pid: number): number {
  return Number(/^TracerPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}
