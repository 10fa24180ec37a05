// The stock kernels of the virtual machines, as Debian builds them for clouds.

import { readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cached } from "./debian.ts";
import type { GuestArchitecture } from "./root.ts";

interface Source {
  readonly suite: string;
  /** A metapackage that depends on the newest kernel of its series. */
  readonly metapackage: string;
}

const SOURCES = {
  "5.10": { suite: "bullseye-security", metapackage: "linux-image-cloud-amd64" },
  "6.1": { suite: "bookworm-security", metapackage: "linux-image-cloud-amd64" },
  "6.12": { suite: "bookworm-security", metapackage: "linux-image-6.12-cloud-amd64" },
  newest: { suite: "trixie-backports", metapackage: "linux-image-cloud-amd64" },
  "6.12-arm64": { suite: "bookworm-security", metapackage: "linux-image-6.12-cloud-arm64" },
} as const satisfies Readonly<Record<string, Source>>;

export type KernelName = keyof typeof SOURCES;

export const KERNELS = Object.keys(SOURCES) as readonly KernelName[];

export interface Kernel {
  readonly name: KernelName;
  readonly architecture: GuestArchitecture;
  /** As uname -r says it. */
  readonly release: string;
  readonly image: string;
}

/** The kernel as it is in the cache, or else from Debian. */
export function provideKernel(name: KernelName): Kernel {
  const { suite, metapackage } = SOURCES[name];
  const isArm = metapackage.endsWith("-arm64");
  const folder = cached(join("kernels", name), suite, isArm ? "arm64" : "amd64", (apt, into) => {
    const image = apt.dependsOn(metapackage, /^linux-image-\d/);
    if (image === undefined) throw new Error(`${metapackage} depends on no kernel`);
    // With some releases the image itself is in a package of its own.
    const binary = apt.dependsOn(image, /^linux-binary-\d/) ?? image;
    // ./boot/vmlinuz-RELEASE, or ./usr/lib/modules/RELEASE/vmlinuz.
    apt.unpack(binary, "*/vmlinuz*", into);
    const unpacked = readdirSync(into, { recursive: true, encoding: "utf8" }).find((path) =>
      /\/vmlinuz[^/]*$/.test(path),
    );
    if (unpacked === undefined) throw new Error(`${binary} holds no vmlinuz`);
    const kept = `vmlinuz-${image.slice("linux-image-".length)}`;
    renameSync(join(into, unpacked), join(into, kept));
    for (const each of readdirSync(into)) if (each !== kept) rmSync(join(into, each), { recursive: true });
  });
  const file = readdirSync(folder).find((each) => each.startsWith("vmlinuz-"));
  if (file === undefined) throw new Error(`expected a vmlinuz in ${folder}; remove that folder and start again`);
  const release = file.slice("vmlinuz-".length);
  return { name, architecture: isArm ? "arm64" : "x64", release, image: join(folder, file) };
}
