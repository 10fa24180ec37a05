/*
 * The exec gate's compiled table, as src/baselines/gate-table.ts writes it: the
 * head, then rules, interpreters, updaters, hashes, and the strings that the
 * texts lie in. Byte order is the machine's.
 */
#ifndef RIMON_GATE_TABLE_H
#define RIMON_GATE_TABLE_H

#include <stdint.h>

#define GATE_MAGIC		0x31544752u	/* "RGT1" */
#define GATE_VERSION		1u
#define GATE_RULES_MAX		1024u
#define GATE_TEXTS_MAX		2048u	/* each may be there by two names */
#define GATE_HASHES_MAX		4000000u
#define GATE_DEADLINE_MIN_MS	10u
#define GATE_DEADLINE_MAX_MS	60000u
#define GATE_RULE_NONE		0xffffffffu	/* no rule: what is said for the rest */

enum gate_verdict {
	GATE_ALLOW = 0,
	GATE_DENY = 1,
};

struct gate_table_head {
	uint32_t magic;
	uint32_t version;
	uint32_t rules;
	uint32_t interpreters;
	uint32_t updaters;
	uint32_t hashes;
	uint32_t strings;	/* bytes */
	uint32_t otherwise;	/* enum gate_verdict: no rule matched */
	uint32_t unanswered;	/* enum gate_verdict: it could not be judged */
	uint32_t deadline_ms;
	uint64_t size_max;	/* of what is hashed */
};

struct gate_text {
	uint32_t at;
	uint32_t len;
};

/* What a rule asks for: all of these. */
#define GATE_ON_FILESYSTEM	(1u << 0)
#define GATE_ON_OWNER		(1u << 1)
#define GATE_ON_WRITERS		(1u << 2)	/* any of `writers` */
#define GATE_ON_SETS		(1u << 3)	/* the digest is in any of `sets` */
#define GATE_ON_UID		(1u << 4)	/* effective, of who runs it */
#define GATE_ON_BY		(1u << 5)	/* the executable of who runs it */
#define GATE_ON_PATH		(1u << 6)	/* this file, or below this folder */

#define GATE_WRITERS_OWNER	(1u << 0)	/* who is not root */
#define GATE_WRITERS_GROUP	(1u << 1)
#define GATE_WRITERS_OTHERS	(1u << 2)

struct gate_rule {
	uint32_t verdict;
	uint32_t conditions;
	uint32_t filesystem;	/* statfs.f_type */
	uint32_t owner;
	uint32_t writers;
	uint32_t sets;
	uint32_t uid;
	uint32_t reserved;
	struct gate_text by;
	struct gate_text path;
};

/* In strictly ascending order. */
struct gate_hash {
	unsigned char digest[32];
	uint32_t sets;
};

#endif
