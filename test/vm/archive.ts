// An archive as the kernel unpacks it into its first root file system: cpio, format newc
// (Documentation/driver-api/early-userspace/buffer-format.rst). One archive may follow another.

const FOLDER = 0o040_000;
const FILE = 0o100_000;
const LINK = 0o120_000;

export class Archive {
  readonly #parts: Buffer[] = [];
  readonly #folders = new Set<string>();
  #inode = 1;

  /** With the folders it is in. */
  file(path: string, content: Buffer | string, mode = 0o644): void {
    this.#add(path, FILE | mode, Buffer.from(content));
  }

  link(path: string, target: string): void {
    this.#add(path, LINK | 0o777, Buffer.from(target));
  }

  folder(path: string): void {
    const name = path.replace(/^\/+|\/+$/g, "");
    if (name === "" || this.#folders.has(name)) return;
    this.#folders.add(name);
    this.#add(name, FOLDER | 0o755, Buffer.alloc(0));
  }

  end(): Buffer {
    this.#write("TRAILER!!!", 0, Buffer.alloc(0));
    return Buffer.concat(this.#parts);
  }

  #add(path: string, mode: number, content: Buffer): void {
    const name = path.replace(/^\/+/, "");
    const parent = name.slice(0, Math.max(0, name.lastIndexOf("/")));
    this.folder(parent);
    this.#write(name, mode, content);
  }

  #write(name: string, mode: number, content: Buffer): void {
    const path = Buffer.from(`${name}\0`);
    const links = (mode & FOLDER) === FOLDER ? 2 : 1;
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
    const fields = [this.#inode++, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, path.length, 0];
    const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
    this.#parts.push(padded(Buffer.concat([header, path])), padded(content));
  }
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
