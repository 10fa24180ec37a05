// Packages of Debian for virtual machines, of any suite and architecture: apt's own lists and caches are left alone.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What is fetched and made for virtual machines; git ignores it. */
export const CACHE = fileURLToPath(new URL("../../.vm/", import.meta.url));

const FETCH_MS = 120_000;
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

export type DebianArchitecture = "amd64" | "arm64";

export interface Apt {
  /** What a package depends on. */
  dependsOn(name: string, pattern: RegExp): string | undefined;
  /** Unpacks the files of a package that match into a folder. */
  unpack(name: string, patterns: readonly string[], folder: string): void;
}

/** The folder at this path in the cache; if it is not there, made whole by `make` or not at all. */
export function cached(
  path: string,
  suite: string,
  architecture: DebianArchitecture,
  make: (apt: Apt, folder: string) => void,
): string {
  const folder = join(CACHE, path);
  if (existsSync(folder)) return folder;
  mkdirSync(join(folder, ".."), { recursive: true });
  const unfinished = mkdtempSync(`${folder}.`);
  try {
    const made = join(unfinished, "made");
    mkdirSync(made);
    make(aptIn(join(unfinished, "apt"), suite, architecture), made);
    renameSync(made, folder);
  } catch (thrown) {
    const { message, stderr } = thrown as Error & { stderr?: string };
    throw new Error(
      `expected apt to fetch ${path} of Debian's suite ${suite} for ${architecture} into ${folder}: ${stderr || message}`,
      { cause: thrown },
    );
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}

/** apt on one suite of the mirrors this system uses, with lists and caches below `folder`. */
function aptIn(folder: string, suite: string, architecture: DebianArchitecture): Apt {
  mkdirSync(join(folder, "lists", "partial"), { recursive: true });
  mkdirSync(join(folder, "cache", "archives", "partial"), { recursive: true });
  const list = join(folder, "sources.list");
  writeFileSync(list, `deb [signed-by=${KEYRING} arch=${architecture}] ${mirrorFor(suite)} ${suite} main\n`);
  const options = [
    `Dir::Etc::sourcelist=${list}`,
    "Dir::Etc::sourceparts=/dev/null",
    `Dir::State::Lists=${join(folder, "lists")}`,
    `Dir::Cache=${join(folder, "cache")}`,
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    "Acquire::Languages=none",
    // Its own user could not write here.
    "APT::Sandbox::User=root",
  ].map((option) => `-o${option}`);
  const run = (program: string, args: readonly string[], cwd = folder): string =>
    execFileSync(program, [...options, ...args], { cwd, encoding: "utf8", stdio: "pipe", timeout: FETCH_MS });
  run("apt-get", ["update", "-qq"]);
  return {
    dependsOn(name, pattern) {
      const depends = run("apt-cache", ["depends", name]);
      return [...depends.matchAll(/^ *Depends: (\S+)$/gm)]
        .map(([, each]) => each ?? "")
        .find((each) => pattern.test(each));
    },
    unpack(name, patterns, into) {
      const downloads = mkdtempSync(join(folder, "package-"));
      run("apt-get", ["download", "-qq", name], downloads);
      const [archive] = readdirSync(downloads);
      if (archive === undefined) throw new Error(`apt-get download left nothing of ${name}`);
      const [cwd, timeout] = [downloads, FETCH_MS];
      const input = execFileSync("dpkg", ["--fsys-tarfile", archive], { cwd, maxBuffer: 1 << 30, timeout });
      execFileSync("tar", ["-x", "-C", into, "--wildcards", ...patterns], { cwd, input, timeout });
    },
  };
}

/** Debian's archive, or that of its security updates, where this system has its packages from. */
function mirrorFor(suite: string): string {
  const format = "$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)";
  const lines = execFileSync("apt-get", ["indextargets", "--format", format], { encoding: "utf8" }).split("\n");
  const security = suite.endsWith("-security");
  const found = lines
    .map((line) => line.split(" "))
    .find(
      ([uri = "", codename = ""]) =>
        /debian/.test(uri) && codename !== "" && codename.endsWith("-security") === security,
    );
  if (found?.[0] === undefined) throw new Error("this system has no Debian mirror among its package sources");
  return found[0];
}
