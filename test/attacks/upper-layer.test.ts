// Programs that were added to a container, or changed there: overlays in mounts of their own.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Child } from "../fixtures/child.ts";
import { startRimon, type Monitor } from "../fixtures/monitor.ts";
import { temporaryDirectory } from "../fixtures/temporary.ts";
import { DEADLINE_MS, expectFinding, identityOf, type Identity } from "./expected.ts";

const RULE = "upper-layer-exec";
const NAME = "upper-victim";
const CHANGED = "upper-changed";

/**
 * A container as far as its files go, with two programs of its image. Each line is run there; of what it leaves running
 * the last is told. With its input it ends, and what it started too.
 */
const CONTAINER = `set -e
mount -t tmpfs tmpfs "$0"; cd "$0"; mkdir lower upper work merged
for each in ${NAME} ${CHANGED}; do cp /bin/sleep lower/$each; done
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay merged
cd merged; started=; echo ready
while read -r line; do eval "$line"; started="$started $!"; echo $!; done
kill $started`;

let rimon: Monitor;

class Container {
  readonly folder = temporaryDirectory("container");
  readonly #shell = new Child("unshare", ["--mount", "sh", "-c", CONTAINER, this.folder]);

  async begin(): Promise<this> {
    after(() => {
      this.#shell.closeInput();
      return this.#shell.exited;
    });
    assert.equal(await this.#shell.takeLine(DEADLINE_MS), "ready");
    return this;
  }

  /** Starts a program of the container, once `before` has been done there. */
  async start(name: string, before = ":"): Promise<Identity> {
    this.#shell.send(`${before}; ./${name} 60 </dev/null >/dev/null &`);
    const pid = Number(await this.#shell.takeLine(DEADLINE_MS));
    const at = Date.now() + DEADLINE_MS;
    // It is a copy of the shell until it has executed.
    for (;;) {
      const identity = identityOf(pid);
      if (identity.comm === name || Date.now() > at) return identity;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

before(async () => {
  rimon = startRimon({ args: ["--protect", `comm:${NAME}`, "--protect", `comm:${CHANGED}`] });
  await rimon.ready;
});
after(() => rimon.stop());

test("what is added to the container of a protected process, but not what is in its image, nor elsewhere", async () => {
  const [container, other] = await Promise.all([new Container().begin(), new Container().begin()]);
  const target = await container.start(NAME);
  await other.start("elsewhere", "cp /bin/sleep elsewhere");
  const { pid, comm, exe } = await container.start("beside", "cp /bin/sleep beside");
  assert.equal(exe, join(container.folder, "merged", "beside"));
  const { subject, sensor } = await expectFinding(rimon, {
    rule: RULE,
    severity: "medium",
    technique: RULE,
    operation: "exec",
    suspect: { pid, comm, exe },
    target,
  });
  assert.deepEqual([subject, sensor], [exe, "exec"]);
  // What was started before it was judged before it.
  const told = rimon.findings().filter(({ rule }) => rule === RULE);
  assert.deepEqual(
    told.map(({ suspect }) => suspect?.pid),
    [pid],
  );
});

test("a protected program that was changed", async () => {
  const container = await new Container().begin();
  const target = await container.start(CHANGED, `echo >>${CHANGED}`);
  const { message } = await expectFinding(rimon, {
    rule: RULE,
    severity: "medium",
    technique: RULE,
    operation: "exec",
    suspect: undefined,
    target,
  });
  assert.match(message, /^upper-changed .* which was added or changed since its container was made$/);
});
