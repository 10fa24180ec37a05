// The stock kernels of the virtual machines, as Debian builds them for clouds.

import { execFileSync } from "node:child_process";
import { readdirSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { cached } from "./debian.ts";
import { findProgram, type GuestArchitecture } from "./root.ts";

interface Source {
  readonly suite: string;
  /** A metapackage that depends on the newest kernel of its series. */
  readonly metapackage: string;
  /** Modules that come along. */
  readonly modules?: readonly string[];
}

const SOURCES = {
  "5.10": { suite: "bullseye-security", metapackage: "linux-image-cloud-amd64", modules: ["overlay"] },
  "6.1": {
    suite: "bookworm-security",
    metapackage: "linux-image-cloud-amd64",
    modules: ["overlay", "libcrc32c", "nfnetlink", "nf_tables"],
  },
  "6.12": { suite: "bookworm-security", metapackage: "linux-image-6.12-cloud-amd64", modules: ["overlay"] },
  newest: { suite: "trixie-backports", metapackage: "linux-image-cloud-amd64", modules: ["overlay"] },
  "6.12-arm64": { suite: "bookworm-security", metapackage: "linux-image-6.12-cloud-arm64", modules: ["overlay"] },
} as const satisfies Readonly<Record<string, Source>>;

export type KernelName = keyof typeof SOURCES;

export const KERNELS = Object.keys(SOURCES) as readonly KernelName[];

export interface Kernel {
  readonly name: KernelName;
  readonly architecture: GuestArchitecture;
  /** As uname -r says it. */
  readonly release: string;
  readonly image: string;
  /** Where each of its modules is, in the order they are loaded. */
  readonly modules: readonly string[];
}

/** The kernel as it is in the cache, or else from Debian. */
export function provideKernel(name: KernelName): Kernel {
  const { suite, metapackage, modules = [] }: Source = SOURCES[name];
  const isArm = metapackage.endsWith("-arm64");
  // Another list of modules is another folder.
  const place = join("kernels", [name, ...modules].join("+"));
  const folder = cached(place, suite, isArm ? "arm64" : "amd64", (apt, into) => {
    const image = apt.dependsOn(metapackage, /^linux-image-\d/);
    if (image === undefined) throw new Error(`${metapackage} depends on no kernel`);
    // With some releases the image itself is in a package of its own.
    const binary = apt.dependsOn(image, /^linux-binary-\d/) ?? image;
    // ./boot/vmlinuz-RELEASE, or ./usr/lib/modules/RELEASE/vmlinuz.
    const holder = apt.dependsOn(image, /^linux-modules-\d/) ?? binary;
    const patterns = modules.map((module) => `*/${module}.ko*`);
    apt.unpack(binary, ["*/vmlinuz*", ...(holder === binary ? patterns : [])], into);
    if (holder !== binary && patterns.length > 0) apt.unpack(holder, patterns, into);
    for (const path of readdirSync(into, { recursive: true, encoding: "utf8" }))
      if (path.endsWith(".ko.xz")) execFileSync(findProgram("busybox"), ["unxz", join(into, path)]);
    const unpacked = readdirSync(into, { recursive: true, encoding: "utf8" });
    const kernel = unpacked.find((path) => /\/vmlinuz[^/]*$/.test(path));
    if (kernel === undefined) throw new Error(`${binary} holds no vmlinuz`);
    const kept = [`vmlinuz-${image.slice("linux-image-".length)}`, ...modules.map(fileOf)];
    renameSync(join(into, kernel), join(into, kept[0] ?? ""));
    for (const path of unpacked.filter((each) => each.endsWith(".ko")))
      renameSync(join(into, path), join(into, basename(path)));
    for (const each of readdirSync(into)) if (!kept.includes(each)) rmSync(join(into, each), { recursive: true });
  });
  const files = readdirSync(folder);
  const file = files.find((each) => each.startsWith("vmlinuz-"));
  if (file === undefined || modules.some((module) => !files.includes(fileOf(module))))
    throw new Error(
      `expected ${["a vmlinuz", ...modules].join(", ")} in ${folder}; remove that folder and start again`,
    );
  return {
    name,
    architecture: isArm ? "arm64" : "x64",
    release: file.slice("vmlinuz-".length),
    image: join(folder, file),
    modules: modules.map((module) => join(folder, fileOf(module))),
  };
}

function fileOf(module: string): string {
  return `${module}.ko`;
}
