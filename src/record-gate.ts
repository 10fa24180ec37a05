// Reads the exec gate's records of native/record.h.

import { getSystemErrorName } from "node:util";
import type { GateMode, GateReason } from "./exec-judged.ts";
import { nonsense, type RecordReader } from "./record-reader.ts";
import type { GateRecord } from "./record.ts";

const MODES: readonly (GateMode | undefined)[] = [undefined, "learn", "audit", "enforce"];
const REASONS: readonly (GateReason | undefined)[] = [
  undefined,
  "rule",
  "written-to",
  "deadline",
  "too-large",
  "unreadable",
  "no-lease",
  "busy",
];
const NO_RULE = 0xffff_ffff;

/** Undefined, both, if it was gone. */
function readComm(reader: RecordReader): Pick<GateRecord, "parentPid" | "comm"> {
  const comm = reader.text(reader.u16(76));
  return comm === "" ? {} : { parentPid: reader.u32(72), comm };
}

export function readGate(reader: RecordReader): GateRecord {
  const startTime = reader.u64(8);
  const rule = reader.u32(52);
  const mode = MODES[reader.u16(58)];
  const reason = REASONS[reader.u16(60)];
  if (mode === undefined || reason === undefined)
    throw nonsense(`an exec gate's record of mode ${reader.u16(58)} and reason ${reader.u16(60)}`);
  const digest = reader.bytes(reader.u16(64));
  const error = reader.u16(70);
  return {
    kind: "gate",
    pid: reader.u32(40),
    ...(startTime === 0 ? {} : { startTime }),
    uid: reader.u32(44),
    ...(rule === NO_RULE ? {} : { rule }),
    denied: reader.u16(56) !== 0,
    mode,
    reason,
    opened: reader.u16(62) !== 0,
    ...(digest.length === 0 ? {} : { sha256: digest.toString("hex") }),
    path: reader.text(reader.u16(66)),
    by: reader.text(reader.u16(68)),
    ...readComm(reader),
    file: { dev: reader.u64(16), inode: reader.u64(24), size: reader.u64(32), owner: reader.u32(48) },
    ...(error === 0 ? {} : { error: getSystemErrorName(-error) }),
  };
}
