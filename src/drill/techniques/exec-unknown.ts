import { Refused } from "../not-done.ts";
import type { Technique } from "../technique.ts";

/** Says that it runs, and waits for its end. */
const SCRIPT = "echo '{}' >&3; read -r go";

export const execUnknown: Technique = {
  name: "exec-unknown",
  summary: "a program that nobody knows executed, on a tmpfs of the drill's own",
  rules: ["exec-denied"],
  expected: ["exec-gate"],
  knows: "gate",
  stopped: true,
  stoppedBy: "exec-gate",
  async stage(range) {
    const { known, unknown, digest } = range.ground.programs();
    // What is known runs, or the gate would say no to everything.
    const good = await range.tool(known, ["-c", SCRIPT]);
    good.start();
    await good.said().catch(refused(good.pid, "what is known was not executed"));
    const { pid, start, said } = await range.tool(unknown, ["-c", SCRIPT]);
    return {
      async act() {
        const at = start();
        await said().catch(refused(pid, "execve(2) failed"));
        return { at, attacker: pid, leakedBytes: 0, concerns: ({ subject }) => subject === digest };
      },
    };
  },
};

function refused(pid: number, what: string): (thrown: Error) => never {
  return ({ message }) => {
    throw new Refused(`${what}: ${message}`, pid);
  };
}
