// What of a file is not what it was, attribute by attribute, each in words.

import { createHash } from "node:crypto";
import type { AttributeChange } from "../../file-changed.ts";
import type { ExtendedAttribute, FileEntry } from "./entry.ts";
import { ATTRIBUTES, groupsOf, type Attribute, type GroupName } from "./rules.ts";

const CAPABILITY = "security.capability";
const ACLS: readonly string[] = ["system.posix_acl_access", "system.posix_acl_default"];

/** An attribute as text; undefined: unknown, or it has none. */
export function attributeOf(entry: FileEntry, attribute: Attribute): string | undefined {
  const { stat } = entry;
  switch (attribute) {
    case "content":
      return entry.sha256;
    case "target":
      return stat?.type === "link" && entry.target !== undefined ? textOf(entry.target) : undefined;
    case "capabilities":
      return told(entry, (each) => each.name === CAPABILITY, capabilityOf);
    case "acl":
      return told(entry, (each) => ACLS.includes(each.name), aclOf);
    case "xattrs":
      return told(entry, (each) => each.name !== CAPABILITY && !ACLS.includes(each.name), xattrOf);
    case "flags":
      return entry.flags === undefined ? undefined : flagsOf(entry.flags);
    case "mount":
      return entry.mount ? "another file system begins here" : undefined;
    default:
  }
  if (stat === undefined) return undefined;
  const isNode = stat.type === "block" || stat.type === "character";
  switch (attribute) {
    case "type":
      return stat.type;
    case "mode":
      return stat.mode.toString(8).padStart(4, "0");
    case "owner":
      return String(stat.uid);
    case "group":
      return String(stat.gid);
    case "size":
      return String(stat.size);
    case "links":
      return String(stat.links);
    case "inode":
      return String(stat.inode);
    case "node":
      return isNode ? deviceOf(stat.rdev) : undefined;
    case "filesystem":
      return deviceOf(stat.dev);
    case "mtime":
      return timeOf(stat.mtimeNs);
    case "ctime":
      return timeOf(stat.ctimeNs);
  }
}

/**
 * In what two readings of one path differ, of what the group compares. Every change of anything moves ctime with it: alone it
 * is told only where nothing else accounts for it. So do links and size with what they follow from.
 */
export function compareEntry(before: FileEntry, after: FileEntry, group: GroupName): readonly AttributeChange[] {
  const wasOf = before.stat?.type;
  const compared = new Set(groupsOf(group, wasOf));
  const changes = ATTRIBUTES.flatMap((attribute): AttributeChange[] => {
    if (!compared.has(attribute)) return [];
    const [was, is] = [attributeOf(before, attribute), attributeOf(after, attribute)];
    if (was === is) return [];
    if (group === "growing" && attribute === "size" && isGrown(before, after)) return [];
    // A file system that knows no flags, a look that may not read: not a change of the file.
    if (!isKnown(before, attribute) || !isKnown(after, attribute)) return [];
    return [{ attribute, ...(was === undefined ? {} : { before: was }), ...(is === undefined ? {} : { after: is }) }];
  });
  if (changes.some(({ attribute }) => attribute === "type"))
    return changes.filter(({ attribute }) => OF_ANOTHER.has(attribute));
  return changes.length > 1 ? changes.filter(({ attribute }) => attribute !== "ctime") : changes;
}

/** What is worth telling of a file that has become one of another type. */
const OF_ANOTHER: ReadonlySet<string> = new Set(["type", "content", "mode", "owner", "group", "target", "node"]);

function isGrown(before: FileEntry, after: FileEntry): boolean {
  return before.stat !== undefined && after.stat !== undefined && after.stat.size >= before.stat.size;
}

function isKnown(entry: FileEntry, attribute: Attribute): boolean {
  if (entry.stat === undefined) return false;
  if (attribute === "content") return entry.sha256 !== undefined || entry.stat.type !== "file";
  if (attribute === "capabilities" || attribute === "acl" || attribute === "xattrs") return entry.xattrs !== undefined;
  if (attribute === "target") return entry.target !== undefined || entry.stat.type !== "link";
  if (attribute === "flags") return entry.flags !== undefined;
  return true;
}

function told(
  { xattrs }: FileEntry,
  of: (each: ExtendedAttribute) => boolean,
  say: (each: ExtendedAttribute) => string,
): string | undefined {
  const found = xattrs?.filter(of).map(say) ?? [];
  return found.length === 0 ? undefined : found.join("; ");
}

/** Bytes as text: UTF-8 where they are, else with \xNN for what is not. */
export function textOf(bytes: Buffer): string {
  const text = bytes.toString("utf8");
  if (!text.includes("�") || Buffer.from(text).equals(bytes)) return text;
  return bytes
    .toString("latin1")
    .replace(/[^ -~]|\\/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

export function isText(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString("utf8")).equals(bytes);
}

/** makedev(3) of glibc. */
function deviceOf(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

function timeOf(ns: bigint): string {
  const seconds = ns >= 0n ? ns / 1_000_000_000n : (ns - 999_999_999n) / 1_000_000_000n;
  const time = new Date(Number(seconds) * 1000).toISOString().slice(0, -5);
  return `${time}.${String(ns - seconds * 1_000_000_000n).padStart(9, "0")}Z`;
}

/** Those that chattr(1) sets; what the file system notes for itself (extents, indexes, inline data) is none of them. */
const FLAGS: readonly (readonly [bit: number, name: string])[] = [
  [0x1, "secure-delete"],
  [0x2, "undelete"],
  [0x4, "compressed"],
  [0x8, "synchronous"],
  [0x10, "immutable"],
  [0x20, "append-only"],
  [0x40, "no-dump"],
  [0x80, "no-atime"],
  [0x800, "encrypted"],
  [0x4000, "data-journal"],
  [0x8000, "no-tail-merge"],
  [0x1_0000, "synchronous-folder"],
  [0x2_0000, "top-folder"],
  [0x10_0000, "verity"],
  [0x80_0000, "no-copy-on-write"],
  [0x200_0000, "dax"],
  [0x2000_0000, "project-inherit"],
  [0x4000_0000, "case-fold"],
];

function flagsOf(flags: number): string | undefined {
  const names = FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? undefined : names.join(", ");
}

/** linux/capability.h, in the order of their numbers. */
const CAPABILITIES =
  "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore".split(
    " ",
  );

/** struct vfs_cap_data and vfs_ns_cap_data of linux/capability.h, as getcap(8) shows it: "net_raw=ep". */
function capabilityOf({ value, hashed }: ExtendedAttribute): string {
  const version = value.length >= 4 ? value.readUInt32LE(0) >>> 24 : 0;
  const words = { 1: 1, 2: 2, 3: 2 }[version];
  if (hashed || words === undefined || value.length !== 4 + words * 8 + (version === 3 ? 4 : 0))
    return `malformed ${value.toString("hex")}`;
  const sets = new Map<string, string[]>();
  for (let bit = 0; bit < words * 32; bit++) {
    const at = 4 + (bit >> 5) * 8;
    const permitted = (value.readUInt32LE(at) >>> (bit & 31)) & 1;
    const inheritable = (value.readUInt32LE(at + 4) >>> (bit & 31)) & 1;
    if (permitted === 0 && inheritable === 0) continue;
    const how = `${(value.readUInt32LE(0) & 1) === 1 ? "e" : ""}${inheritable === 1 ? "i" : ""}${permitted === 1 ? "p" : ""}`;
    sets.set(how, [...(sets.get(how) ?? []), CAPABILITIES[bit] ?? String(bit)]);
  }
  const text = [...sets].map(([how, names]) => `${names.join(",")}=${how}`).join(" ");
  const root = version === 3 ? ` of the user namespace of uid ${value.readUInt32LE(value.length - 4)}` : "";
  return `${text === "" ? "none" : text}${root}`;
}

const ACL_TAGS: Readonly<Record<number, string>> = {
  0x01: "user:",
  0x02: "user:",
  0x04: "group:",
  0x08: "group:",
  0x10: "mask:",
  0x20: "other:",
};

/** posix_acl_xattr.h of the kernel, as getfacl(1) shows it: "user:1000:rw-". */
function aclOf({ name, value, hashed }: ExtendedAttribute): string {
  const prefix = name.endsWith("default") ? "default:" : "";
  if (hashed || value.length < 4 || value.readUInt32LE(0) !== 2 || (value.length - 4) % 8 !== 0)
    return `${prefix}malformed ${value.toString("hex")}`;
  const entries: string[] = [];
  for (let at = 4; at < value.length; at += 8) {
    const [tag, permissions] = [value.readUInt16LE(at), value.readUInt16LE(at + 2)];
    const id = tag === 0x02 || tag === 0x08 ? String(value.readUInt32LE(at + 4)) : "";
    const rwx = `${permissions & 4 ? "r" : "-"}${permissions & 2 ? "w" : "-"}${permissions & 1 ? "x" : "-"}`;
    entries.push(`${prefix}${ACL_TAGS[tag] ?? `${tag}:`}${id}:${rwx}`);
  }
  return entries.join(",");
}

const SHOWN_BYTES = 256;

/** Labels are texts that end with a NUL; what is neither is hexadecimal. */
function xattrOf({ name, value, hashed }: ExtendedAttribute): string {
  if (hashed) return `${name}=sha256:${value.toString("hex")}`;
  const bytes = value.at(-1) === 0 ? value.subarray(0, -1) : value;
  if (bytes.length > SHOWN_BYTES) return `${name}=sha256:${createHash("sha256").update(value).digest("hex")}`;
  const text = bytes.toString("latin1");
  return /^[ -~]*$/.test(text) ? `${name}=${text}` : `${name}=0x${value.toString("hex")}`;
}
